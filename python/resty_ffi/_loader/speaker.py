# SPDX-License-Identifier: BSD-2-Clause
"""Whose lines are whose in error.log: a runtime's, a call's, a thread's."""

from __future__ import annotations

import functools
import sys
import threading
from contextvars import ContextVar
from typing import Any

# The call that a task of asyncio's is in; plain handlers' is known in C.
call_var: ContextVar[Any] = ContextVar("resty_ffi_call", default=None)

# What error.log calls the runtime whose code runs; a dot behind it: methods
# have names of their own.
name_var: ContextVar[str] = ContextVar("resty_ffi_runtime", default="")


def speaker(name: str = "") -> tuple[str, int]:
    """Who speaks: runtime and method, or the thread; and the call's task.

    name: of the runtime, where that is known. 0: of none.
    """
    import _resty_ffi  # only in nginx

    task = running_task()
    name = name or name_var.get() or _of_thread()
    return join(name, _resty_ffi.method(task)), task


def running_task() -> int:
    """The task of the call that runs in this thread, or task of asyncio's."""
    import _resty_ffi  # only in nginx

    call = call_var.get()
    if call is not None:
        return int(call._number)
    task: int = _resty_ffi.task()
    return task


def join(name: str, method: str) -> str:
    """A runtime, and its method where it has several."""
    if not name.endswith("."):
        return name
    return name + method[:100] if method else name[:-1]


def _of_thread() -> str:
    thread = threading._active.get(  # type: ignore[attr-defined]
        threading.get_ident()
    )
    if thread is None:
        return "a thread"
    name: str = getattr(thread, "_resty_ffi_name", "")
    return name or f'thread "{thread.name}"'


def install() -> None:
    """Have threads know the runtime that has started them."""
    start = threading.Thread.start

    @functools.wraps(start)
    def start_named(self: threading.Thread) -> None:
        self._resty_ffi_name = (  # type: ignore[attr-defined]
            name_var.get() or _of_thread_that_runs()
        )
        start(self)

    threading.Thread.start = start_named  # type: ignore[method-assign]


def _of_thread_that_runs() -> str:
    thread = threading._active.get(  # type: ignore[attr-defined]
        threading.get_ident()
    )
    name: str = getattr(thread, "_resty_ffi_name", "")
    return name


if "_resty_ffi" in sys.builtin_module_names:
    install()
