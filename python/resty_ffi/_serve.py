# SPDX-License-Identifier: BSD-2-Clause
"""Starts what `serve` has marked, inside nginx.

The loader calls `start` with the target that a cfg names, on the thread that
is to serve it. Calls come from `native.Runtime`, in C; what happens once per
runtime is here and in the files of the two kinds: threads, event loop, end.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

from ._context import Base
from ._handlers import is_asynchronous
from ._loop import Loop
from ._native import native
from ._options import Options
from ._threads import Threads

THREADS, SWITCH_INTERVAL = 0, 1


def start(target: Any, name: str, config: str, tq: int) -> Callable[[], None]:
    """Start a runtime; returns what this thread has to do for it next.

    config: the cfg's third part. tq: the queue's handle.
    Raises what the class's __init__ raises.
    """
    options: Options = target.__resty_ffi__
    make = Loop if is_asynchronous(target) else Threads
    threads = options.threads
    # Who writes Lua cannot know whether methods may leave the loop's thread.
    if make is Threads or threads > 1:
        threads = int(native.option(tq, THREADS, threads))
    interval = native.option(tq, SWITCH_INTERVAL, 0)
    if interval > 0:
        sys.setswitchinterval(interval / 1000)
    Base.renew_here()
    runtime = make(target, name, config, tq, threads, options)
    runtime.open()
    return functools.partial(runtime.base.copy().run, runtime.run)
