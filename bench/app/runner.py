# SPDX-License-Identifier: BSD-2-Clause
"""A runner behind a unix socket, as API gateways have for plugins in Python.

usage: python -m bench.app.runner SOCKET

Both directions: one byte that says get (1) or echo (2), three of length,
the body.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
from typing import Any, cast

from .payload import BY_PATH_BYTES

uvloop: Any = importlib.import_module("uvloop")

HEAD = 4
GET = 1


class Runner(asyncio.Protocol):
    def __init__(self) -> None:
        self.received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        received = self.received
        received += data
        while len(received) >= HEAD:
            kind = received[0]
            end = HEAD + int.from_bytes(received[1:HEAD], "big")
            if len(received) < end:
                return
            request = bytes(memoryview(received)[HEAD:end])
            del received[:end]
            body = BY_PATH_BYTES[request] if kind == GET else request
            head = bytes([kind]) + len(body).to_bytes(HEAD - 1, "big")
            self.transport.writelines([head, body])


async def main(path: str) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_unix_server(Runner, path, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
