# SPDX-License-Identifier: BSD-2-Clause
"""Answers each request with itself, in two ways.

`echo` is all it takes: ngx.load_ffi("ffi_python3", "ffi.echo,echo").
`init` is the skeleton of a runtime that polls by itself, through cffi.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

from cffi import FFI

from resty_ffi import serve


@serve
def echo(request: bytes) -> bytes:
    return request


ffi: Any = FFI()
ffi.cdef("""
void *malloc(size_t size);
void *ngx_http_lua_ffi_task_poll(void *tq);
char *ngx_http_lua_ffi_get_req(void *tsk, int *len);
void ngx_http_lua_ffi_respond(void *tsk, int rc, char *rsp, int rsp_len);
""")
C: Any = ffi.dlopen(None)

log = logging.getLogger("ffi.echo")


def answer(request: bytes | None) -> bytes | None:
    return request


def read(task: Any) -> bytes | None:
    length = ffi.new("int *")
    req = C.ngx_http_lua_ffi_get_req(task, length)
    return bytes(ffi.buffer(req, length[0])) if req else None


def respond(task: Any, status: int, body: bytes | None) -> None:
    rsp = ffi.NULL
    if body is not None:
        # A length of 0 means a C string: an empty body is one NUL.
        raw = body or b"\0"
        rsp = ffi.cast("char *", C.malloc(len(raw)))
        if not rsp:
            raise MemoryError
        ffi.memmove(rsp, raw, len(raw))
    C.ngx_http_lua_ffi_respond(task, status, rsp, len(body or b""))


def loop(tq: int) -> None:
    queue = ffi.cast("void *", tq)
    while task := C.ngx_http_lua_ffi_task_poll(queue):
        try:
            respond(task, 0, answer(read(task)))
        except Exception:
            log.exception("ffi.echo")
            C.ngx_http_lua_ffi_respond(task, 1, ffi.NULL, 0)


def init(cfg: int, tq: int) -> int:
    threading.Thread(target=loop, args=(tq,), daemon=True).start()
    return 0
