# SPDX-License-Identifier: BSD-2-Clause
"""Samples of produce and consume, and what they amount to."""

from __future__ import annotations

import dataclasses
from statistics import median

from ..cells import Cell, Row
from ..measure import Sample
from ..results import Goal
from .rows import CELLS, ECHO, FASTAPI, FFI, LUA, MAIN

ALONE, JSON, TABLES = "alone", "json", "tables"
CONSUMERS = {
    ALONE: "confluent-kafka alone",
    JSON: "ffi.kafka, JSON",
    TABLES: "resty.ffi.kafka, Lua tables",
}


@dataclasses.dataclass(frozen=True)
class Produced(Sample):
    """broker: µs of CPU a request; missing: requests answered with success
    that are not in the topic."""

    broker: float
    missing: int


@dataclasses.dataclass(frozen=True)
class Consumed:
    """rate: messages a second; client, broker: µs of CPU a message."""

    rate: float
    client: float
    broker: float


@dataclasses.dataclass(frozen=True)
class Line:
    """Medians; share compares with echo of the same round."""

    cell: str
    row: str
    title: str
    rate: float
    share: float | None
    p50: float
    p99: float
    nginx: float
    python: float
    broker: float
    errors: int
    missing: int


class Results:
    def __init__(self) -> None:
        self.produced: dict[tuple[str, str], dict[int, Produced]] = {}
        self.consumed: dict[str, dict[int, Consumed]] = {}
        self.titles: dict[str, str] = {}
        self.notes: list[str] = []

    def add(self, row: Row, cell: Cell, turn: int, sample: Produced) -> None:
        self.titles[row.key] = row.title
        self.produced.setdefault((row.key, cell.name), {})[turn] = sample

    def add_consumed(self, key: str, turn: int, sample: Consumed) -> None:
        self.consumed.setdefault(key, {})[turn] = sample

    def times(self, row: str, other: str, cell: Cell) -> float | None:
        """How many times other's requests/s, in the same rounds."""
        ours = self.produced.get((row, cell.name), {})
        theirs = self.produced.get((other, cell.name), {})
        return ratio(
            {turn: sample.rate for turn, sample in ours.items()},
            {turn: sample.rate for turn, sample in theirs.items()},
        )

    def consumed_share(self, key: str) -> float | None:
        ours = self.consumed.get(key, {})
        theirs = self.consumed.get(ALONE, {})
        return ratio(
            {turn: sample.rate for turn, sample in ours.items()},
            {turn: sample.rate for turn, sample in theirs.items()},
        )

    def lines(self) -> list[Line]:
        return [
            self._line(row, cell)
            for cell in CELLS
            for row in self.titles
            if (row, cell.name) in self.produced
        ]

    def _line(self, row: str, cell: Cell) -> Line:
        samples = self.produced[row, cell.name].values()
        return Line(
            cell=cell.name,
            row=row,
            title=self.titles[row],
            rate=median(s.rate for s in samples),
            share=self.times(row, ECHO, cell),
            p50=median(s.p50 for s in samples),
            p99=median(s.p99 for s in samples),
            nginx=median(s.nginx for s in samples),
            python=median(s.python for s in samples),
            broker=median(s.broker for s in samples),
            errors=sum(s.errors for s in samples),
            missing=sum(s.missing for s in samples),
        )

    def goals(self) -> list[Goal]:
        what = f"{MAIN.connections} connections: produce, times"
        return [
            Goal(
                f"{what} lua-resty-kafka", True, 3, self.times(FFI, LUA, MAIN)
            ),
            Goal(f"{what} FastAPI", True, 2, self.times(FFI, FASTAPI, MAIN)),
            Goal(
                "consume by 500, JSON, share of confluent-kafka alone",
                *(True, 0.6, self.consumed_share(JSON)),
            ),
        ]


def ratio(ours: dict[int, float], theirs: dict[int, float]) -> float | None:
    turns = ours.keys() & theirs.keys()
    if not turns:
        return None
    return median(ours[turn] / theirs[turn] for turn in turns)
