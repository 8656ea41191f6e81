# SPDX-License-Identifier: BSD-2-Clause
"""Hands the group's messages to the calls that wait for them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from confluent_kafka import Message

from .config import Config
from .instance import Claim
from .journal import Journal
from .ledger import Entry, Key, Ledger, RevokedError
from .member import Member, key_of
from .topics import Topics

# Seconds.
PROBE_AHEAD = 2.0
STORE = 0.2
TICK = 0.01
QUIET = 1.0
DRAIN = 3.0

# Messages to have at hand for each one that is waited for.
AHEAD = 2

Entries = list[Entry[Message]]

log = logging.getLogger("ffi.kafka")


class ConsumeError(Exception):
    """Kafka gives no messages."""


class Waiting:
    """A call, or a stream, that waits for 1 to limit messages."""

    __slots__ = ("future", "is_stream", "limit", "timer")

    def __init__(
        self, future: asyncio.Future[Entries], limit: int, is_stream: bool
    ) -> None:
        self.future = future
        self.limit = limit
        self.is_stream = is_stream
        self.timer: asyncio.TimerHandle | None = None

    def fail(self, fault: str) -> None:
        # Its caller may be gone.
        if not self.future.done():
            self.future.set_exception(ConsumeError(fault))

    def end(self, entries: Entries) -> None:
        if not self.future.done():
            self.future.set_result(entries)


class Receiver:
    """All of it is the event loop's.

    on_dead: told of a message that nobody has acknowledged.
    """

    def __init__(
        self,
        config: Config,
        journal: Journal,
        topics: Topics,
        claim: Claim,
        on_dead: Callable[[Entry[Message]], object],
    ) -> None:
        """Raises what librdkafka has against the config."""
        self.ledger: Ledger[Message] = Ledger(
            manual=config.manual,
            ack_timeout=config.ack_timeout / 1000,
            max_outstanding=config.max_outstanding,
            max_deliveries=config.max_deliveries,
        )
        self._config = config
        self._journal = journal
        self._topics = topics
        self._on_dead = on_dead
        self._loop = asyncio.get_running_loop()
        self._member = Member(config, journal, topics, claim, self)
        self._waiting: OrderedDict[Waiting, None] = OrderedDict()
        self._wanted = 0
        self._store_timer: asyncio.TimerHandle | None = None
        self._tick_timer: asyncio.TimerHandle | None = None
        self._settled = asyncio.Event()
        self._closed = False

    @property
    def closed(self) -> bool:
        return self._closed

    def start(self) -> None:
        self._member.start()

    @property
    def waiting(self) -> int:
        """Calls that wait for a message."""
        return len(self._waiting)

    # ---- calls

    async def receive(self, limit: int, seconds: float) -> Entries:
        """1 to limit messages; none where none came in time.

        They are the caller's until it tells of their fate: see `settle`.
        ConsumeError where Kafka is at fault.
        """
        return await self._receive(limit, seconds)

    async def receive_each(
        self, limit: int, seconds: float, *, look: bool
    ) -> Entries:
        """As receive, for a stream: each message in an entry of its own.

        look: whether to find out if Kafka is at fault where none came.
        """
        return await self._receive(limit, seconds, is_stream=True, look=look)

    async def _receive(
        self,
        limit: int,
        seconds: float,
        *,
        is_stream: bool = False,
        look: bool = True,
    ) -> Entries:
        if self._closed:
            return []
        if not self._waiting and (
            entries := self.ledger.take(limit, apart=is_stream)
        ):
            return entries
        future: asyncio.Future[Entries] = self._loop.create_future()
        waiting = Waiting(future, limit, is_stream)
        self._waiting[waiting] = None
        self._wanted += limit
        if look:
            ahead = min(PROBE_AHEAD, seconds * 0.75)
            waiting.timer = self._loop.call_later(
                seconds - ahead, self._probe, waiting, ahead
            )
        else:
            waiting.timer = self._loop.call_later(seconds, waiting.end, [])
        self._ask()
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self.settle(future.result(), False)
            raise
        finally:
            waiting.timer.cancel()
            if waiting in self._waiting:
                self._remove(waiting)
                self._ask()

    def settle(
        self, entries: Iterable[Entry[Message]], delivered: bool
    ) -> None:
        """Whether they have reached a consumer."""
        if delivered:
            self.ledger.delivered(entries, time.monotonic())
        else:
            self.ledger.abandoned(entries)
        self._settled.set()
        self._changed()

    def ack(self, places: Sequence[tuple[Key, int]]) -> None:
        """RevokedError where one could not be; the others are then."""
        self._each(self.ledger.ack, places)

    def nack(self, places: Sequence[tuple[Key, int]]) -> None:
        self._each(self.ledger.nack, places)

    def finish(self, entry: Entry[Message]) -> None:
        """Of one that was dead: it is dealt with."""
        self.ledger.finish(entry)
        self._changed()

    async def stats(self) -> list[dict[str, Any]]:
        return await self._member.stats()

    # ---- the end

    def end_waiting(self) -> None:
        """Calls that wait get nothing, and so do those that come."""
        self._closed = True
        for waiting in self._waiting:
            waiting.end([])

    def end_streams(self) -> None:
        """Streams that wait get nothing."""
        for waiting in self._waiting:
            if waiting.is_stream:
                waiting.end([])

    def leave(self) -> None:
        """Commits and leaves the group."""
        self._member.store(self.ledger.positions())
        self._member.close()

    async def close(self, seconds: float) -> None:
        """As leave, as far as there is time."""
        self.leave()
        await self._member.wait(seconds)

    # ---- what the member tells

    def assigned(self, keys: Sequence[Key]) -> None:
        self.ledger.assign(keys)

    def arrived(self, messages: Sequence[Message]) -> None:
        for key, run in itertools.groupby(messages, key_of):
            part = list(run)
            offsets: list[Any] = [message.offset() for message in part]
            self.ledger.arrive(key, offsets, part)
        self._serve()

    def failed(self, fault: str) -> None:
        for waiting in self._waiting:
            waiting.fail(fault)

    async def revoked(self, keys: Sequence[Key]) -> dict[Key, int]:
        self.ledger.leave(keys)
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._drain(keys), DRAIN)
        return self.ledger.revoke(keys)

    async def _drain(self, keys: Sequence[Key]) -> None:
        """Until no answer with their messages is on its way."""
        while self.ledger.is_handed(keys):
            self._settled.clear()
            await self._settled.wait()

    def lost(self, keys: Sequence[Key]) -> None:
        self.ledger.revoke(keys)
        self._serve()

    # ---- inside

    def _each(
        self,
        settle: Callable[[Key, int], None],
        places: Sequence[tuple[Key, int]],
    ) -> None:
        try:
            revoked = None
            for key, offset in places:
                try:
                    settle(key, offset)
                except RevokedError as exc:
                    revoked = exc
            if revoked:
                raise revoked
        finally:
            self._changed()

    def _changed(self) -> None:
        """Messages were finished, or have come back."""
        if self._store_timer is None:
            self._store_timer = self._loop.call_later(STORE, self._store)
        if self._config.manual:
            while self.ledger.dead:
                self._on_dead(self.ledger.dead.pop())
            self._wind_up()
        self._serve()

    def _store(self) -> None:
        self._store_timer = None
        positions = self.ledger.positions()
        if positions:
            self._member.store(positions)

    def _wind_up(self) -> None:
        if (
            self._tick_timer is None
            and (due := self.ledger.next_due) is not None
        ):
            seconds = max(due - time.monotonic(), TICK)
            self._tick_timer = self._loop.call_later(seconds, self._tick)

    def _tick(self) -> None:
        self._tick_timer = None
        self.ledger.expire(time.monotonic())
        self._changed()

    def _serve(self) -> None:
        """Hands out what is there, then asks for what is missing."""
        while self._waiting and self.ledger.ready:
            waiting = next(iter(self._waiting))
            if not waiting.future.done():
                entries = self.ledger.take(
                    waiting.limit, apart=waiting.is_stream
                )
                if not entries:
                    break
                waiting.end(entries)
            self._remove(waiting)
        self._ask()

    def _ask(self) -> None:
        wanted = self._wanted
        if self._config.manual:
            wanted = min(wanted, self.ledger.room)
        # While these are handed out, the next ones come.
        self._member.want(AHEAD * wanted)

    def _remove(self, waiting: Waiting) -> None:
        del self._waiting[waiting]
        self._wanted -= waiting.limit

    def _probe(self, waiting: Waiting, seconds: float) -> None:
        """Soon it is too late: does Kafka answer at all?"""
        self._topics.look()
        waiting.timer = self._loop.call_later(seconds, self._expire, waiting)

    def _expire(self, waiting: Waiting) -> None:
        fault = self._topics.fault or self._member.fault
        if fault is not None:
            waiting.fail(fault)
            return
        if not self.ledger.keys:
            self._journal.say(
                logging.WARNING,
                "no partition",
                "no message in time, and no partition of topic %s assigned:"
                " group %s has not shared them out yet, or has more members,"
                " one in each nginx worker, than there are partitions",
                ", ".join(self._config.topics),
                self._config.group_id,
                every=QUIET,
            )
        waiting.end([])
