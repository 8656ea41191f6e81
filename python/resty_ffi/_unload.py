# SPDX-License-Identifier: BSD-2-Clause
"""How an instance hears of its runtime's unload before its calls end."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar

Callbacks = list[Callable[[], object]]

callbacks_var: ContextVar[Callbacks] = ContextVar("resty_ffi_on_unload")


def on_unload(callback: Callable[[], object]) -> None:
    """Have `callback()` called once no new call comes, before `close()`.

    Calls that run are still to be answered then: what they wait for without
    need can be ended. It is called on the event loop's thread and must not
    block. To be called in the `__init__` of a class that `serve` has marked
    and that has async methods; LookupError anywhere else.
    """
    callbacks = callbacks_var.get(None)
    if callbacks is None:
        raise LookupError("no runtime with an event loop is made here")
    callbacks.append(callback)
