# SPDX-License-Identifier: BSD-2-Clause
"""The table and the JSON file of the streams."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from statistics import median
from typing import Any

from ..cells import Row
from ..report import goal_lines, machine, number
from ..results import Goal
from ..server import OUT
from .bulk import Bulk
from .events import STREAMS, Sample
from .rows import PIPE, ROWS, UVICORN

TIMERS = Row("timers", "the same timers, nothing sent")
MIB = 1 << 20
HEAD = (
    f"{f'{STREAMS} event streams':<32}{'chunks/s':>9}{'nginx':>8}"
    f"{'Python':>8}{'over':>8}{'p50':>8}{'p99':>8}{'memory':>8}"
)
LEGEND = """\
A chunk is 100 bytes; each stream has one every 100 ms. nginx, Python: µs of
CPU a chunk; over: both, less those of the timers of the round. p50, p99: µs
from when a chunk was due until it was read. memory: KiB a stream. Medians of
the rounds, memory of the first."""


class Results:
    def __init__(self) -> None:
        self.samples: dict[str, dict[int, Sample]] = {}
        self.bulk: list[Bulk] = []
        self.notes: list[str] = []

    def add(self, row: Row, turn: int, sample: Sample) -> None:
        self.samples.setdefault(row.key, {})[turn] = sample

    def of(self, row: Row) -> list[Sample]:
        return list(self.samples.get(row.key, {}).values())

    def compared(self, row: Row, other: Row) -> list[tuple[Sample, Sample]]:
        ours = self.samples.get(row.key, {})
        theirs = self.samples.get(other.key, {})
        return [(ours[turn], theirs[turn]) for turn in ours if turn in theirs]

    def over(self, row: Row) -> float | None:
        pairs = self.compared(row, TIMERS)
        return median(s.cpu - t.cpu for s, t in pairs) if pairs else None

    def goals(self) -> list[Goal]:
        pairs = self.compared(PIPE, UVICORN)
        part = median(s.cpu / u.cpu for s, u in pairs) if pairs else None
        ours, theirs = self.over(PIPE), self.over(UVICORN)
        over = ours / theirs if ours and theirs else None
        samples = self.of(PIPE)
        memory = samples[0].memory if samples else None
        found = [
            Goal("µs of CPU a chunk over the timers", False, 10, ours),
            Goal("the same / uvicorn's", False, 0.5, over),
            Goal("µs of CPU a chunk / uvicorn's", False, 0.5, part),
            Goal("KiB of memory a stream", False, 16, memory),
        ]
        for bulk in self.bulk:
            if bulk.endless:
                growth = bulk.growth / MIB
                found.append(
                    Goal(f"MiB that {bulk.name} grows", False, 1, growth)
                )
            found.append(
                Goal(f"{bulk.name}: whole and right", True, 1, bulk.right)
            )
        return found


def line(results: Results, row: Row) -> str:
    samples = results.of(row)

    def middle(name: str, width: int, digits: int) -> str:
        values = [getattr(sample, name) for sample in samples]
        known = [value for value in values if value is not None]
        return number(median(known) if known else None, width, digits)

    over = None if row is TIMERS else results.over(row)
    wrong = sum(sample.wrong for sample in samples)
    return (
        f"{row.title:<32}{middle('rate', 9, 0)}{middle('nginx', 8, 2)}"
        f"{middle('python', 8, 2)}{number(over, 8, 2)}{middle('p50', 8, 0)}"
        f"{middle('p99', 8, 0)}{number(samples[0].memory, 8, 1)}"
        + (f"  {wrong} wrong" if wrong else "")
    )


def lines(results: Results) -> Iterable[str]:
    yield HEAD
    yield ""
    for row in (TIMERS, *ROWS):
        if row.key in results.samples:
            yield line(results, row)
    yield ""
    yield LEGEND
    yield ""
    for bulk in results.bulk:
        rate = bulk.size / bulk.seconds / MIB
        grown = bulk.growth / MIB
        yield (
            f"{bulk.name:<32}{bulk.size / MIB:>7.0f} MiB in"
            f" {bulk.seconds:.1f} s, {rate:.1f} MiB/s;"
            f" memory {bulk.memory[0] / MIB:.1f} MiB, then {grown:+.2f}"
        )
    yield ""
    yield from goal_lines(results.goals())
    if results.notes:
        yield ""
    yield from (f"note: {note}" for note in results.notes)


def report(results: Results, settings: dict[str, Any]) -> None:
    text = "\n".join(lines(results)) + "\n"
    (OUT / "streams.txt").write_text(text)
    content = {
        "machine": machine(),
        "settings": settings,
        "goals": [
            dataclasses.asdict(goal) | {"reached": goal.reached}
            for goal in results.goals()
        ],
        "bulk": [dataclasses.asdict(bulk) for bulk in results.bulk],
        "notes": results.notes,
        "samples": [
            {"row": row, "round": turn} | dataclasses.asdict(sample)
            for row, turns in results.samples.items()
            for turn, sample in turns.items()
        ],
    }
    (OUT / "streams.json").write_text(
        json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    )
    print(text, end="", flush=True)
