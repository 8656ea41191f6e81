# SPDX-License-Identifier: BSD-2-Clause
"""The poll loop that people write with cffi."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from cffi import FFI

from .payload import BY_PATH_BYTES

ffi: Any = FFI()
ffi.cdef("""
void *malloc(size_t size);
void *ngx_http_lua_ffi_task_poll(void *tq);
char *ngx_http_lua_ffi_get_req(void *tsk, int *len);
void ngx_http_lua_ffi_respond(void *tsk, int rc, char *rsp, int rsp_len);
""")
C: Any = ffi.dlopen(None)


def poll(tq: int, handler: Callable[[bytes], bytes]) -> None:
    queue = ffi.cast("void *", tq)
    length = ffi.new("int *")
    while task := C.ngx_http_lua_ffi_task_poll(queue):
        req = C.ngx_http_lua_ffi_get_req(task, length)
        body = handler(bytes(ffi.buffer(req, length[0])))
        rsp = C.malloc(len(body))
        ffi.memmove(rsp, body, len(body))
        C.ngx_http_lua_ffi_respond(task, 0, rsp, len(body))


def start(tq: int, handler: Callable[[bytes], bytes]) -> int:
    threading.Thread(target=poll, args=(tq, handler), daemon=True).start()
    return 0


def get(cfg: int, tq: int) -> int:
    return start(tq, BY_PATH_BYTES.__getitem__)


def echo(cfg: int, tq: int) -> int:
    return start(tq, lambda request: request)
