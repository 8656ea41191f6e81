# SPDX-License-Identifier: BSD-2-Clause
"""Every kind of runtime; each answers with its request."""

from __future__ import annotations

import asyncio
import itertools
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

from cffi import FFI

from resty_ffi import AsyncBodyReader, BodyReader, current, serve

ffi = FFI()
ffi.cdef(
    """
    void *malloc(size_t size);
    void *ngx_http_lua_ffi_task_poll(void *p);
    char *ngx_http_lua_ffi_get_req(void *tsk, int *len);
    void ngx_http_lua_ffi_respond(void *tsk, int rc, char *rsp, int len);
    """
)
C: Any = ffi.dlopen(None)

fates = 0


def note(delivered: bool) -> None:
    global fates
    fates += delivered


def echo(request: bytes) -> bytes:
    call = current()
    if call and call.method == "note":
        call.on_delivered(note)
    return request


plain = serve(echo)
threads = serve(threads=4)(lambda request: echo(request))
view = serve(view=True)(lambda request: request)


@serve
async def loop(request: bytes) -> bytes:
    await asyncio.sleep(len(request) % 3 / 1000)
    return echo(request)


@serve(threads=2)
class Pooled:
    def plain(self, request: bytes) -> bytes:
        return echo(request)

    async def note(self, request: bytes) -> bytes:
        return await asyncio.to_thread(echo, request)


@serve
def fails(request: bytes) -> bytes:
    raise ValueError(request)


def pieces(request: bytes) -> Iterator[Any]:
    """Small ones, which are copied, and large ones of each kind."""
    kinds = [bytes, bytearray, memoryview]
    begin = 0
    for number in itertools.count():
        size = 1 + number * 997 % 9000
        if begin >= len(request):
            break
        yield kinds[number % 3](request[begin : begin + size])
        begin += size


class Streams:
    def plain(self, request: bytes) -> Iterator[Any]:
        current().on_delivered(note)
        yield from pieces(request)

    def sends(self, request: bytes) -> None:
        for piece in pieces(request):
            current().send(piece)

    def read(self, body: BodyReader) -> Iterator[bytes]:
        yield from body

    def endless(self, request: bytes) -> Iterator[bytes]:
        while True:
            yield b"x" * 2000


class Loop(Streams):
    async def loop(self, request: bytes) -> AsyncIterator[Any]:
        for number, piece in enumerate(pieces(request)):
            yield piece
            if number % 3 == 0:
                await asyncio.sleep(0)

    async def loop_read(self, body: AsyncBodyReader) -> AsyncIterator[bytes]:
        async for part in body:
            yield part

    async def endless_loop(self, request: bytes) -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 2000


StreamThreads = serve(threads=3)(type("StreamThreads", (Streams,), {}))
StreamLoop = serve(type("StreamLoop", (Loop,), {}))
StreamPool = serve(threads=2)(type("StreamPool", (Loop,), {}))
serve(Streams)


def poll(tq: int) -> None:
    while True:
        task = C.ngx_http_lua_ffi_task_poll(ffi.cast("void *", tq))
        if task == ffi.NULL:
            break
        length = ffi.new("int *")
        request = C.ngx_http_lua_ffi_get_req(task, length)
        body = C.malloc(length[0]) if length[0] else ffi.NULL
        ffi.memmove(body, request, length[0])
        C.ngx_http_lua_ffi_respond(
            task, 0, ffi.cast("char *", body), length[0]
        )


def poll_loops(cfg: int, tq: int) -> int:
    for _ in range(2):
        threading.Thread(target=poll, args=(tq,), daemon=True).start()
    return 0


def without_uvloop(cfg: int, tq: int) -> int:
    sys.modules["uvloop"] = None  # type: ignore[assignment]
    return poll_loops(cfg, tq)
