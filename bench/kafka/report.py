# SPDX-License-Identifier: BSD-2-Clause
"""The tables and the JSON file."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from statistics import median
from typing import Any

from ..report import machine, number
from ..server import OUT
from .results import CONSUMERS, Results

PRODUCE_HEAD = (
    f"{'produce':<18}{'':<26}{'req/s':>8}{'share':>7}{'p50':>8}{'p99':>9}"
    f"{'nginx':>8}{'Python':>8}{'broker':>8}"
)
CONSUME_HEAD = (
    f"{'consume by 500':<44}{'msg/s':>8}{'share':>7}{'client':>8}{'broker':>8}"
)
LEGEND = """\
req/s: acknowledged by all in-sync replicas (of one broker on this machine).
share: of echo's requests/s; consume: of confluent-kafka's messages/s. p50,
p99: µs of latency. nginx, Python, broker, client: µs of CPU a request or
message of nginx's thread, the runtimes' threads or processes, the JVM, the
process that consumes. Medians of the rounds."""


def lines(results: Results) -> Iterator[str]:
    yield PRODUCE_HEAD
    cell = ""
    for line in results.lines():
        if line.cell != cell:
            cell = line.cell
            yield ""
        faults = f"  {line.errors} errors" if line.errors else ""
        faults += f"  {line.missing} missing" if line.missing else ""
        yield (
            f"{line.cell:<18}{line.title:<26}{line.rate:>8.0f}"
            f"{number(line.share, 7, 2)}{line.p50:>8.0f}{line.p99:>9.0f}"
            f"{line.nginx:>8.1f}{line.python:>8.1f}{line.broker:>8.1f}{faults}"
        )
    yield ""
    yield CONSUME_HEAD
    yield ""
    for key, samples in results.consumed.items():
        found = samples.values()
        yield (
            f"{CONSUMERS[key]:<44}{median(s.rate for s in found):>8.0f}"
            f"{number(results.consumed_share(key), 7, 2)}"
            f"{median(s.client for s in found):>8.2f}"
            f"{median(s.broker for s in found):>8.2f}"
        )
    yield ""
    yield LEGEND
    yield ""
    for goal in results.goals():
        verdict = {True: "reached", False: "MISSED", None: "not measured"}
        yield (
            f"goal: {goal.what} ≥ {goal.goal:g}:"
            f"{number(goal.value, 6, 2)}  {verdict[goal.reached]}"
        )
    yield from (f"note: {note}" for note in results.notes)


def as_json(results: Results, settings: dict[str, Any]) -> str:
    content = {
        "machine": machine(),
        "settings": settings,
        "produce": [dataclasses.asdict(line) for line in results.lines()],
        "goals": [
            dataclasses.asdict(goal) | {"reached": goal.reached}
            for goal in results.goals()
        ],
        "notes": results.notes,
        "produced": [
            {"row": row, "cell": cell, "round": turn}
            | dataclasses.asdict(sample)
            for (row, cell), samples in results.produced.items()
            for turn, sample in samples.items()
        ],
        "consumed": [
            {"row": key, "round": turn} | dataclasses.asdict(sample)
            for key, samples in results.consumed.items()
            for turn, sample in samples.items()
        ],
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def report(results: Results, settings: dict[str, Any]) -> None:
    text = "\n".join(lines(results)) + "\n"
    (OUT / "kafka.txt").write_text(text)
    (OUT / "kafka.json").write_text(as_json(results, settings))
    print(text, end="", flush=True)
