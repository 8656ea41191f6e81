# SPDX-License-Identifier: BSD-2-Clause
"""Runtimes of asynchronous handlers, and of plain ones beside them."""

from __future__ import annotations

import asyncio
import functools
import inspect
import sys
import time
import traceback
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any

from . import _ending
from ._body import AsyncBodyReader
from ._ending import Ending, describe_tasks
from ._handlers import Handlers, resolve_async
from ._loader import leave, threads
from ._loader.errors import LOG_WARN, describe
from ._native import native
from ._pool import Pool
from ._runtime import REPLY_TURN_S, Replies, Runtime
from ._streams import GENERATORS, Waits, send
from ._unload import Callbacks
from ._where import stack_of

LIMIT = 256

HOUSEKEEPING_S = 1.0
OVERDUE_S = 0.5
FINISH_TURN_S = 0.05
STREAM_TURN_S = 0.01

# How long calls that have been cancelled may take when the worker leaves,
# and an asynchronous close() when it does not.
LAST_CALLS_S = 1.0
CLOSE_S = 60.0


class Loop(Runtime):
    """Asynchronous handlers, on an event loop of the runtime's own.

    The loop runs callbacks of this class and tasks of handlers, but no task
    of this class: a handler that cancels every task there is, or one whose
    task raises SystemExit, must not end it.
    """

    def open(self) -> None:
        native.name(self._tq, self._name)
        self._loop = _new_event_loop()
        self._ending = Ending(
            self._loop,
            self._name,
            self._log,
            self._tell,
            no_bound=native.exiting,
        )
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._open())
        except BaseException:
            self._ending.end()
            raise
        _loops.add(self)

    def run(self) -> None:
        while not self._unloaded and not self._ending.broken:
            self._ending.run_loop()
        if self._ending.broken:
            self._break(self._ending.broken)
            return
        for callback in self._on_unload:
            self._loop.call_soon(callback)
        self._finish()
        self._close()
        self._ending.end()
        self._let_go()

    def _break(self, error: Exception) -> None:
        """End without the loop; nginx sees that nobody takes calls now."""
        why = describe(error)
        self._tell(
            f"its event loop does not run any more: {why};"
            " rt:__reload() makes a fresh runtime",
            "FFI038",
        )
        self._let_go()

    def _let_go(self) -> None:
        self._streams.end()
        for number in list(self._runtime.tasks):
            self._runtime.cancel(number)
        if self._pool is not None:
            self._pool.shutdown()
        self._log.tell_hidden()
        _loops.discard(self)
        # they refer to methods of this one, and nobody is to wait for the
        # garbage collector to free what all of them hold
        del self._runtime, self._ending, self._streams, self._pool

    def task_of(self, number: int) -> Any:
        runtime = getattr(self, "_runtime", None)
        return None if runtime is None else runtime.tasks.get(number)

    def log_tasks(self) -> None:
        tasks = asyncio.all_tasks(self._loop)
        if tasks:
            self._tell(f"the worker leaves without {describe_tasks(tasks)}")

    def _tell(self, text: str, code: str = "FFI037") -> None:
        native.log(LOG_WARN, f"{code}: ffi_python3: {self._name}: {text}")

    async def _open(self) -> None:
        self._waits = Waits(self._loop)
        # in the running loop, for clients that want one
        self._handlers, self._on_unload = self._resolve()
        await self._prepare()
        self._runtime = self._make(
            self._handlers, self._run, self._make_readers()
        )
        self._runtime.spawn = self._make_spawn()
        self._adopted: set[int] = set()
        self._cancelled: dict[int, float] = {}
        self._streams = self._runtime.streams()
        self._pool: Pool | None = None
        if self._threads > 1:
            self._pool = Pool(
                self._runtime, self._threads, self._name, self._log
            )
            self._runtime.submit = self._pool.submit
        else:
            self._runtime.adopt = self._adopt
            self._runtime.iterate = self._iterate
        self._unloaded = False
        self._missed = False
        self._keeps_house = False
        self._steps = False
        # the runtime has none any more once it has been told of the unload
        self._fileno = self._runtime.fileno()
        self._loop.add_reader(self._fileno, self._accept)
        self._loop.call_soon(self._accept)

    def _resolve(self) -> tuple[Handlers, Callbacks]:
        return resolve_async(self._target, self._config)

    def _make_spawn(
        self,
    ) -> Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]:
        loop = self._loop
        if sys.version_info >= (3, 12):
            return lambda coroutine: asyncio.Task(
                coroutine, loop=loop, eager_start=True
            )
        return loop.create_task

    async def _prepare(self) -> None:
        """What has to have happened before the first call."""

    def _make_readers(self) -> dict[Callable[..., Any], Callable[..., Any]]:
        return {
            handler: functools.partial(reader, self._waits.wait)
            if issubclass(reader, AsyncBodyReader)
            else reader
            for handler, reader in self._handlers.readers.items()
        }

    def _adopt(self, call: native.Call, value: Any, number: int) -> bool:
        """Answer a call with a future's result; False where it is none.

        ValueError where it is another loop's, whose thread would answer.
        """
        if not asyncio.isfuture(value):
            return False
        value = asyncio.ensure_future(value, loop=self._loop)
        value.add_done_callback(functools.partial(self._settle, call, number))
        self._adopted.add(number)
        self._runtime.tasks[number] = value
        return True

    def _settle(
        self,
        call: native.Call,
        number: int,
        future: asyncio.Future[Any],
    ) -> None:
        self._adopted.discard(number)
        if self._runtime.tasks.pop(number, None) is None:
            return  # no memory was left to adopt it
        try:
            result = future.result()
        except BaseException as error:
            call._fail(error)
        else:
            call._answer(result)

    def _iterate(self, call: native.Call, parts: Any, number: int) -> None:
        """Answer a call with what an asynchronous generator yields."""

        async def give(parts: Any) -> Any:
            return parts

        tasks = self._runtime.tasks
        tasks[number] = self._loop.create_task(
            self._run(call, give, parts, tasks, number)
        )

    async def _run(
        self,
        call: native.Call,
        handler: Callable[[Any], Awaitable[Any]],
        request: Any,
        tasks: dict[int, asyncio.Future[Any]],
        number: int,
    ) -> None:
        try:
            result = await handler(request)
            if type(result) in GENERATORS:
                result = await send(call, result, self._waits)
        except BaseException as error:
            call._fail(error)
        else:
            call._answer(result)
        finally:
            tasks.pop(number, None)

    def _accept(self) -> None:
        try:
            self._take()
        except OSError as error:
            self._ending.broken = error
            self._loop.stop()
        except BaseException as error:
            # nothing else may tell of what waits any more
            self._missed = True
            if not self._unloaded:
                self._runtime.notify()
            self._log(error)

    def _take(self) -> None:
        runtime = self._runtime
        if self._missed:
            self._hear_of_all()
            self._missed = False
        if events := runtime.events():
            self._hear(events)
        state = runtime.accept(LIMIT, self._streams)
        if state == 0:
            self._loop.call_soon(self._accept)
        elif state < 0 and not self._unloaded:
            self._unloaded = True
            self._loop.remove_reader(self._fileno)
            self._loop.stop()
        if not self._keeps_house and (
            runtime.tasks or runtime.collect() or self._streams.open
        ):
            self._keeps_house = True
            self._loop.call_later(HOUSEKEEPING_S, self._keep_house)

    def _hear(self, numbers: list[int]) -> None:
        """Tell who waits for it what is new about calls."""
        self._cancel_gone(numbers)
        for number in numbers:
            self._wake(number)

    def _hear_of_all(self) -> None:
        """Look at every call: what was new about some has been lost."""
        self._cancel_gone(self._runtime.tasks)
        self._wake(None)

    def _cancel_gone(self, numbers: Iterable[int]) -> None:
        if self._cancel(n for n in numbers if native.gone(n)):
            self._loop.call_soon(self._reap)

    def _wake(self, number: int | None) -> None:
        """Have what waits for news of a call look; None: of any call."""
        self._waits.tell(number)
        self._streams.wake(number)
        if self._pool is not None:
            self._pool.wake(number)

    def _keep_house(self) -> None:
        self._keeps_house = False
        try:
            self._reap()
            if self._cancel(self._find_overdue()):
                self._loop.call_soon(self._reap)
        finally:
            if not self._unloaded:
                self._accept()

    def _find_overdue(self) -> list[int]:
        return _overdue(self._runtime)

    def _cancel(self, numbers: Iterable[int]) -> bool:
        """Cancel the tasks of calls, each once; whether there were any."""
        tasks = self._runtime.tasks
        fresh = [n for n in numbers if n in tasks and n not in self._cancelled]
        for number in fresh:
            self._cancelled[number] = time.monotonic()
            tasks[number].cancel()
        return bool(fresh)

    def _reap(self) -> None:
        """End the calls whose task was cancelled before its first step."""
        tasks = self._runtime.tasks
        # no list of all of them: each second, that has the garbage collected
        done = [number for number, task in tasks.items() if task.done()]
        for number in done:
            if number not in self._adopted:
                del tasks[number]
                self._runtime.cancel(number)
        for number in self._cancelled.keys() - tasks.keys():
            del self._cancelled[number]

    def _finish(self) -> None:
        """Let the calls that have been taken end; they are still answered."""
        runtime, replies = self._runtime, Replies(self._runtime)
        exits: float | None = None
        while True:
            try:
                self._cancel_gone(runtime.tasks)
                self._cancel(self._find_overdue())
                if exits is None and native.exiting():
                    exits = self._end_calls()
            except MemoryError as error:
                self._log(error)
            self._loop.call_soon(runtime.collect)
            self._loop.call_soon(self._ask_streams)
            if self._is_hoped_for(exits):
                streaming = self._waits or self._streams.open
                self._ending.run_loop(
                    STREAM_TURN_S if streaming else FINISH_TURN_S
                )
            elif replies.to_come():
                self._ending.run_loop(REPLY_TURN_S)
            else:
                break
            self._reap()

    def _end_calls(self) -> float | None:
        """The worker leaves; when the last call was cancelled, if it was.

        What goes on behind an answer has until the end is near.
        """
        tasks = self._runtime.tasks
        if time.monotonic() < native.exit_deadline() - LAST_CALLS_S:
            self._cancel([n for n in tasks if not native.gone(n)])
        else:
            self._cancel(list(tasks))
        self._loop.call_soon(self._streams.end)
        if tasks.keys() - self._cancelled.keys():
            return None
        return time.monotonic()

    def _ask_streams(self) -> None:
        """Have them look for themselves: after the unload nothing is told."""
        self._wake(None)
        if not self._steps:
            self._step_streams()

    def _step_streams(self) -> None:
        self._steps = self._streams.run()
        if self._steps:
            self._loop.call_soon(self._step_streams)

    def _is_hoped_for(self, exits: float | None) -> bool:
        """Whether a call may still end that has not; exits: of the worker."""
        now = time.monotonic()
        if exits is not None and now >= exits + LAST_CALLS_S:
            return False
        if self._streams.open or (self._pool and self._pool.busy):
            return True
        return any(
            now < self._cancelled.get(number, now) + _ending.END_S
            for number in self._runtime.tasks
        )

    def _close(self) -> None:
        if self._handlers.close is None:
            return
        task = self._loop.create_task(self._call_close(self._handlers.close))
        if not self._ending.run_until(task.done, CLOSE_S):
            self._tell(
                f"close() has not ended within {CLOSE_S:g} s:"
                f" {describe_tasks([task])}"
            )

    async def _call_close(self, close: Callable[[], object]) -> None:
        try:
            result = close()
            if inspect.isawaitable(result):
                await result
        except BaseException as error:
            self._log(error)


def log_tasks() -> None:
    """Tell error.log what event loops have not ended, as the worker leaves."""
    for runtime in list(_loops):
        runtime.log_tasks()


_loops: weakref.WeakSet[Loop] = weakref.WeakSet()


def _describe(number: int) -> traceback.StackSummary | None:
    """Where the task of a call is; any thread calls it."""
    for loop in list(_loops):
        task = loop.task_of(number)
        if task is not None:
            return stack_of(task)
    return None


threads.describers.append(_describe)
leave.callbacks.append(log_tasks)


def _new_event_loop() -> asyncio.AbstractEventLoop:
    try:
        # what another thread fails to import meanwhile may be there, empty
        from uvloop import new_event_loop
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = new_event_loop()
    return loop


def _overdue(runtime: native.Runtime) -> list[int]:
    """Calls nobody can wait for: a killed thread tells nobody.

    A caller that lives has been told by its own timer, which may be late;
    it is to see "timeout" then, and no answer to a cancelled call.
    """
    past = time.monotonic() - OVERDUE_S
    overdue = []
    for number in runtime.tasks:
        deadline = native.deadline(number)
        if deadline is not None and deadline <= past:
            overdue.append(number)
    return overdue
