# SPDX-License-Identifier: BSD-2-Clause
"""What an interpreter does at its end, as far as a worker can wait."""

from __future__ import annotations

import atexit
import math
import sys
import threading
import time
from collections.abc import Callable, Iterable

from .errors import LOG_WARN
from .threads import idents, leaving, log_threads, of_runtimes, pollers, pooled

# What is left to users' threads, at most half, of the time that runtimes had.
OTHERS_S = 1.0

# Called when all has been waited for.
callbacks: list[Callable[[], object]] = []

_runtimes_end = math.inf


def runtimes_end() -> float:
    """Until when threads of runtimes are waited for, once that is known."""
    return _runtimes_end


def leave(patience: int) -> None:
    """End what threads there are, run atexit's callbacks, flush files.

    Threads that are not daemons have `patience` milliseconds to end.
    """
    leaving.add(threading.get_ident())
    try:
        _wait_for_threads(patience / 1000)
    finally:
        atexit._run_exitfuncs()
        for file in (sys.stdout, sys.stderr):
            if file is not None:
                file.flush()


def _wait_for_threads(seconds: float) -> None:
    global _runtimes_end
    began = time.monotonic()
    for_runtimes = max(seconds / 2, seconds - OTHERS_S)
    _runtimes_end = began + for_runtimes
    _join(of_runtimes(), for_runtimes)
    end = threading.Thread(target=_end_threads, daemon=True)
    end.start()
    _join([end], began + seconds - time.monotonic())
    stuck = pollers(0) | idents(of_runtimes())
    log_threads(
        LOG_WARN,
        "FFI026: ffi_python3: threads of runtimes that have not ended",
        stuck,
    )
    log_threads(
        LOG_WARN,
        "FFI026: ffi_python3: threads that are no daemons and have not ended",
        idents(_awaited()) - stuck,
    )
    for callback in callbacks:
        callback()


def _join(threads: Iterable[threading.Thread], seconds: float) -> None:
    end = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))


def _end_threads() -> None:
    """Thread pools end their work, for which threading has a list."""
    for callback in reversed(getattr(threading, "_threading_atexits", ())):
        callback()
    for thread in _awaited():
        thread.join()


def _awaited() -> list[threading.Thread]:
    """Those of users' that Python would wait for."""
    of_pools = pooled()
    ours = [threading.main_thread(), *of_runtimes()]
    return [
        thread
        for thread in threading.enumerate()
        if (thread in of_pools or not thread.daemon) and thread not in ours
    ]
