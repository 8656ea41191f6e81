# SPDX-License-Identifier: BSD-2-Clause
"""A call outside of nginx, between who waits and the thread that answers."""

from __future__ import annotations

import errno
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any

from ._call import call_var

if TYPE_CHECKING:
    from ._standin import Queue, Runtime

logger = logging.getLogger("resty_ffi")


# Bytes on their way above which senders wait, and below which they go on.
HIGH = 65536
LOW = HIGH // 4

# What a part counts for besides its bytes.
PART_COST = 72

Callbacks = list[tuple[Callable[[bool], object], Context]]

# What a call returns in Lua; see testing.Runtime.
Answer = tuple[Any, ...]


class Call:
    """Its lock guards all of it; what holds now is told to the queue."""

    runtime: Runtime
    queue: Queue
    thread = 0
    trace: str | None = None

    def __init__(
        self,
        method: str,
        request: bytes,
        timeout: float | None,
        has_parts: bool = False,
    ) -> None:
        self.method = method
        self.request = request
        self.deadline = None if timeout is None else time.monotonic() + timeout
        self.cancelled = False
        self.has_parts = has_parts
        self._changed = threading.Condition()
        self._result: Answer | None = None
        self._answered = False
        self._ended = False
        self._callbacks: Callbacks = []
        self._parts: deque[tuple[bytes, Callbacks]] = deque()
        self._unreleased = 0
        self._full = False
        self._input: deque[bytes] = deque()
        self._unread = 0
        self._finished = not has_parts
        self._starved = False

    # ---- what handlers and their runtime call

    @property
    def _number(self) -> Call:
        return self

    def on_delivered(self, callback: Callable[[bool], object], /) -> None:
        if not callable(callback):
            kind = type(callback).__name__
            raise TypeError(f"callback must be callable, not {kind}")
        if self._answered:
            raise RuntimeError("the call has been answered")
        context = copy_context()
        context.run(call_var.set, None)
        self._callbacks.append((callback, context))

    def respond(self, answer: Answer) -> None:
        with self._changed:
            delivered = not self.cancelled
            if delivered:
                self._result = answer
        self._answered = True
        tell(self._callbacks, delivered)
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _answer(self, value: object, /) -> None:
        try:
            answer = True, body_of(value)
        except BaseException as error:
            if isinstance(error, TypeError):
                error = self.runtime.wrong_type(self, value)
            self._fail(error)
        else:
            self.respond(answer)

    def _fail(self, exception: BaseException, /, why: str = "") -> None:
        if isinstance(exception, BrokenPipeError) and self.cancelled:
            self.respond((False, 1, None))
            return
        rc, body = self.runtime.answers.failed(exception, self)
        more = (why,) if why else ()
        self.respond((False, rc, body_of(body), *more))

    def _send(self, part: object, /) -> int:
        if self._answered:
            raise RuntimeError("the call has been answered")
        try:
            body = body_of(part) or b""
        except TypeError:
            self._unsent()
            raise self.runtime.wrong_part(self, part) from None
        with self._changed:
            if self.cancelled:
                self._unsent()
                return errno.EPIPE
            if body and self._unreleased >= HIGH:
                self._full = True
                return errno.EAGAIN
            if body:
                if self._callbacks:
                    self.runtime.expect(self._callbacks)
                self._parts.append((body, self._callbacks))
                self._callbacks = []
                self._unreleased += len(body) + PART_COST
                self._changed.notify_all()
            return 0

    def send(self, part: object, /) -> None:
        if self._answered:
            raise RuntimeError("the call has been answered")
        self._may_block("yield the parts instead")
        while error := self._send(part):
            if error == errno.EPIPE:
                raise _gone()
            with self._changed:
                while self._full and not self.cancelled:
                    self._changed.wait()

    def _unsent(self) -> None:
        callbacks, self._callbacks = self._callbacks, []
        if callbacks:
            self.runtime.expect(callbacks)
            self.runtime.settle(self, callbacks, False)

    def _first(self) -> bytes:
        return self.request

    def _read_now(self) -> bytes | None:
        with self._changed:
            if self.cancelled:
                raise _gone()
            if self._input:
                part = self._input.popleft()
                self._unread -= len(part) + PART_COST
                self._changed.notify_all()
                return part
            self._starved = not self._finished
            return None if self._starved else b""

    def _read(self) -> bytes:
        while (part := self._read_now()) is None:
            self._may_block("have an AsyncBodyReader instead")
            with self._changed:
                while not (self._input or self._finished or self.gone):
                    self._changed.wait()
        return part

    @property
    def gone(self) -> bool:
        """Whether nobody waits for the answer, or it is there."""
        return self.cancelled or self._ended

    def _may_block(self, what: str) -> None:
        if self.runtime.loop_thread == threading.get_ident():
            raise RuntimeError(f"this would block the event loop: {what}")

    # ---- what the caller calls

    def next_part(self) -> bytes | None:
        """Wait for a part, as long as the deadline says; None: no further."""
        with self._changed:
            while not self._parts and not self._ended:
                left = None
                if self.deadline is not None:
                    left = self.deadline - time.monotonic()
                    if left <= 0:
                        return None
                self._changed.wait(left)
            if not self._parts:
                return None
            part, callbacks = self._parts.popleft()
            self._unreleased -= len(part) + PART_COST
            writable = self._full and self._unreleased <= LOW
            if writable:
                self._full = False
                self._changed.notify_all()
        if callbacks:
            self.runtime.settle(self, callbacks, True)
        if writable:
            self.queue.tell(self)
        return part

    def write(self, part: bytes) -> None:
        """Add a part to the request, when what was written is read."""
        with self._changed:
            while self._unread >= HIGH and not (self.cancelled or self._ended):
                self._changed.wait()
            if self.cancelled or self._ended:
                raise _gone()
            if not part:
                return
            self._input.append(part)
            self._unread += len(part) + PART_COST
            self._tell_readable()

    def finish(self) -> None:
        """The request is complete."""
        with self._changed:
            self._finished = True
            self._tell_readable()

    def _tell_readable(self) -> None:
        self._changed.notify_all()
        if self._starved:
            self._starved = False
            self.queue.tell(self)

    def settle(self) -> Answer | None:
        """The answer; where there is none so far, nobody wants it now."""
        with self._changed:
            self.cancelled = self._result is None
            for _, callbacks in self._parts:
                if callbacks:
                    self.runtime.settle(self, callbacks, False)
            self._parts.clear()
            self._changed.notify_all()
            return self._result


def tell(callbacks: Callbacks, delivered: bool) -> None:
    for callback, context in callbacks:
        try:
            context.run(callback, delivered)
        except BaseException:
            logger.exception("on_delivered: %r", callback)


def _gone() -> BrokenPipeError:
    return BrokenPipeError("nobody waits for the answer any more")


def body_of(value: object) -> bytes | None:
    """TypeError where a handler cannot return it."""
    if value is None or isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    view = memoryview(value)  # type: ignore[arg-type]
    if not view.c_contiguous:
        raise BufferError("memoryview: underlying buffer is not C-contiguous")
    return view.tobytes()
