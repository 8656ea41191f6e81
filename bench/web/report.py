# SPDX-License-Identifier: BSD-2-Clause
"""The tables and the JSON file of web applications."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

from ..report import goal_lines, machine, number
from ..server import OUT
from .cells import ALONE, SOCKETS_IDLE, WORKERS, Cell
from .memory import REQUESTS, STALLED_CLIENTS
from .results import Results
from .rows import Rival

HEAD = (
    f"{'':<27}{'':<23}{'req/s':>8}{'p50':>9}{'p99':>9}{'nginx':>8}"
    f"{'Python':>8}{'both':>8}{'part':>7}"
)
MEMORY_HEAD = f"{'memory':<27}{'':<23}{'KiB':>8}{'part':>7}"
LEGEND = f"""\
nginx, Python, both: µs of CPU a request (or chunk). part: python_pass's of
both, in this row's, of the same round. p50, p99: µs of latency; of a chunk,
from when it was due. KiB: of resident memory that each of {STALLED_CLIENTS} \
clients
takes that do not read an answer without end, or each WebSocket that idles; PSS
of all processes after {REQUESTS} requests. Medians of the rounds."""


def line(results: Results, cell: Cell, rival: Rival) -> str:
    def middle(name: str, width: int, digits: int) -> str:
        return number(results.middle(cell, rival, name), width, digits)

    text = f"{cell.title:<27}{rival.titles[cell.app.interface]:<23}"
    if cell in ALONE:
        part = number(results.part(cell, rival, "kib"), 7, 2)
        text = f"{text}{middle('kib', 8, 1)}{part}"
        if cell is SOCKETS_IDLE:
            text += (
                f"  {middle('sockets', 0, 0)} sockets,"
                f" {middle('busy', 0, 1)} ms of CPU a second"
            )
        return text
    part = number(results.part(cell, rival, "cpu"), 7, 2)
    errors = sum(results.of(cell, rival, "errors").values())
    return (
        f"{text}{middle('rate', 8, 0)}{middle('p50', 9, 0)}"
        f"{middle('p99', 9, 0)}{middle('nginx', 8, 1)}"
        f"{middle('python', 8, 1)}{middle('cpu', 8, 1)}{part}"
        + (f"  {errors:.0f} errors" if errors else "")
    )


def lines(results: Results) -> Iterator[str]:
    last = None
    for cell, rival in results.lines():
        if last is None or (cell in ALONE) != (last in ALONE):
            yield from (["", MEMORY_HEAD] if cell in ALONE else [HEAD])
        if cell is not last:
            yield ""
        last = cell
        yield line(results, cell, rival)
    yield ""
    for cell, rival in results.lines():
        if cell is WORKERS:
            fewest = number(results.middle(cell, rival, "fewest"), 0, 2)
            most = number(results.middle(cell, rival, "most"), 0, 2)
            title = rival.titles[cell.app.interface]
            yield f"{title}, a worker: {fewest} to {most} of an even share"
    yield LEGEND
    yield ""
    yield from goal_lines(results.goals())
    if results.notes:
        yield ""
    yield from (f"note: {note}" for note in results.notes)


def as_json(results: Results, settings: dict[str, Any]) -> str:
    content = {
        "machine": machine(),
        "settings": settings,
        "goals": [
            dataclasses.asdict(goal) | {"reached": goal.reached}
            for goal in results.goals()
        ],
        "notes": results.notes,
        "samples": [
            {"cell": cell, "row": row, "round": turn} | dict(found)
            for (cell, row), turns in results.samples.items()
            for turn, found in turns.items()
        ],
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def report(results: Results, settings: dict[str, Any]) -> None:
    text = "\n".join(lines(results)) + "\n"
    (OUT / "web.txt").write_text(text)
    (OUT / "web.json").write_text(as_json(results, settings))
    print(text, end="", flush=True)
