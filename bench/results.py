# SPDX-License-Identifier: BSD-2-Clause
"""What the samples amount to: medians, ratios, goals."""

from __future__ import annotations

import dataclasses
from statistics import median

from .cells import (
    CELLS,
    HUGE,
    LARGE,
    LARGE_ECHO,
    MAIN,
    MANY,
    ONE,
    Cell,
    Row,
)
from .measure import Sample

CEILING = "ceiling"


@dataclasses.dataclass(frozen=True)
class Summary:
    """Medians; ratio and over (µs of CPU a request, all threads) compare
    with the ceiling's sample of the same round."""

    cell: str
    row: str
    title: str
    rounds: int
    rate: float
    slowest: float
    fastest: float
    ratio: float
    p50: float
    p99: float
    nginx: float
    python: float | None
    over: float | None
    errors: int


@dataclasses.dataclass(frozen=True)
class Goal:
    what: str
    at_least: bool
    goal: float
    value: float | None

    @property
    def reached(self) -> bool | None:
        if self.value is None:
            return None
        if self.at_least:
            return self.value >= self.goal
        return self.value <= self.goal


class Results:
    def __init__(self, rows: tuple[Row, ...]) -> None:
        self.rows = rows
        self.samples: dict[tuple[str, Cell], dict[int, Sample]] = {}
        self.eventfd: dict[str, tuple[float, str]] = {}
        self.notes: list[str] = []

    def add(self, row: Row, cell: Cell, turn: int, sample: Sample) -> None:
        self.samples.setdefault((row.key, cell), {})[turn] = sample

    def note(self, row: Row, reason: object) -> None:
        self.notes.append(f"{row.title} ({row.key}): {reason}")

    def summary(self, row: Row, cell: Cell) -> Summary | None:
        ours = self.samples.get((row.key, cell))
        ceiling = self.samples.get((CEILING, cell), {})
        turns = [turn for turn in ours or {} if turn in ceiling]
        if not ours or not turns:
            return None
        samples = [ours[turn] for turn in turns]
        pairs = [(ours[turn], ceiling[turn]) for turn in turns]
        rates = [s.rate for s in samples]
        over = median(
            s.nginx + s.python - top.nginx - top.python for s, top in pairs
        )
        return Summary(
            cell=cell.name,
            row=row.key,
            title=row.title + (", beside a busy thread" * row.beside),
            rounds=len(samples),
            rate=median(rates),
            slowest=min(rates),
            fastest=max(rates),
            ratio=median(s.rate / top.rate for s, top in pairs),
            p50=median(s.p50 for s in samples),
            p99=median(s.p99 for s in samples),
            nginx=median(s.nginx for s in samples),
            python=None if row.beside else median(s.python for s in samples),
            over=None if row.beside else over,
            errors=sum(s.errors for s in samples),
        )

    def table(self) -> list[Summary]:
        found = (self.summary(r, cell) for cell in CELLS for r in self.rows)
        return [summary for summary in found if summary]

    def goals(self) -> list[Goal]:
        by_key = {(s.row, s.cell): s for s in self.table()}
        rivals = [row.key for row in self.rows if row.out_of_process]

        def get(row: str, cell: Cell) -> Summary | None:
            return by_key.get((row, cell.name))

        def ratio(row: str, cell: Cell) -> float | None:
            summary = get(row, cell)
            return summary.ratio if summary else None

        def rate(row: str, cell: Cell) -> float | None:
            summary = get(row, cell)
            return summary.rate if summary else None

        def over(row: str, cell: Cell) -> float | None:
            summary = get(row, cell)
            return summary.over if summary else None

        def lead(*cells: Cell) -> float | None:
            """The smallest, against the best out of process."""
            leads = []
            for cell in cells:
                ours = rate("sync", cell)
                best = [r for r in (rate(key, cell) for key in rivals) if r]
                if ours and best:
                    leads.append(ours / max(best))
            return min(leads, default=None)

        def gain(row: str, other: str, cell: Cell) -> float | None:
            ours, theirs = rate(row, cell), rate(other, cell)
            return ours / theirs if ours and theirs else None

        def writes(row: str) -> float | None:
            return self.eventfd.get(row, (None, ""))[0]

        def at_least(goal: float, value: float | None, what: str) -> Goal:
            return Goal(what, True, goal, value)

        def at_most(goal: float, value: float | None, what: str) -> Goal:
            return Goal(what, False, goal, value)

        main, many = MAIN.name, MANY.name
        large, echo = LARGE.name, LARGE_ECHO.name
        best = "requests/s, @serve / best out of process"
        return [
            at_most(
                2.0,
                over("sync", MAIN),
                f"{main} µs of CPU a request over the ceiling, @serve",
            ),
            at_least(0.85, ratio("sync", MAIN), f"{main} ratio, @serve"),
            at_least(
                0.75, ratio("async", MAIN), f"{main} ratio, @serve async"
            ),
            at_least(1.5, lead(MAIN), f"{main} {best}"),
            at_least(1.5, lead(MANY), f"{many} {best}"),
            at_least(1.0, lead(*CELLS), f"worst cell {best}"),
            at_least(0.92, ratio("sync", LARGE), f"{large} ratio, @serve"),
            at_least(0.80, ratio("sync", LARGE_ECHO), f"{echo} ratio, @serve"),
            at_least(1.0, ratio("pipe", LARGE), f"{large} ratio, pipe"),
            at_least(1.3, ratio("pipe", HUGE), f"{HUGE.name} ratio, pipe"),
            at_least(
                10000,
                rate("sync-busy", MAIN),
                f"{main} requests/s beside a busy thread, @serve",
            ),
            at_least(
                2.0,
                gain("sync-spin", "sync", ONE),
                f"{ONE.name} requests/s with spin / without, @serve",
            ),
            at_most(
                0.3,
                writes("sync"),
                f"{main} eventfd writes a request, @serve",
            ),
        ]
