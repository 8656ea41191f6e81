# SPDX-License-Identifier: BSD-2-Clause
"""Starts what `serve` has marked, inside nginx.

The loader calls `start` with the target that a cfg names, on the thread that
is to serve it. Calls come from `native.Runtime`, in C; this file is what
happens once per runtime: its threads, its event loop, its end.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import math
import sys
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from . import _ending
from ._answers import Answers
from ._call import call_var
from ._context import Base
from ._ending import Ending, describe_tasks
from ._handlers import Handlers, is_asynchronous, resolve, resolve_async
from ._loader import leave
from ._loader.errors import LOG_WARN, describe
from ._loader.threads import Thread
from ._log import Log
from ._native import native
from ._options import Options

THREADS, SWITCH_INTERVAL = 0, 1

# Calls a poll takes at once: alone, a thread takes what there is; one of
# several leaves the rest to the others.
BATCH = 64
LIMIT = 256

HOUSEKEEPING_S = 1.0
OVERDUE_S = 0.5
LAST_REPLIES_S = 1.0
REPLY_TURN_S = 0.01
FINISH_TURN_S = 0.05

# How long calls that have been cancelled may take when the worker leaves,
# and an asynchronous close() when it does not.
LAST_CALLS_S = 1.0
CLOSE_S = 60.0


def start(target: Any, name: str, config: str, tq: int) -> Callable[[], None]:
    """Start a runtime; returns what this thread has to do for it next.

    config: the cfg's third part. tq: the queue's handle.
    Raises what the class's __init__ raises.
    """
    options: Options = target.__resty_ffi__
    make = _Loop if is_asynchronous(target) else _Threads
    threads = options.threads
    # Who writes Lua cannot know whether methods may leave the loop's thread.
    if make is _Threads or threads > 1:
        threads = int(native.option(tq, THREADS, threads))
    interval = native.option(tq, SWITCH_INTERVAL, 0)
    if interval > 0:
        sys.setswitchinterval(interval / 1000)
    Base.renew_here()
    runtime = make(target, name, config, tq, threads, options)
    runtime.open()
    return functools.partial(runtime.base.copy().run, runtime.run)


def log_tasks() -> None:
    """Tell error.log what event loops have not ended, as the worker leaves."""
    for runtime in list(_loops):
        runtime.log_tasks()


class _Runtime:
    def __init__(
        self,
        target: Any,
        name: str,
        config: str,
        tq: int,
        threads: int,
        options: Options,
    ) -> None:
        self._target = target
        self._name = name
        self._config = config
        self._tq = tq
        self._threads = threads
        self._options = options
        self._log = Log(name)

    def open(self) -> None:
        """Get ready to take calls, on the thread that then runs run."""
        raise NotImplementedError

    def run(self) -> None:
        """Serve until the runtime is unloaded, and end it."""
        raise NotImplementedError

    def _make(self, handlers: Handlers) -> native.Runtime:
        self.base = Base()
        return native.Runtime(
            tq=self._tq,
            handler=handlers.function,
            methods=handlers.methods,
            coroutines=handlers.coroutines,
            answers=Answers(self._name, self._log),
            run=_run,
            call_var=call_var,
            context=self.base.context,
            renew=self.base.renew,
            view=self._options.view,
        )


class _Threads(_Runtime):
    """Plain handlers: each thread takes calls and answers them."""

    def open(self) -> None:
        native.name(self._tq, self._name)
        handlers = resolve(self._target, self._config)
        self._runtime = self._make(handlers)
        self._left = 1
        self._lock = threading.Lock()
        self._close = handlers.close
        self._closed = threading.Event()
        try:
            for number in range(2, self._threads + 1):
                with self._lock:
                    self._spawn(f"{self._name}-{number}")
                    self._left += 1
        except BaseException:
            # the load fails, which unloads those that have started
            self._leave()
            raise

    def _spawn(self, name: str) -> None:
        serve = functools.partial(self.base.copy().run, self._serve)
        Thread(serve, name).start()

    def run(self) -> None:
        self._serve()
        self._closed.wait()

    def _serve(self) -> None:
        native.name(self._tq, threading.current_thread().name[-15:])
        if self._threads == 1:
            self._runtime.serve(BATCH, sys.getswitchinterval() / 2)
        else:
            self._runtime.serve(1, math.inf)
        self._leave()

    def _leave(self) -> None:
        with self._lock:
            self._left -= 1
            last = self._left == 0
        if last:
            replies = _Replies(self._runtime)
            while replies.to_come():
                time.sleep(REPLY_TURN_S)
                self._runtime.collect()
            if self._close is not None:
                try:
                    self._close()
                except BaseException as error:
                    self._log(error)
            self._log.tell_hidden()
            self._closed.set()


class _Loop(_Runtime):
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
        for number in list(self._runtime.tasks):
            self._runtime.cancel(number)
        if self._threads > 1:
            self._pool.shutdown(wait=False)
        self._log.tell_hidden()
        _loops.discard(self)
        # they refer to methods of this one, and nobody is to wait for the
        # garbage collector to free what all of them hold
        del self._runtime, self._ending

    def _break(self, error: Exception) -> None:
        """End without the loop; nginx sees that nobody takes calls now."""
        why = describe(error)
        self._tell(
            f"its event loop does not run any more: {why};"
            " rt:__reload() makes a fresh runtime"
        )
        for number in list(self._runtime.tasks):
            self._runtime.cancel(number)
        self._log.tell_hidden()
        _loops.discard(self)
        del self._runtime, self._ending

    def log_tasks(self) -> None:
        tasks = asyncio.all_tasks(self._loop)
        if tasks:
            self._tell(f"the worker leaves without {describe_tasks(tasks)}")

    def _tell(self, text: str) -> None:
        native.log(LOG_WARN, f"ffi_python3: {self._name}: {text}")

    async def _open(self) -> None:
        # in the running loop, for clients that want one
        self._handlers, self._on_unload = resolve_async(
            self._target, self._config
        )
        self._runtime = self._make(self._handlers)
        self._runtime.spawn = _spawner(self._loop)
        self._adopted: set[int] = set()
        self._cancelled: dict[int, float] = {}
        self._pooled: set[Future[None]] = set()
        if self._threads > 1:
            self._pool = ThreadPoolExecutor(self._threads, self._name)
            self._runtime.submit = self._submit
        else:
            self._runtime.adopt = self._adopt
        self._unloaded = False
        self._keeps_house = False
        # the runtime has none any more once it has been told of the unload
        self._fileno = self._runtime.fileno()
        self._loop.add_reader(self._fileno, self._accept)
        self._loop.call_soon(self._accept)

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

    def _submit(self, task: int) -> None:
        future = self._pool.submit(self._runtime.answer, task)
        self._pooled.add(future)
        future.add_done_callback(self._pooled.discard)

    def _accept(self) -> None:
        try:
            self._take()
        except OSError as error:
            self._ending.broken = error
            self._loop.stop()
        except BaseException as error:
            # nothing else may tell of what waits any more
            if not self._unloaded:
                self._runtime.notify()
            self._log(error)

    def _take(self) -> None:
        runtime = self._runtime
        if self._cancel(runtime.cancelled()):
            self._loop.call_soon(self._reap)
        state = runtime.accept(LIMIT)
        if state == 0:
            self._loop.call_soon(self._accept)
        elif state < 0 and not self._unloaded:
            self._unloaded = True
            self._loop.remove_reader(self._fileno)
            self._loop.stop()
        if not self._keeps_house and (runtime.tasks or runtime.collect()):
            self._keeps_house = True
            self._loop.call_later(HOUSEKEEPING_S, self._keep_house)

    def _keep_house(self) -> None:
        self._keeps_house = False
        try:
            self._reap()
            if self._cancel(_overdue(self._runtime)):
                self._loop.call_soon(self._reap)
        finally:
            if not self._unloaded:
                self._accept()

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
        for number, task in list(tasks.items()):
            if task.done() and number not in self._adopted:
                del tasks[number]
                self._runtime.cancel(number)
        for number in self._cancelled.keys() - tasks.keys():
            del self._cancelled[number]

    def _finish(self) -> None:
        """Let the calls that have been taken end; they are still answered."""
        runtime, replies = self._runtime, _Replies(self._runtime)
        exits: float | None = None
        while True:
            try:
                self._cancel(runtime.cancelled())
                self._cancel(_overdue(runtime))
                if exits is None and native.exiting():
                    self._cancel(list(runtime.tasks))
                    exits = time.monotonic()
            except MemoryError as error:
                self._log(error)
            self._loop.call_soon(runtime.collect)
            if self._is_hoped_for(exits):
                self._ending.run_loop(FINISH_TURN_S)
            elif replies.to_come():
                self._ending.run_loop(REPLY_TURN_S)
            else:
                break
            self._reap()

    def _is_hoped_for(self, exits: float | None) -> bool:
        """Whether a call may still end that has not; exits: of the worker."""
        now = time.monotonic()
        if exits is not None and now >= exits + LAST_CALLS_S:
            return False
        return bool(self._pooled) or any(
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


_loops: weakref.WeakSet[_Loop] = weakref.WeakSet()
leave.callbacks.append(log_tasks)


async def _run(
    call: native.Call,
    handler: Callable[[bytes], Awaitable[object]],
    request: bytes,
    tasks: dict[int, asyncio.Task[None]],
    number: int,
) -> None:
    try:
        result = await handler(request)
    except BaseException as error:
        call._fail(error)
    else:
        call._answer(result)
    finally:
        tasks.pop(number, None)


def _new_event_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


def _spawner(
    loop: asyncio.AbstractEventLoop,
) -> Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]:
    if sys.version_info >= (3, 12):
        return lambda coroutine: asyncio.Task(
            coroutine, loop=loop, eager_start=True
        )
    return loop.create_task


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


class _Replies:
    """The last answers, whose objects and whose fate nginx's thread has."""

    def __init__(self, runtime: native.Runtime) -> None:
        self._runtime = runtime
        self._end: float | None = None

    def to_come(self) -> bool:
        """Whether to wait: they all come back, unless the worker leaves."""
        if not self._runtime.outstanding:
            return False
        if not native.exiting():
            return True
        now = time.monotonic()
        if self._end is None:
            self._end = now + LAST_REPLIES_S
        return now < self._end
