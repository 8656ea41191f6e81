# SPDX-License-Identifier: BSD-2-Clause
"""The ledger against a plain restatement of what it promises."""

from __future__ import annotations

from collections.abc import Iterable

from ffi.kafka.ledger import (
    DEAD,
    FINISHED,
    HANDED,
    OUT,
    READY,
    Entry,
    Key,
    Ledger,
    RevokedError,
)

KEYS: list[Key] = [("t", 0), ("t", 1), ("u", 0)]
TIMEOUT = 8


class Program:
    """Runs operations; after each, what must hold does."""

    def __init__(self, data: bytes) -> None:
        self.data = iter(data)
        flags = self.byte()
        self.manual = bool(flags & 1)
        self.limit = 1 + flags // 2 % 8
        self.most = flags // 16 % 4
        self.ledger: Ledger[int] = Ledger(
            manual=self.manual,
            ack_timeout=TIMEOUT,
            max_outstanding=self.limit,
            max_deliveries=self.most,
        )
        self.now = 0
        self.ends: dict[Key, int | None] = {}
        self.unfinished: dict[Key, set[int]] = {key: set() for key in KEYS}
        self.leaving: set[Key] = set()
        self.answers: list[list[Entry[int]]] = []
        self.entries: list[Entry[int]] = []
        self.committed: dict[Key, int] = {}
        # Of which something was finished since.
        self.finished: set[Key] = set()
        # Places in the order in which they came, and again.
        self.came: dict[tuple[Key, int], int] = {}
        self.number_that_came = 0
        self.told = 0
        self.deliveries: dict[tuple[Key, int], int] = {}

    def byte(self) -> int:
        return next(self.data, 0)

    def key(self) -> Key:
        return KEYS[self.byte() % len(KEYS)]

    def run(self) -> None:
        operations = (
            *(self.assign, self.arrive, self.arrive, self.take, self.take),
            *(self.delivered, self.delivered, self.abandoned, self.ack),
            *(self.nack, self.expire, self.leave, self.revoke, self.bury),
            *(self.go_back, self.commit),
        )
        for operation in self.data:
            operations[operation % len(operations)]()
            self.check()
        self.end()

    # ---- operations

    def assign(self) -> None:
        key = self.key()
        self.forget(key)
        self.ledger.assign([key])
        self.ends[key] = None

    def arrive(self) -> None:
        key = self.key()
        end = self.ends.get(key)
        offset = (0 if end is None else end) + self.byte() % 3
        offsets = [offset]
        while len(offsets) < 1 + self.byte() % 6:
            offsets.append(offsets[-1] + 1 + self.byte() % 2)
        self.arrive_at(key, offsets)

    def go_back(self) -> None:
        number = 1 + self.byte() % 3
        self.arrive_at(self.key(), [self.byte() % 8 for _ in range(number)])

    def arrive_at(self, key: Key, offsets: list[int]) -> None:
        self.ledger.arrive(key, list(offsets), list(offsets))
        if key not in self.ends or key in self.leaving:
            return
        for offset in offsets:
            self.ends[key] = offset + 1
            self.unfinished[key] -= {
                old for old in self.unfinished[key] if old >= offset
            }
            self.unfinished[key].add(offset)
            self.number_that_came += 1
            self.came[key, offset] = self.number_that_came
            self.deliveries[key, offset] = 0

    def take(self) -> None:
        most = self.byte() % 6
        room = self.limit - self.number(HANDED, OUT, DEAD)
        ready = self.ready()
        entries = self.ledger.take(most)
        taken = places(entries)
        assert taken == ready[: min(most, room) if self.manual else most]
        for place in taken:
            self.deliveries[place] += 1
        for entry in entries:
            assert entry.state == HANDED
            assert entry.messages == entry.offsets
            assert len(entry) == 1 or not self.manual
            assert entry.partition.key not in self.leaving
            assert (
                not self.most or not self.manual or (entry.count <= self.most)
            )
        self.entries += [e for e in entries if e not in self.entries]
        if entries:
            self.answers.append(entries)

    def delivered(self) -> None:
        if self.answers:
            entries = self.answers.pop(self.byte() % len(self.answers))
            handed = [e for e in entries if e.state == HANDED]
            self.tell_delivered(entries)
            state = OUT if self.manual else FINISHED
            assert all(entry.state == state for entry in handed)

    def tell_delivered(self, entries: list[Entry[int]]) -> None:
        for entry in entries:
            self.told += len(entry)
            if entry.state == HANDED and not self.manual:
                self.finish(entry.partition.key, *entry.offsets)
        self.ledger.delivered(entries, self.now)
        assert self.ledger.delivered_count == self.told

    def abandoned(self) -> None:
        if self.answers:
            entries = self.answers.pop(self.byte() % len(self.answers))
            for place in places(e for e in entries if e.state == HANDED):
                self.deliveries[place] -= 1
            self.ledger.abandoned(entries)
            assert all(entry.state != HANDED for entry in entries)

    def ack(self) -> None:
        if not self.manual:
            return
        key, offset = self.key(), self.byte() % 16
        try:
            self.ledger.ack(key, offset)
        except RevokedError:
            assert self.is_unknown(key, offset)
        else:
            assert not self.is_unknown(key, offset)
            self.finish(key, offset)
            assert not [
                e
                for e in self.those(HANDED, OUT, DEAD)
                if (e.partition.key, e.offset) == (key, offset)
            ]

    def nack(self) -> None:
        if not self.manual:
            return
        key, offset = self.key(), self.byte() % 16
        try:
            self.ledger.nack(key, offset)
        except RevokedError:
            assert self.is_unknown(key, offset)
        else:
            assert not self.is_unknown(key, offset)
            assert not [
                e
                for e in self.those(OUT)
                if (e.partition.key, e.offset) == (key, offset)
            ]

    def expire(self) -> None:
        self.now += self.byte() % (2 * TIMEOUT)
        self.ledger.expire(self.now)
        due = self.ledger.next_due
        assert (due is not None) == bool(self.those(OUT))
        assert due is None or due > self.now

    def leave(self) -> None:
        key = self.key()
        self.ledger.leave([key])
        if key in self.ends:
            self.leaving.add(key)

    def revoke(self) -> None:
        key = self.key()
        positions = self.ledger.revoke([key])
        assert set(positions) <= {key} & set(self.ends)
        for position in positions.values():
            assert position == self.position(key)
        assert not [e for _, e in self.ledger._waiting if e.state != READY]
        self.forget(key)

    def bury(self) -> None:
        while self.ledger.dead:
            entry = self.ledger.dead.pop()
            if entry.state == DEAD:
                self.finish(entry.partition.key, entry.offset)
            self.ledger.finish(entry)
            assert entry.state == FINISHED

    def commit(self) -> None:
        positions = self.ledger.positions()
        for key in self.finished & set(self.ends):
            is_new = self.position(key) != self.committed.get(key)
            assert (key in positions) == is_new
        self.finished.clear()
        for key, position in positions.items():
            assert position == self.position(key)
            assert position != self.committed.get(key)
            self.committed[key] = position

    # ---- what must hold

    def forget(self, key: Key) -> None:
        self.ends.pop(key, None)
        self.leaving.discard(key)
        self.committed.pop(key, None)
        self.finished.discard(key)
        self.unfinished[key].clear()

    def finish(self, key: Key, *offsets: int) -> None:
        if self.unfinished[key] & set(offsets):
            self.unfinished[key] -= set(offsets)
            self.finished.add(key)

    def those(self, *states: int) -> list[Entry[int]]:
        return [entry for entry in self.entries if entry.state in states]

    def number(self, *states: int) -> int:
        return sum(map(len, self.those(*states)))

    def ready(self) -> list[tuple[Key, int]]:
        """What may be handed out, the earliest first."""
        here = {
            (key, offset)
            for key, offsets in self.unfinished.items()
            for offset in offsets
            if key not in self.leaving
        }
        here.difference_update(places(self.those(HANDED, OUT, DEAD)))
        return sorted(here, key=self.came.__getitem__)

    def position(self, key: Key) -> int | None:
        """Where its first unfinished message stands, or its end."""
        return min(self.unfinished[key], default=self.ends[key])

    def is_unknown(self, key: Key, offset: int) -> bool:
        """Nobody can have had it in this assignment."""
        end = self.ends.get(key)
        if end is None or offset >= end:
            return True
        return (
            offset in self.unfinished[key] and not self.deliveries[key, offset]
        )

    def check(self) -> None:
        ledger = self.ledger
        assert set(ledger.keys) == set(self.ends)
        assert ledger.ready == len(self.ready())
        assert ledger.outstanding == self.number(HANDED, OUT, DEAD)
        assert not self.manual or ledger.room >= 0

    def end(self) -> None:
        """All that came is handed out, or has been finished."""
        for entries in self.answers:
            self.tell_delivered(entries)
        self.answers.clear()
        for _ in range(1000):
            if not self.ledger.ready and not self.those(HANDED, OUT, DEAD):
                break
            self.bury()
            for entry in self.those(OUT):
                self.finish(entry.partition.key, entry.offset)
                self.ledger.ack(entry.partition.key, entry.offset)
            entries = self.ledger.take(8)
            self.entries += [e for e in entries if e not in self.entries]
            self.tell_delivered(entries)
            self.check()
        assert self.ledger.ready == self.ledger.outstanding == 0
        for key, position in self.ledger.revoke(list(self.ends)).items():
            assert key in self.leaving or position == self.ends[key]


def places(entries: Iterable[Entry[int]]) -> list[tuple[Key, int]]:
    return [(e.partition.key, offset) for e in entries for offset in e.offsets]


def program(data: bytes) -> None:
    Program(data).run()
