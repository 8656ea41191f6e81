# SPDX-License-Identifier: BSD-2-Clause
"""Messages as they come, each as a part of one answer."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import re
from collections import deque
from collections.abc import AsyncGenerator
from typing import NamedTuple

from confluent_kafka import Message

from resty_ffi import Call, Error

from . import wire
from .config import shown
from .consumer import ConsumeError, Receiver
from .ledger import HANDED, OUT, Entry, RevokedError
from .wire import FAILED

# Ms without a message, then a part says so.
QUIET = 2000

# Messages to take at once from those that wait; and their bytes, as far as
# the last ones tell.
MOST = 64
BYTES = 16384

LINE_END = re.compile(rb"\r\n?|\n")


class Options(NamedTuple):
    is_sse: bool
    quiet: float
    patience: float
    offset: bool

    @classmethod
    def parse(cls, request: wire.Object, timeout: float) -> Options:
        """timeout: the configuration's, in ms."""
        name = request.get("format", "json")
        if name not in ("json", "sse"):
            raise wire.RequestError(f"unknown format: {shown(name)}")
        return cls(
            name == "sse",
            wire.parse_ms(request, "quiet", QUIET),
            wire.parse_ms(request, "timeout", timeout),
            wire.parse_flag(request, "report"),
        )


class Stream:
    """One answer. A message's fate is that of its part."""

    def __init__(
        self, receiver: Receiver, call: Call, options: Options, *, manual: bool
    ) -> None:
        self._receiver = receiver
        self._call = call
        self._options = options
        self._manual = manual
        self._task: asyncio.Task[None] | None = None
        self._ended = False

    def end(self) -> None:
        """What is on its way arrives; `Receiver.end_streams` ends a wait."""
        self._ended = True

    def cancel(self) -> None:
        """End it though nobody takes what is on its way."""
        if self._task is not None:
            self._task.cancel()

    async def parts(self, streams: set[Stream]) -> AsyncGenerator[bytes, None]:
        """streams: it is one of these meanwhile."""
        self._task = asyncio.current_task()
        entries: deque[Entry[Message]] = deque()
        streams.add(self)
        try:
            if self._options.is_sse:
                yield b": messages follow\n\n"
            limit, left = 1, self._options.patience
            while not self._is_over:
                seconds = min(self._options.quiet, left)
                left -= seconds
                entries += await self._receiver.receive_each(
                    limit, seconds, look=left <= 0
                )
                if entries or left <= 0:
                    left = self._options.patience
                if not entries and not self._is_over:
                    yield self._silence
                number, size = len(entries), 0
                while entries and not self._is_over:
                    part = self._give(entries[0])
                    entries.popleft()
                    if part is not None:
                        size += len(part)
                        yield part
                limit = _next_limit(limit, number, size)
        except ConsumeError as exc:
            raise Error(FAILED, str(exc)) from None
        finally:
            streams.discard(self)
            self._receiver.settle(entries, False)

    @property
    def _is_over(self) -> bool:
        return self._ended or self._receiver.closed

    @property
    def _silence(self) -> bytes:
        return b": nothing new\n\n" if self._options.is_sse else b"\n"

    def _give(self, entry: Entry[Message]) -> bytes | None:
        """What to send, and its fate is the message's; None: it is lost."""
        if entry.state != HANDED:
            return None
        if self._options.is_sse:
            part = event(entry)
        else:
            (item,) = wire.describe(
                entry,
                offset=self._options.offset or self._manual,
                count=self._manual,
            )
            part = wire.encode(item) + b"\n"
        self._call.on_delivered(functools.partial(self._settle, entry))
        return part

    def _settle(self, entry: Entry[Message], delivered: bool) -> None:
        self._receiver.settle([entry], delivered)
        if self._options.is_sse and entry.state == OUT:
            # Who has an event acknowledges nothing.
            with contextlib.suppress(RevokedError):
                self._receiver.ack([(entry.partition.key, entry.offset)])


def _next_limit(limit: int, number: int, size: int) -> int:
    """How many to take after `number` of `limit`, of size bytes together.

    Others that wait get theirs: more than one only while more are there.
    """
    if number < limit or size == 0:
        return 1
    return max(1, min(2 * limit, MOST, BYTES * number // size))


def event(entry: Entry[Message]) -> bytes:
    """As a server-sent event; base64 where the value is not UTF-8."""
    value = entry.messages[0].value() or b""
    head = b"id: %d/%d\n" % (entry.partition.key[1], entry.offset)
    try:
        value.decode()
    except UnicodeDecodeError:
        value = base64.b64encode(value)
        return b"%bevent: base64\ndata: %b\n\n" % (head, value)
    return b"%bdata: %b\n\n" % (head, LINE_END.sub(b"\ndata: ", value))
