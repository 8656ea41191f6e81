# SPDX-License-Identifier: BSD-2-Clause
"""The end of an event loop: as asyncio.run has it, but within a bound."""

from __future__ import annotations

import asyncio
import concurrent.futures.thread
import gc
import inspect
import itertools
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import Any

# How long what is asked to end may take.
END_S = 5.0

TURN_S = 0.01

# What one line holds.
TASKS = 5
FRAMES = 10

PACKAGE = os.path.join(os.path.dirname(__file__), "")
POOL = (threading.__file__, concurrent.futures.thread.__file__)

# Where they are collected, their code would run, in no loop.
_detached: list[asyncio.Task[Any]] = []


class Ending:
    """Of one loop, in the thread that runs it.

    failed: is told what comes out of the loop, as SystemExit of a task does.
    tell: is told in one line what has not ended.
    no_bound: whether the process ends before anybody need give up.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        name: str,
        failed: Callable[[BaseException], object],
        tell: Callable[[str], object],
        no_bound: Callable[[], bool] = lambda: False,
    ) -> None:
        self._loop = loop
        self._failed = failed
        self._tell = tell
        self._no_bound = no_bound
        # What the loop itself has failed with: it cannot run any more.
        self.broken: Exception | None = None
        self._executor = ThreadPoolExecutor(thread_name_prefix=name)
        loop.set_default_executor(self._executor)

    def run_loop(self, seconds: float | None = None) -> None:
        """Run the loop until it is stopped, or for some seconds."""
        if seconds is not None:
            self._loop.call_later(seconds, self._loop.stop)
        try:
            self._loop.run_forever()
        except Exception as error:
            # no task's: somebody has closed the loop's descriptors, say
            self.broken = error
        except BaseException as error:
            # SystemExit of a task that a handler has started comes here
            self._failed(error)

    def run_until(self, ended: Callable[[], bool], seconds: float) -> bool:
        """Run the loop until something has ended; False where it has not."""
        end = time.monotonic() + seconds
        while not ended():
            late = time.monotonic() >= end and not self._no_bound()
            if late or self.broken:
                return False
            self.run_loop(TURN_S)
        return True

    def end(self) -> None:
        """Cancel and await all tasks, then close what else there is."""
        self._end_tasks()
        self._close_generators()
        if self._shut_down_executor():
            self._loop.close()

    def _end_tasks(self) -> None:
        cancelled: set[asyncio.Task[Any]] = set()

        def ended() -> bool:
            tasks = asyncio.all_tasks(self._loop)
            for task in tasks - cancelled:
                task.cancel()
            cancelled.update(tasks)
            return not tasks

        if not self.run_until(ended, END_S):
            self._detach("tasks", asyncio.all_tasks(self._loop))
        self._tell_failed(task for task in cancelled if task.done())

    def _tell_failed(self, tasks: Iterable[asyncio.Task[Any]]) -> None:
        """Nobody else does: who holds a task may live on with the worker."""
        for task in tasks:
            # not those that somebody has awaited
            if task.cancelled() or not getattr(task, "_log_traceback", True):
                continue
            error = task.exception()
            if error is not None:
                self._loop.call_exception_handler(
                    {
                        "message": "a task has failed as its loop ended",
                        "exception": error,
                        "task": task,
                    }
                )

    def _close_generators(self) -> None:
        before = asyncio.all_tasks(self._loop)
        task = self._spawn(self._loop.shutdown_asyncgens())
        if not self.run_until(task.done, END_S):
            _detached.append(task)
            self._detach(
                "asynchronous generators",
                asyncio.all_tasks(self._loop) - before - {task},
            )

    def _shut_down_executor(self) -> bool:
        task = self._spawn(self._loop.shutdown_default_executor())
        if self.run_until(task.done, END_S):
            return True
        self._tell(
            f"its executor's jobs have not ended within {END_S:g} s, and go"
            f" on: {describe_threads(self._executor)}"
        )
        _detached.append(task)
        return False

    def _spawn(
        self, coroutine: Coroutine[Any, Any, None]
    ) -> asyncio.Task[None]:
        async def run() -> None:
            try:
                await coroutine
            except Exception as error:
                self._failed(error)

        return self._loop.create_task(run())

    def _detach(self, what: str, tasks: set[asyncio.Task[Any]]) -> None:
        _detached.extend(tasks)
        if tasks:
            self._tell(
                f"{what} have not ended within {END_S:g} s, and are left:"
                f" {describe_tasks(tasks)}"
            )


def describe_tasks(tasks: Iterable[asyncio.Task[Any]]) -> str:
    """One line: what they are called, and where each waits."""
    return _list([f"{t.get_name()} in {_where(t)}" for t in tasks])


def describe_threads(executor: ThreadPoolExecutor) -> str:
    """One line: what threads of it are called, and where each is."""
    frames = sys._current_frames()
    return _list(
        [
            f"{thread.name} in {_stack(frames[thread.ident])}"
            for thread in getattr(executor, "_threads", ())
            if thread.ident in frames
        ]
    )


def _list(texts: list[str]) -> str:
    more = len(texts) - TASKS
    return "; ".join(texts[:TASKS]) + (f"; {more} more" if more > 0 else "")


def _where(task: asyncio.Task[Any]) -> str:
    """What it awaits, and what that awaits, and so on."""
    places = []
    awaited: Any = task.get_coro()
    for _ in range(FRAMES):
        frame = _attribute(awaited, "frame")
        if frame is not None:
            code = frame.f_code
            if not code.co_filename.startswith(PACKAGE):
                name = getattr(awaited, "__qualname__", code.co_name)
                places.append(f"{name} ({code.co_filename}:{frame.f_lineno})")
        awaited = _attribute(awaited, "await") or _generator(awaited)
        if awaited is None:
            break
    return ", ".join(places) or "no code"


def _attribute(awaited: Any, name: str) -> Any:
    for prefix in ("cr_", "ag_", "gi_"):
        found = getattr(awaited, prefix + name, None)
        if found is not None:
            return found
    return getattr(awaited, "gi_yieldfrom", None) if name == "await" else None


def _generator(awaited: Any) -> Any:
    """The asynchronous generator that an aclose() or the like belongs to."""
    if type(awaited).__name__.startswith("async_generator_"):
        return next(
            filter(inspect.isasyncgen, gc.get_referents(awaited)), None
        )
    return None


def _stack(frame: FrameType) -> str:
    """What a thread of a pool is in, from its job's function on."""
    stack = traceback.extract_stack(frame)
    inside = itertools.dropwhile(lambda f: f.filename in POOL, stack)
    return ", ".join(f"{f.name} ({f.filename}:{f.lineno})" for f in inside)
