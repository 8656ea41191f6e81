# SPDX-License-Identifier: BSD-2-Clause
"""What `_resty_ffi`, in C, is in nginx, without nginx.

Functions and classes are those of _resty_ffi.pyi, and do the same. A queue
and its tasks are objects here, where they are handles there.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from typing import Any

from ._answers import Answers
from ._call import call_var

logger = logging.getLogger("resty_ffi")

LOG_ERR = 4

# What a call returns in Lua; see testing.Runtime.
Answer = tuple[Any, ...]


def deadline(call: Call) -> float | None:
    return call.deadline


def exiting() -> bool:
    return False


def log(level: int, text: str) -> None:
    rank = logging.ERROR if level <= LOG_ERR else logging.WARNING
    logger.log(rank, "%s", text.removeprefix("ffi_python3: "))


def name(queue: Queue, name: str) -> None:
    pass


def option(queue: Queue, option: int, missing: float) -> float:
    return missing


class Call:
    """A call, between the thread that waits and the one that answers."""

    runtime: Runtime

    def __init__(
        self, method: str, request: bytes, timeout: float | None
    ) -> None:
        self.method = method
        self.request = request
        self.deadline = None if timeout is None else time.monotonic() + timeout
        self.cancelled = False
        self._lock = threading.Lock()
        self._result: Answer | None = None
        self._answered = False
        self._ended = threading.Event()
        self._callbacks: list[tuple[Callable[[bool], object], Context]] = []

    def on_delivered(self, callback: Callable[[bool], object], /) -> None:
        if not callable(callback):
            kind = type(callback).__name__
            raise TypeError(f"callback must be callable, not {kind}")
        if self._answered:
            raise RuntimeError("the call has been answered")
        context = copy_context()
        context.run(call_var.set, None)
        self._callbacks.append((callback, context))

    def wait(self) -> None:
        """Wait for the end, as long as the deadline says."""
        left = None
        if self.deadline is not None:
            left = max(0.0, self.deadline - time.monotonic())
        self._ended.wait(left)

    def settle(self) -> Answer | None:
        """The answer; where there is none so far, nobody wants it now."""
        with self._lock:
            self.cancelled = self._result is None
            return self._result

    def respond(self, answer: Answer) -> None:
        with self._lock:
            delivered = not self.cancelled
            if delivered:
                self._result = answer
        self._answered = True
        for callback, context in self._callbacks:
            try:
                context.run(callback, delivered)
            except BaseException:
                logger.exception("on_delivered: %r", callback)
        self._ended.set()

    def _answer(self, value: object, /) -> None:
        try:
            answer = True, _body(value)
        except BaseException as error:
            if isinstance(error, TypeError):
                error = self.runtime.answers.wrong_type(value)
            self._fail(error)
        else:
            self.respond(answer)

    def _fail(self, exception: BaseException, /) -> None:
        rc, body = self.runtime.answers.failed(exception)
        self.respond((False, rc, _body(body)))


def _body(value: object) -> bytes | None:
    """TypeError where a handler cannot return it."""
    if value is None or isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    view = memoryview(value)  # type: ignore[arg-type]
    if not view.c_contiguous:
        raise BufferError("memoryview: underlying buffer is not C-contiguous")
    return view.tobytes()


class Queue:
    """Calls on their way to a runtime; any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._calls: deque[Call] = deque()
        self._cancelled: list[Call] = []
        self._closed = False
        self._eventfd: int | None = None

    def __len__(self) -> int:
        return len(self._calls)

    def push(self, call: Call) -> bool:
        """False where it has been closed."""
        with self._changed:
            if not self._closed:
                self._calls.append(call)
                self._notify()
            return not self._closed

    def cancel(self, call: Call) -> None:
        with self._changed:
            self._cancelled.append(call)
            self._notify()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._notify()

    def notify(self) -> None:
        with self._changed:
            self._notify()

    def _notify(self) -> None:
        self._changed.notify_all()
        if self._eventfd is not None:
            os.eventfd_write(self._eventfd, 1)

    def poll(self, limit: int, wait: bool) -> list[Call] | None:
        """So many at most; None where it is closed, and empty."""
        with self._changed:
            while wait and not self._calls and not self._closed:
                self._changed.wait()
            if self._closed and not self._calls:
                return None
            number = min(limit, len(self._calls))
            return [self._calls.popleft() for _ in range(number)]

    def cancelled(self) -> list[Call]:
        with self._changed:
            calls, self._cancelled = self._cancelled, []
            return calls

    def fileno(self) -> int:
        with self._changed:
            if self._eventfd is None:
                flags = os.EFD_NONBLOCK | os.EFD_CLOEXEC
                self._eventfd = os.eventfd(0, flags)
            return self._eventfd

    def free(self) -> None:
        with self._changed:
            if self._eventfd is not None:
                os.close(self._eventfd)
                self._eventfd = None


class Runtime:
    spawn: Callable[[Any], Any]
    adopt: Callable[[Call, object, Call], bool] | None = None
    submit: Callable[[Call], object] | None = None
    outstanding = False

    def __init__(
        self,
        tq: Queue,
        handler: Callable[..., Any] | None,
        methods: dict[str, Callable[..., Any]] | None,
        coroutines: frozenset[Callable[..., Any]],
        answers: Answers,
        run: Callable[..., Any],
        call_var: ContextVar[Any],
        context: Context,
        renew: Callable[[], object] | None,
        view: bool,
    ) -> None:
        self.tasks: dict[Call, Any] = {}
        self.answers = answers
        self._queue = tq
        self._handler = handler
        self._methods = methods
        self._coroutines = coroutines
        self._run = run
        self._call_var = call_var
        self._context = context
        self._renew = renew
        self._view = view

    def serve(self, batch: int, patience: float) -> None:
        while (calls := self._queue.poll(1, wait=True)) is not None:
            for call in calls:
                self.answer(call)

    def accept(self, limit: int) -> int:
        with suppress(BlockingIOError):
            os.eventfd_read(self._queue.fileno())
        calls = self._queue.poll(limit, wait=False)
        if calls is None:
            return -1
        for call in calls:
            self._start(call)
        return 0 if len(calls) == limit else 1

    def answer(self, call: Call) -> None:
        handler = self._find(call)
        if handler is not None:
            self._call(call, handler)

    def cancelled(self) -> list[Call]:
        return self._queue.cancelled()

    def cancel(self, call: Call) -> None:
        call.respond((False, 1, b"CancelledError"))

    def fileno(self) -> int:
        return self._queue.fileno()

    def notify(self) -> None:
        self._queue.notify()

    def collect(self) -> bool:
        return False

    def _find(self, call: Call) -> Callable[..., Any] | None:
        call.runtime = self
        late = call.deadline is not None and call.deadline <= time.monotonic()
        if late or call.cancelled:
            call.respond((False, 1, None))
            return None
        if self._handler is not None:
            return self._handler
        handler = (self._methods or {}).get(call.method)
        if handler is None:
            call._fail(self.answers.no_method(call.method))
        return handler

    def _start(self, call: Call) -> None:
        handler = self._find(call)
        if handler is None:
            return
        try:
            if handler in self._coroutines:
                self._enter(call, self._spawn, call, handler)
            elif self.submit is None:
                self._call(call, handler)
            else:
                self.submit(call)
        except BaseException as error:
            call._fail(error)

    def _spawn(self, call: Call, handler: Callable[..., Any]) -> None:
        request = self._request(call)
        coroutine = self._run(call, handler, request, self.tasks, call)
        task = self.spawn(coroutine)
        if not task.done():
            self.tasks[call] = task

    def _call(self, call: Call, handler: Callable[..., Any]) -> None:
        try:
            value = self._enter(call, handler, self._request(call))
            if self.adopt is not None and self.adopt(call, value, call):
                return
        except BaseException as error:
            call._fail(error)
        else:
            call._answer(value)

    def _enter(
        self, call: Call, function: Callable[..., Any], *args: object
    ) -> Any:
        """Call a function in a context that is the call's own."""
        context = self._context.copy()
        if self._renew is not None:
            context.run(self._renew)
        context.run(self._call_var.set, call)
        return context.run(function, *args)

    def _request(self, call: Call) -> bytes | memoryview:
        return memoryview(call.request) if self._view else call.request
