# SPDX-License-Identifier: BSD-2-Clause
"""More calls at a time than semaphores are kept for."""

from __future__ import annotations

import pytest

from .nginx import Nginx

CALLS = 13_000

LAST_FIRST = f"""
import threading

from cffi import FFI

ffi = FFI()
ffi.cdef('''
void *ngx_http_lua_ffi_task_poll(void *tq);
void ngx_http_lua_ffi_respond(void *tsk, int rc, char *rsp, int rsp_len);
''')
C = ffi.dlopen(None)


def run(tq):
    held = []
    while True:
        task = C.ngx_http_lua_ffi_task_poll(ffi.cast("void *", tq))
        if task == ffi.NULL:
            break
        held.append(task)
        if len(held) == {CALLS}:
            while held:
                C.ngx_http_lua_ffi_respond(held.pop(), 0, ffi.NULL, 0)


def init(cfg, tq):
    threading.Thread(target=run, args=(tq,), daemon=True).start()
    return 0
"""


@pytest.mark.once
def test_the_last_is_answered_first(alone: Nginx) -> None:
    """The lua module then frees the memory of those that wait longest."""
    alone.write_python("last_first.py", LAST_FIRST)
    for _ in range(3):
        assert alone.lua(
            f"""
            local rt = assert(ngx.load_ffi("ffi_python3", "last_first,init"))
            local threads, sum = {{}}, 0
            for i = 1, {CALLS} do
                threads[i] = ngx.thread.spawn(rt.any, rt)
            end
            for i = 1, {CALLS} do
                local _, ok = ngx.thread.wait(threads[i])
                sum = sum + (ok and 1 or 0)
            end
            return sum
            """
        ) == [CALLS]
