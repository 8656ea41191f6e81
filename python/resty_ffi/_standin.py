# SPDX-License-Identifier: BSD-2-Clause
"""What `_resty_ffi`, in C, is in nginx, without nginx.

Functions and classes are those of _resty_ffi.pyi, and do the same. A queue
and its tasks are objects here, where they are handles there.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context, ContextVar
from types import AsyncGeneratorType, GeneratorType
from typing import Any

from ._answers import Answers
from ._standin_call import Call, Callbacks, logger, tell
from ._standin_exchange import Exchange as Exchange
from ._standin_streams import Gathering, PlainGenerator, Streams

LOG_ERR = 4
CODE = re.compile("(FFI[0-9]{3}: )?ffi_python3: ")


def deadline(call: Call) -> float | None:
    return call.deadline


def exiting() -> bool:
    return False


def exit_deadline() -> float:
    return 0.0


def log(level: int, text: str, task: Call | int = 0) -> None:
    rank = logging.ERROR if level <= LOG_ERR else logging.WARNING
    logger.log(rank, "%s", CODE.sub("", text))


def method(task: Call) -> str:
    return task.method


def gone(call: Call) -> bool:
    return call.gone


def name(queue: Queue, name: str) -> None:
    pass


def option(queue: Queue, option: int, missing: float) -> float:
    return missing


class Queue:
    """Calls on their way to a runtime; any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._calls: deque[Call] = deque()
        self._events: list[Call] = []
        self._closed = False
        self._eventfd: int | None = None

    def __len__(self) -> int:
        return len(self._calls)

    def push(self, call: Call) -> bool:
        """False where it has been closed."""
        with self._changed:
            if not self._closed:
                call.queue = self
                self._calls.append(call)
                self._notify()
            return not self._closed

    def tell(self, call: Call) -> None:
        """Something is new about a call."""
        with self._changed:
            self._events.append(call)
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
            me = threading.get_ident()
            while wait and not self._calls and not self._closed:
                if any(call.thread == me for call in self._events):
                    return []
                self._changed.wait()
            if self._closed and not self._calls:
                return None
            number = min(limit, len(self._calls))
            calls = [self._calls.popleft() for _ in range(number)]
            for call in calls:
                call.thread = me
            return calls

    def events(self, thread: int | None = None) -> list[Call]:
        """Calls about which something is new; of one thread, or all."""
        with self._changed:
            ours = [c for c in self._events if thread in (None, c.thread)]
            self._events = [c for c in self._events if c not in ours]
            return ours

    def has_events(self) -> bool:
        return bool(self._events)

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
    iterate: Callable[[Call, object, Call], None] | None = None
    submit: Callable[[Call], object] | None = None
    loop_thread = 0

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
        readers: dict[Callable[..., Any], Callable[..., Any]],
    ) -> None:
        self.tasks: dict[Call, Any] = {}
        self.answers = answers
        # Parts whose fate callbacks are to be told; and what it was.
        self._on_way: set[int] = set()
        self._back: deque[tuple[Callbacks, bool]] = deque()
        self._queue = tq
        self._handler = handler
        self._methods = methods
        self._coroutines = coroutines
        self._run = run
        self._call_var = call_var
        self._context = context
        self._renew = renew
        self._view = view
        self._readers = readers

    def streams(self) -> Streams:
        return Streams()

    def serve(self, batch: int, patience: float) -> None:
        streams = self.streams()
        me = threading.get_ident()
        while True:
            calls = self._queue.poll(1, wait=not streams.ready)
            if calls is None:
                break
            self.collect()
            for call in calls:
                self.answer(call, streams)
            for call in self._queue.events(me):
                streams.wake(call)
            streams.run()
        streams.finish()

    def accept(self, limit: int, streams: Streams) -> int:
        with suppress(BlockingIOError):
            os.eventfd_read(self._queue.fileno())
        calls = self._queue.poll(limit, wait=False)
        if calls is None:
            return -1
        self.collect()
        for call in calls:
            self._start(call, streams)
        more = streams.run() or len(calls) == limit
        # what it has told of was no call, perhaps
        return 0 if more or self._queue.has_events() else 1

    def answer(self, call: Call, streams: Streams) -> None:
        handler = self._find(call)
        if handler is None:
            return

        def answer(body: bytes | None) -> None:
            self._call(call, handler, streams, body)

        if call.has_parts and handler not in self._readers:
            streams.add(Gathering(call, answer))
        else:
            answer(None)

    def events(self) -> list[Call]:
        return self._queue.events()

    def cancel(self, call: Call) -> None:
        call.respond((False, 1, b"CancelledError"))

    def fileno(self) -> int:
        self.loop_thread = threading.get_ident()
        return self._queue.fileno()

    def notify(self) -> None:
        self._queue.notify()

    @property
    def outstanding(self) -> bool:
        return bool(self._on_way)

    def expect(self, callbacks: Callbacks) -> None:
        """They are to be told of a part's fate, by `settle`."""
        self._on_way.add(id(callbacks))

    def settle(
        self, call: Call, callbacks: Callbacks, delivered: bool
    ) -> None:
        """Have them told, on a thread of the runtime."""
        self._back.append((callbacks, delivered))
        self._queue.tell(call)

    def collect(self) -> bool:
        with suppress(IndexError):
            while True:
                callbacks, delivered = self._back.popleft()
                tell(callbacks, delivered)
                self._on_way.discard(id(callbacks))
        return self.outstanding

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
            call._fail(self.answers.no_method(call.method), "no method")
        return handler

    def wrong_type(self, call: Call, result: object) -> Exception:
        return self.answers.wrong_type(result, self._method(call))

    def wrong_part(self, call: Call, part: object) -> Exception:
        return self.answers.wrong_part(part, self._method(call))

    def _method(self, call: Call) -> str | None:
        return call.method if self._handler is None else None

    def _start(self, call: Call, streams: Streams) -> None:
        handler = self._find(call)
        if handler is None:
            return
        is_async = handler in self._coroutines
        try:
            if not is_async and self.submit is not None:
                self.submit(call)
                return
        except BaseException as error:
            call._fail(error)
            return

        def start(body: bytes | None) -> None:
            if not is_async:
                self._call(call, handler, streams, body)
                return
            try:
                self._context_of(call).run(self._spawn, call, handler, body)
            except BaseException as error:
                call._fail(error)

        # what would block this thread while it reads is not called yet
        if call.has_parts and not (is_async and handler in self._readers):
            streams.add(Gathering(call, start))
        else:
            start(None)

    def _spawn(
        self, call: Call, handler: Callable[..., Any], body: bytes | None
    ) -> None:
        request = self._request(call, handler, body)
        coroutine = self._run(call, handler, request, self.tasks, call)
        task = self.spawn(coroutine)
        if not task.done():
            self.tasks[call] = task

    def _call(
        self,
        call: Call,
        handler: Callable[..., Any],
        streams: Streams,
        body: bytes | None,
    ) -> None:
        try:
            request = self._request(call, handler, body)
            context = self._context_of(call)
            value = context.run(handler, request)
            if isinstance(value, GeneratorType):
                streams.add(PlainGenerator(call, value, context))
                return
            if self.iterate and isinstance(value, AsyncGeneratorType):
                context.run(self.iterate, call, value, call)
                return
            if self.adopt is not None and self.adopt(call, value, call):
                return
        except BaseException as error:
            call._fail(error)
        else:
            call._answer(value)

    def _context_of(self, call: Call) -> Context:
        """One that is the call's own."""
        context = self._context.copy()
        if self._renew is not None:
            context.run(self._renew)
        context.run(self._call_var.set, call)
        return context

    def _request(
        self, call: Call, handler: Callable[..., Any], body: bytes | None
    ) -> Any:
        if handler in self._readers:
            return self._readers[handler](call, body)
        request = call.request if body is None else body
        return memoryview(request) if self._view else request
