# SPDX-License-Identifier: BSD-2-Clause
"""An event stream, for all that sends one.

usage: python -m bench.app.ticks SOCKET      bare asyncio, see serve()
"""

from __future__ import annotations

import asyncio
import importlib
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

SIZE = 100
PERIOD = 0.1
TAIL = b" " * (SIZE - 32) + b"\n\n"
# a number between two streams' beginnings that no other is near to
SPREAD = 0.6180339887

Message = dict[str, Any]


async def ticks(path: str) -> AsyncIterator[bytes]:
    """Number, and µs of the monotonic clock when it was due; for ever."""
    due = time.monotonic() + PERIOD * (int(path[1:]) * SPREAD % 1)
    number = 0
    while True:
        due += PERIOD
        await asyncio.sleep(due - time.monotonic())
        yield b"data: %08d %015d%b" % (number, due * 1e6, TAIL)
        number += 1


async def app(
    scope: Message,
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    """For uvicorn."""

    async def until_gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    gone = asyncio.create_task(until_gone())
    headers = [(b"content-type", b"text/event-stream")]
    await send(
        {"type": "http.response.start", "status": 200, "headers": headers}
    )
    async for chunk in ticks(scope["path"]):
        if gone.done():
            break
        await send(
            {"type": "http.response.body", "body": chunk, "more_body": True}
        )


async def serve(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """As little HTTP as a client takes, without nginx."""
    head = await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    async for chunk in ticks(head.split()[1].decode()):
        if writer.is_closing():
            break
        writer.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        await writer.drain()


async def main(path: str) -> None:
    server = await asyncio.start_unix_server(serve, path, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop: Any = importlib.import_module("uvloop")
    uvloop.run(main(sys.argv[1]))
