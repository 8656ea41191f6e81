# SPDX-License-Identifier: BSD-2-Clause
"""Web applications that invert what they get, as client.c knows."""

from __future__ import annotations

import asyncio
import ctypes
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

INVERTED = bytes(byte ^ 0xFF for byte in range(256))
TIMES = 8  # of a download


def answer(request: bytes) -> bytes:
    return request.translate(INVERTED)


# ---- ASGI


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    await PATHS[scope["path"]](receive, Head(scope, send))


async def lifespan(receive: Any, send: Any) -> None:
    for event in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{event}.complete"})


class Head:
    """Sends a head and parts; size: of all of them, as the request says."""

    def __init__(self, scope: Any, send: Any) -> None:
        self.size = int(dict(scope["headers"])[b"content-length"])
        self._send = send

    async def head(self, size: int) -> None:
        fields = [(b"content-length", b"%d" % size)]
        head = {"type": "http.response.start", "status": 200}
        await self._send({**head, "headers": fields})

    async def part(self, body: bytes, more: bool) -> None:
        part = {"type": "http.response.body", "body": body}
        await self._send({**part, "more_body": more})


async def stream(receive: Any, out: Head) -> None:
    """Each part as it comes."""
    await out.head(out.size)
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        more = message["more_body"]
        await out.part(answer(message["body"]), more)
        if not more:
            return


async def read(receive: Any) -> bytes | None:
    body: bytes = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message["body"]
        if not message["more_body"]:
            return body


async def whole(receive: Any, out: Head) -> None:
    body = await read(receive)
    if body is not None:
        await out.head(len(body))
        await out.part(answer(body), False)


async def late(receive: Any, out: Head) -> None:
    await asyncio.sleep(0.002)
    await whole(receive, out)


async def down(receive: Any, out: Head) -> None:
    body = await read(receive)
    if body is None:
        return
    await out.head(TIMES * len(body))
    for number in range(1, TIMES + 1):
        await out.part(answer(body), number < TIMES)


async def fail(receive: Any, out: Head) -> None:
    await read(receive)
    raise ValueError("as it is told")


PATHS = {
    "/asgi": stream,
    "/asgi_whole": whole,
    "/asgi_late": late,
    "/asgi_down": down,
    "/asgi_fail": fail,
}


# ---- WSGI


def wsgi(environ: Any, start: Callable[..., Any]) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    body = answer(environ["wsgi.input"].read())
    if path == "/wsgi_fail":
        raise ValueError("as it is told")
    if path == "/wsgi_usage":
        body = usage()
    times = TIMES if path == "/wsgi_down" else 1
    write = start("200 OK", [("Content-Length", str(times * len(body)))])
    if path == "/wsgi_write":
        for piece in pieces(body):
            write(piece)
        return []
    if path == "/wsgi_down":
        return (body for _ in range(TIMES))
    return pieces(body) if path == "/wsgi_parts" else [body]


def pieces(body: bytes) -> Iterator[bytes]:
    for begin in range(0, len(body), 5000):
        yield body[begin : begin + 5000]


class Mallinfo(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks"),
            *("fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


mallinfo2 = ctypes.CDLL(None).mallinfo2
mallinfo2.restype = Mallinfo


def usage() -> bytes:
    """Bytes in use by malloc, those it keeps, Lua's, and Python's blocks."""
    info = mallinfo2()
    used = info.uordblks + info.hblkhd
    return b"%d %d 0 %d" % (used, info.fordblks, sys.getallocatedblocks())
