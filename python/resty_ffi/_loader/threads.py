# SPDX-License-Identifier: BSD-2-Clause
"""Which threads are a runtime's, and what they do, for error.log."""

from __future__ import annotations

import itertools
import linecache
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from .errors import LOG_ERR, LOG_WARN, is_ours, log

# Innermost frames of a stack that error.log shows.
FRAMES = 30

# Ident of the thread that leaves, where one does.
leaving: set[int] = set()


class Thread(threading.Thread):
    """A thread of a runtime; a daemon where the one is that starts it."""

    of_runtime = True

    def __init__(
        self, main: Callable[..., object], name: str, *args: object
    ) -> None:
        super().__init__(target=main, name=name, args=args)


def report(tq: int) -> None:
    """Tell error.log what the threads of a stuck runtime do.

    With 0 for tq, what the thread does that leaves.
    """
    if tq:
        what = "FFI024: ffi_python3: threads of the stuck runtime"
        log_threads(LOG_ERR, what, _threads_of(tq))
    else:
        what = "FFI025: ffi_python3: still in atexit callbacks"
        log_threads(LOG_WARN, what, leaving)


# Says where a call is, where a thread does not: those that have calls on event
# loops add one.
describers: list[Callable[[int], traceback.StackSummary | None]] = []


def describe(tsk: int, tid: int) -> str:
    """What is done for a task that the thread with this native id took."""
    for describer in describers:
        stack = describer(tsk)
        if stack is not None:
            return "".join(_format_stack(stack))
    threads = {t.native_id: t for t in _started_threads()}
    thread = threads.get(tid)
    if thread is None or thread.ident is None:
        return "a thread that Python has not started has it"
    # an event loop's pool has its name
    found = {thread.ident} | {
        t.ident
        for t in threads.values()
        if t.ident is not None and t.name.rpartition("_")[0] == thread.name
    }
    if len(found) > 1:
        return "".join(_format_threads(found))
    stack = _stacks(found).get(thread.ident)
    return "".join(_format_stack(stack)) if stack else "its thread has ended"


def of_runtimes() -> list[threading.Thread]:
    """Ours, and those of users' that have polled a queue."""
    polled = pollers(0) - idents(pooled())
    return [
        thread
        for thread in _started_threads()
        if hasattr(thread, "of_runtime") or thread.ident in polled
    ]


def pooled() -> set[threading.Thread]:
    """Threads of pools, which stay when what they have run has ended."""
    pool = sys.modules.get("concurrent.futures.thread")
    return set(getattr(pool, "_threads_queues", ()))


def idents(threads: Iterable[threading.Thread]) -> set[int]:
    return {t.ident for t in threads if t.ident is not None}


def pollers(tq: int) -> set[int]:
    """Idents of threads that have polled a queue (0: any)."""
    import _resty_ffi  # only in nginx

    polled = set(_resty_ffi.pollers(tq))
    threads = _started_threads()
    found = {t.ident for t in threads if t.native_id in polled}
    if polled - {t.native_id for t in threads}:
        # not started by threading, so it has no native id in Python
        found |= sys._current_frames().keys() - {t.ident for t in threads}
    found -= {None, threading.get_ident()}
    return {ident for ident in found if ident is not None}


def _threads_of(tq: int) -> set[int]:
    """Idents: who has polled the queue, and who works for those.

    Where nobody has polled there is no telling: all but the loader's own.
    """
    found = pollers(tq)
    if not found:
        loaders = {threading.main_thread().ident, threading.get_ident()}
        return sys._current_frames().keys() - loaders
    threads = {t.ident: t.name for t in _started_threads()}
    names = {threads.get(ident) for ident in found}
    for ident, name in threads.items():
        # an event loop's pool has its name
        if ident is not None and name.rpartition("_")[0] in names:
            found.add(ident)
    return found


def _started_threads() -> list[threading.Thread]:
    """Those that threading has started.

    It keeps for ever one that was not and that once asked for its name; the
    ident may be another thread's by now.
    """
    dummy = threading._DummyThread
    return [t for t in threading.enumerate() if not isinstance(t, dummy)]


# ---- their stacks


def log_threads(level: int, what: str, idents: Iterable[int]) -> None:
    """One entry in error.log, with the stacks of the threads."""
    text = "".join(_format_threads(set(idents)))
    if text:
        log(level, f"{what}:\n{text}")


def _format_threads(idents: set[int]) -> Iterator[str]:
    stacks = _stacks(idents)
    linecache.checkcache()
    threads = {t.ident: t for t in _started_threads()}
    for ident, stack in stacks.items():
        thread = threads.get(ident)
        if thread is None:
            title = f"thread {ident:#x}, not started by threading"
        else:
            title = f'thread {thread.native_id} "{thread.name}"'
        if isinstance(thread, threading.Timer):
            title += f", waiting to call {_name(thread.function)}"
        yield f"{title}:\n" + "".join(_format_stack(stack))


def _stacks(idents: set[int]) -> dict[int, traceback.StackSummary]:
    """Innermost frames first; all at once, before any thread goes on."""
    return {
        ident: traceback.StackSummary.extract(
            traceback.walk_stack(frame), lookup_lines=False
        )
        for ident, frame in sys._current_frames().items()
        if ident in idents
    }


def _name(function: Any) -> str:
    try:
        return f"{function.__module__}.{function.__qualname__}"
    except AttributeError:
        return repr(type(function).__name__)


def _format_stack(stack: traceback.StackSummary) -> Iterator[str]:
    """Lines for a stack that begins with its innermost frame."""
    shown = [f for f in reversed(stack) if not is_ours(f.filename)]
    shown = list(itertools.dropwhile(_begins_thread, shown))
    if not shown:
        yield "  in no code but the loader's\n"
    if len(shown) > FRAMES:
        yield f"  {len(shown) - FRAMES} frames, not shown\n"
    yield from traceback.StackSummary.from_list(shown[-FRAMES:]).format()


def _begins_thread(frame: traceback.FrameSummary) -> bool:
    return frame.filename == threading.__file__ and frame.name in (
        "_bootstrap",
        "_bootstrap_inner",
        "run",
    )
