# SPDX-License-Identifier: BSD-2-Clause
"""What src/loader/streams.c, generator.c and gather.c are, outside of nginx.

The calls of one thread that are answered, or whose requests are read, bit by
bit: each has its turns on that thread, and is parked in between.
"""

from __future__ import annotations

import errno
import time
from collections import deque
from collections.abc import Callable, Generator
from contextvars import Context
from typing import Any, Protocol

from ._standin_call import Call

TURN_S = 0.001
ASK_S = 0.01

READY, PARKED, ENDED = range(3)


class Stream(Protocol):
    call: Call

    def turn(self, gone: bool) -> int:
        """READY, PARKED or ENDED; has to end where nobody waits."""


class Streams:
    def __init__(self) -> None:
        self._ready: deque[Stream] = deque()
        self._parked: dict[Call, Stream] = {}

    @property
    def open(self) -> bool:
        return bool(self._ready or self._parked)

    @property
    def ready(self) -> bool:
        return bool(self._ready)

    def add(self, stream: Stream) -> None:
        self._ready.append(stream)

    def run(self) -> bool:
        end = time.monotonic() + TURN_S
        while self._ready:
            self._give_turn(self._ready.popleft(), gone=False)
            if time.monotonic() >= end:
                break
        return self.ready

    def wake(self, call: Call | None) -> None:
        calls = list(self._parked) if call is None else [call]
        for one in calls:
            if stream := self._parked.pop(one, None):
                self._ready.append(stream)

    def end(self) -> None:
        self.wake(None)
        for _ in range(len(self._ready)):
            self._give_turn(self._ready.popleft(), gone=True)

    def finish(self) -> None:
        """After the unload: until all have ended."""
        while self.open:
            self.wake(None)
            if not self.run():
                time.sleep(ASK_S)

    def _give_turn(self, stream: Stream, *, gone: bool) -> None:
        state = stream.turn(gone)
        if state == READY:
            self._ready.append(stream)
        elif state == PARKED:
            self._parked[stream.call] = stream


class PlainGenerator:
    """Sends what a generator yields."""

    def __init__(
        self, call: Call, parts: Generator[Any, None, Any], context: Context
    ) -> None:
        self.call = call
        self._parts = parts
        self._context = context
        self._part: object = None

    def turn(self, gone: bool) -> int:
        try:
            state, value = self._context.run(self._run, gone)
        except BaseException as error:
            self.call._fail(error)
            return ENDED
        if state == ENDED and self.call.cancelled:
            self.call.respond((False, 1, None))
        elif state == ENDED:
            self.call._answer(value)
        return state

    def _run(self, gone: bool) -> tuple[int, object]:
        end = time.monotonic() + TURN_S
        try:
            while not gone:
                error = self.call._send(self._part)
                if error:
                    if error == errno.EAGAIN:
                        return PARKED, None
                    break
                if time.monotonic() >= end:
                    self._part = None
                    return READY, None
                try:
                    self._part = next(self._parts)
                except StopIteration as stop:
                    return ENDED, stop.value
        except BaseException as error:
            self._parts.close()
            raise error
        self.call._unsent()
        self._parts.close()
        return ENDED, None


class Gathering:
    """Puts the parts of a request together."""

    def __init__(self, call: Call, then: Callable[[bytes], object]) -> None:
        self.call = call
        self._then = then
        self._parts = [call._first()]

    def turn(self, gone: bool) -> int:
        try:
            while not gone and (part := self.call._read_now()) != b"":
                if part is None:
                    return PARKED
                self._parts.append(part)
        except BrokenPipeError:
            gone = True
        if gone:
            self.call.respond((False, 1, None))
        else:
            self._then(b"".join(self._parts))
        return ENDED
