# SPDX-License-Identifier: BSD-2-Clause
"""Runs each request as Python, on a thread of its own."""

import threading
import traceback
from typing import Any

from cffi import FFI

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


def answer(task: Any, rc: int, text: str) -> None:
    data = text.encode("utf-8", "surrogateescape")
    rsp = C.malloc(max(len(data), 1))
    ffi.memmove(rsp, data, len(data))
    if data:
        C.ngx_http_lua_ffi_respond(
            task, rc, ffi.cast("char *", rsp), len(data)
        )
    else:
        C.ngx_http_lua_ffi_respond(task, rc, ffi.NULL, 0)


def run(task: Any, names: dict[str, Any]) -> None:
    length = ffi.new("int *")
    req = C.ngx_http_lua_ffi_get_req(task, length)
    source = bytes(ffi.buffer(req, length[0])).decode()
    try:
        exec(compile(source, "<request>", "exec"), names)
        answer(task, 0, str(names.get("result")))
    except BaseException:
        answer(task, 1, traceback.format_exc())


def poll(tq: int, names: dict[str, Any]) -> None:
    while True:
        task = C.ngx_http_lua_ffi_task_poll(ffi.cast("void *", tq))
        if task == ffi.NULL:
            break
        threading.Thread(
            target=run, args=(task, dict(names)), daemon=True
        ).start()


def init(cfg: int, tq: int) -> int:
    text = ffi.string(ffi.cast("char *", cfg)) if cfg else None
    names: dict[str, Any] = {"tq": tq, "cfg": text, "state": {}}
    threading.Thread(target=poll, args=(tq, names), daemon=True).start()
    return 0
