# SPDX-License-Identifier: BSD-2-Clause
"""Which messages are on their way, and what is finished.

No I/O, no threads, no clock: `Ledger` is told what happens and says what
follows.  It keeps books of entries: of one message where each is acknowledged
by itself, else of a run of messages that came one after the other, so that
what it costs does not grow with their number.  An entry is

    READY     here, waiting for a consumer; `take` may split it
    HANDED    in an answer whose fate is not known yet
    OUT       with somebody who is to acknowledge it
    DEAD      delivered often enough: to be reported, or buried elsewhere
    HELD      not to be handed out: its partition is about to be revoked
    finished  acknowledged, or what counts as that: forgotten

                 take        delivered        ack
    arrive ─► READY ──► HANDED ──────► OUT ──────► finished
                ▲          │            │             ▲
                └──────────┘            │             │ finish
                ├───────────────────────┘             │
                │  nack, expired        └─► DEAD ─────┘

With automatic acknowledgement `delivered` finishes it.  What may be
committed of a partition is where its first unfinished message stands; offsets
have gaps, so nothing is counted.
"""

from __future__ import annotations

import heapq
import operator
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Generic, TypeVar

Key = tuple[str, int]
M = TypeVar("M")

READY, HANDED, OUT, DEAD, HELD, FINISHED = range(6)


class RevokedError(Exception):
    """The partition is another member's, or was in the meantime."""


class Entry(Generic[M]):
    """Messages of a partition that are not finished; never none."""

    __slots__ = ("count", "messages", "offsets", "order", "partition", "state")

    def __init__(
        self,
        partition: Partition[M],
        offsets: list[int],
        messages: list[M],
        order: int,
    ) -> None:
        """order: of the first; the others' follow it."""
        self.partition = partition
        self.offsets = offsets
        self.messages = messages
        self.order = order
        self.state = READY
        # Deliveries, with the one under way.
        self.count = 0

    def __len__(self) -> int:
        return len(self.offsets)

    @property
    def offset(self) -> int:
        """Of the first."""
        return self.offsets[0]


class Partition(Generic[M]):
    """One assignment of a partition to this member."""

    __slots__ = ("end", "key", "leaving", "stored", "unfinished")

    def __init__(self, key: Key) -> None:
        self.key = key
        self.leaving = False
        # By the offset of the first message.
        self.unfinished: dict[int, Entry[M]] = {}
        # Behind the last message that came; None before the first.
        self.end: int | None = None
        self.stored: int | None = None

    @property
    def position(self) -> int | None:
        """What may be committed; None where nothing has come."""
        return min(self.unfinished, default=self.end)


class Ledger(Generic[M]):
    """The messages of one member of a group.

    manual: a message is finished when it is acknowledged; without that when
    it was delivered.
    ack_timeout: how long that may take, in the unit of `now`.
    max_outstanding: HANDED, OUT and DEAD messages at a time, where manual.
    max_deliveries: a message that comes back after so many is DEAD; 0: never.

    All numbers are of messages, not entries.
    """

    def __init__(
        self,
        *,
        manual: bool = False,
        ack_timeout: float = 0.0,
        max_outstanding: int = 0,
        max_deliveries: int = 0,
    ) -> None:
        self._manual = manual
        self._ack_timeout = ack_timeout
        self._max_outstanding = max_outstanding
        self._max_deliveries = max_deliveries
        self._partitions: dict[Key, Partition[M]] = {}
        # A heap; some of it may not be READY any more.
        self._waiting: list[tuple[int, Entry[M]]] = []
        self._due: dict[Entry[M], float] = {}
        self._touched: set[Partition[M]] = set()
        self._order = 0
        # Those that have become DEAD, for the caller to take.
        self.dead: list[Entry[M]] = []
        self.ready = 0
        self.outstanding = 0
        self.delivered_count = 0
        self.redelivered_count = 0
        self.acked_count = 0
        self.nacked_count = 0

    # ---- the assignment

    @property
    def keys(self) -> list[Key]:
        return list(self._partitions)

    def assign(self, keys: Sequence[Key]) -> None:
        self.revoke(keys)
        for key in keys:
            self._partitions[key] = Partition(key)

    def leave(self, keys: Iterable[Key]) -> None:
        """Hand out no more of these: they are about to be revoked."""
        for partition in self._of(keys):
            partition.leaving = True
            for entry in partition.unfinished.values():
                if entry.state == READY:
                    entry.state = HELD
                    self.ready -= len(entry)

    def is_handed(self, keys: Iterable[Key]) -> bool:
        """Whether an answer with one of their messages is on its way."""
        return any(
            entry.state == HANDED
            for partition in self._of(keys)
            for entry in partition.unfinished.values()
        )

    def revoke(self, keys: Sequence[Key]) -> dict[Key, int]:
        """Forget them; what is to be committed of each before it goes."""
        positions = {}
        for partition in self._of(keys):
            del self._partitions[partition.key]
            self._touched.discard(partition)
            if partition.position is not None:
                positions[partition.key] = partition.position
            for entry in list(partition.unfinished.values()):
                self._forget(entry)
        self._waiting = [
            item for item in self._waiting if item[1].state == READY
        ]
        heapq.heapify(self._waiting)
        return positions

    def _of(self, keys: Iterable[Key]) -> list[Partition[M]]:
        return [
            self._partitions[key] for key in keys if key in self._partitions
        ]

    # ---- the way of a message

    def arrive(self, key: Key, offsets: list[int], messages: list[M]) -> None:
        """Of one partition, in the order in which they came; both are ours."""
        partition = self._partitions.get(key)
        if partition is None or partition.leaving:
            return
        rising = all(map(operator.lt, offsets, islice(offsets, 1, None)))
        if rising and not self._manual:
            self._add(partition, offsets, messages)
        else:
            for offset, message in zip(offsets, messages, strict=True):
                self._add(partition, [offset], [message])

    def take(self, limit: int, *, apart: bool = False) -> list[Entry[M]]:
        """Up to so many that are READY, the earliest first; HANDED now.

        apart: each in an entry of its own.
        """
        if self._manual:
            limit = min(limit, self.room)
        taken: list[Entry[M]] = []
        left = limit
        while left > 0 and self._waiting:
            entry = heapq.heappop(self._waiting)[1]
            # It may have been acknowledged or revoked while it waited.
            if entry.state != READY:
                continue
            most = 1 if apart else left
            if len(entry) > most:
                entry = self._split(entry, most)
            entry.state = HANDED
            entry.count += 1
            left -= len(entry)
            taken.append(entry)
        self.ready -= limit - left
        self.outstanding += limit - left
        return taken

    @property
    def room(self) -> int:
        """How many more may be outstanding, where manual."""
        return self._max_outstanding - self.outstanding

    def delivered(self, entries: Iterable[Entry[M]], now: float) -> None:
        """The answer with what `take` gave has reached a consumer."""
        for entry in entries:
            self.delivered_count += len(entry)
            if entry.count > 1:
                self.redelivered_count += len(entry)
            if entry.state != HANDED:
                continue
            if self._manual:
                entry.state = OUT
                self._due[entry] = now + self._ack_timeout
            else:
                self.finish(entry)

    def abandoned(self, entries: Iterable[Entry[M]]) -> None:
        """It has reached nobody: that was no delivery."""
        for entry in entries:
            if entry.state == HANDED:
                entry.count -= 1
                self._put_back(entry)

    def ack(self, key: Key, offset: int) -> None:
        """Where manual.  RevokedError: not delivered in this assignment.

        Nothing happens where it is finished already.
        """
        entry = self._find(key, offset)
        if entry is not None:
            self.acked_count += 1
            self.finish(entry)

    def nack(self, key: Key, offset: int) -> None:
        """As ack; nothing happens either where it is on its way again."""
        entry = self._find(key, offset)
        if entry is not None and entry.state == OUT:
            self.nacked_count += 1
            self._return(entry)

    def expire(self, now: float) -> None:
        """Nobody has acknowledged these in time."""
        expired = []
        for entry, due in self._due.items():
            if due > now:
                break
            expired.append(entry)
        for entry in expired:
            self._return(entry)

    @property
    def next_due(self) -> float | None:
        """When `expire` has something to do."""
        return next(iter(self._due.values()), None)

    def finish(self, entry: Entry[M]) -> None:
        """Nothing happens where it is finished, or its partition gone."""
        if entry.state != FINISHED:
            self._touched.add(entry.partition)
            self._forget(entry)

    def positions(self) -> dict[Key, int]:
        """What may be committed now, of partitions where that has changed."""
        changed = {}
        for partition in self._touched:
            position = partition.position
            if position is not None and position != partition.stored:
                changed[partition.key] = partition.stored = position
        self._touched.clear()
        return changed

    def _find(self, key: Key, offset: int) -> Entry[M] | None:
        partition = self._partitions.get(key)
        if partition is None or partition.end is None:
            raise RevokedError
        entry = partition.unfinished.get(offset)
        # What is here and was not delivered, an earlier owner has delivered.
        if offset >= partition.end or (entry and entry.count == 0):
            raise RevokedError
        return entry

    def _return(self, entry: Entry[M]) -> None:
        """From OUT."""
        if 0 < self._max_deliveries <= entry.count:
            self._due.pop(entry)
            entry.state = DEAD
            self.dead.append(entry)
        else:
            self._put_back(entry)

    def _add(
        self, partition: Partition[M], offsets: list[int], messages: list[M]
    ) -> None:
        if partition.end is not None and offsets[0] < partition.end:
            self._go_back(partition, offsets[0])
        entry = Entry(partition, offsets, messages, self._order)
        self._order += len(entry)
        partition.unfinished[entry.offset] = entry
        partition.end = offsets[-1] + 1
        heapq.heappush(self._waiting, (entry.order, entry))
        self.ready += len(entry)

    def _split(self, entry: Entry[M], number: int) -> Entry[M]:
        """So many of a READY one, the first; the others wait on."""
        offsets, messages = entry.offsets, entry.messages
        first = Entry(
            entry.partition,
            offsets[:number],
            messages[:number],
            entry.order,
        )
        del offsets[:number], messages[:number]
        entry.order += number
        for each in first, entry:
            each.partition.unfinished[each.offset] = each
        heapq.heappush(self._waiting, (entry.order, entry))
        return first

    def _put_back(self, entry: Entry[M]) -> None:
        self._due.pop(entry, None)
        self.outstanding -= len(entry)
        if entry.partition.leaving:
            entry.state = HELD
            return
        entry.state = READY
        heapq.heappush(self._waiting, (entry.order, entry))
        self.ready += len(entry)

    def _forget(self, entry: Entry[M]) -> None:
        """From any state but FINISHED."""
        self._uncount(entry, len(entry))
        self._due.pop(entry, None)
        entry.state = FINISHED
        del entry.partition.unfinished[entry.offset]

    def _uncount(self, entry: Entry[M], number: int) -> None:
        if entry.state == READY:
            self.ready -= number
        elif entry.state != HELD:
            self.outstanding -= number

    def _go_back(self, partition: Partition[M], offset: int) -> None:
        """The log was cut, or is a new one: from there on all come again."""
        for entry in list(partition.unfinished.values()):
            number = bisect_left(entry.offsets, offset)
            if number == 0:
                self._forget(entry)
            elif number < len(entry):
                self._uncount(entry, len(entry) - number)
                del entry.offsets[number:], entry.messages[number:]
