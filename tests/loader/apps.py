# SPDX-License-Identifier: BSD-2-Clause
"""Every kind of runtime; each answers with its request."""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import Any

from cffi import FFI

from resty_ffi import current, serve

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
