# SPDX-License-Identifier: BSD-2-Clause
"""Threads and loops of served handlers: what may fail, and their end."""

from __future__ import annotations

from .client import eventually
from .nginx import Nginx

LOAD = """
    local rt, err = ngx.load_ffi("ffi_python3", "%s")
    return rt == nil, err
"""

NO_LOOP = """
import asyncio
import contextlib

from resty_ffi import serve


def new_event_loop():
    raise OSError(24, "Too many open files")


asyncio.new_event_loop = new_event_loop
with contextlib.suppress(ImportError):
    import uvloop

    uvloop.new_event_loop = new_event_loop


@serve
async def handler(request):
    return request
"""

NO_THREAD = """
import threading

from resty_ffi import serve

start = threading.Thread.start
closed = []


def refuse(self):
    if self.name.endswith("-3"):
        raise RuntimeError("can't start new thread")
    start(self)


threading.Thread.start = refuse


@serve(threads=4)
class Handler:
    def any(self, request):
        return request

    def close(self):
        closed.append(True)
"""

SLOW_TO_LEAVE = """
import threading

import _resty_ffi
from resty_ffi import serve

closed = []
leaves = threading.Event()
go_on = threading.Event()
accept = _resty_ffi.Runtime.accept


def accept_slowly(self, limit, streams):
    state = accept(self, limit, streams)
    if state < 0 and not go_on.is_set():
        leaves.set()
        go_on.wait()
    return state


_resty_ffi.Runtime.accept = accept_slowly


@serve
class Handler:
    async def any(self, request):
        return request

    def close(self):
        closed.append(True)
"""

ODD_TASKS = """
import asyncio

from resty_ffi import serve


class Odd:
    pass


@serve
class Handler:
    def __init__(self):
        asyncio.get_running_loop().set_task_factory(self.make)

    def make(self, loop, coroutine, **keywords):
        self.task = asyncio.Task(coroutine, loop=loop, **keywords)
        return Odd()

    async def any(self, request):
        return request
"""


def test_no_event_loop_to_be_had(alone: Nginx) -> None:
    alone.write_python("no_loop.py", NO_LOOP)
    failed, text = alone.lua(LOAD % "no_loop,handler")
    assert failed
    assert text == (
        "ffi_python3: no_loop.handler: OSError: [Errno 24] Too many open files"
    )


def test_not_all_threads_to_be_had(alone: Nginx) -> None:
    """Those that did start end, and the last one closes."""
    alone.write_python("no_thread.py", NO_THREAD)
    failed, text = alone.lua(LOAD % "no_thread,Handler")
    assert failed
    assert text == (
        "ffi_python3: no_thread.Handler: RuntimeError: can't start new thread"
    )
    eventually(
        lambda: (
            alone.python("import no_thread; result = no_thread.closed")
            == "[True]"
        ),
        "close() is called",
    )
    names = (
        "import threading\n"
        "result = [t.name for t in threading.enumerate()"
        " if t.name.endswith('-2')]"
    )
    eventually(lambda: "no_thread" not in alone.python(names), "they end")


def test_a_loop_leaves_when_its_queue_has_gone(alone: Nginx) -> None:
    """The next load gives the queue back, perhaps before the loop ends."""
    alone.write_python("slow.py", SLOW_TO_LEAVE)
    alone.python("result = 1")
    alone.lua(
        """
        local rt = assert(ngx.load_ffi("ffi_python3", "slow,Handler"))
        assert(rt:any("x"))
        rt:__unload()
        """
    )
    alone.python("import slow; slow.leaves.wait(); result = 1")
    alone.lua('ngx.load_ffi("ffi_python3", "not.there,at_all")')
    alone.python("import slow; slow.go_on.set(); result = 1")
    eventually(
        lambda: alone.python("import slow; result = slow.closed") == "[True]",
        "close() is called",
    )


def test_a_task_factory_that_makes_no_tasks(alone: Nginx) -> None:
    """Whatever comes of that, the loop goes on."""
    alone.write_python("odd.py", ODD_TASKS)
    assert alone.lua(
        """
        local rt = assert(ngx.load_ffi("ffi_python3", "odd,Handler"))
        assert(rt:any("one"))
        return rt:any("two")
        """
    ) == [True, "two"]
    assert "SystemError" not in alone.log()
