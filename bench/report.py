# SPDX-License-Identifier: BSD-2-Clause
"""The table, the JSON file and the plot."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .cells import MAIN
from .measure import context_cost
from .results import Goal, Results, Summary
from .server import NGINX, OUT

PACKAGES = ("cffi", "uvloop", "httptools", "uvicorn", "granian", "uwsgi")
HEAD = (
    f"{'cell':<12}{'':<35}{'req/s':>8}{'ratio':>7}{'p50':>9}{'p99':>9}"
    f"{'nginx':>8}{'Python':>8}{'over':>8}"
)
LEGEND = """\
ratio: requests/s against the ceiling. p50, p99: µs of latency. nginx, Python:
µs of CPU a request of nginx's thread, and of the runtimes' threads or
processes; over: both, less the ceiling's. Medians of the rounds."""


def machine() -> dict[str, str]:
    nginx = subprocess.run(
        [NGINX, "-v"], check=True, capture_output=True, text=True
    ).stderr
    cpu = "unknown CPU"
    for line in Path("/proc/cpuinfo").read_text().split("\n"):
        if line.startswith("model name"):
            cpu = line.split(":", 1)[1].strip()
            break
    facts = {
        "cpu": f"{os.cpu_count()} x {cpu}",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "nginx": nginx.strip().rsplit("/", 1)[-1],
    }
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            facts[name] = importlib.metadata.version(name)
    return facts


def number(value: float | None, width: int, digits: int) -> str:
    text = "-" if value is None else f"{value:.{digits}f}"
    return f"{text:>{width}}"


def line(s: Summary) -> str:
    errors = f"  {s.errors} errors" if s.errors else ""
    return (
        f"{s.cell:<12}{s.title:<35}{s.rate:>8.0f}{s.ratio:>7.2f}"
        f"{s.p50:>9.0f}{s.p99:>9.0f}{s.nginx:>8.2f}"
        f"{number(s.python, 8, 2)}{number(s.over, 8, 2)}{errors}"
    )


def goal_lines(goals: Iterable[Goal]) -> Iterable[str]:
    yield f"{'goal':<61}{'':>10}{'measured':>10}"
    for goal in goals:
        sign = "≥" if goal.at_least else "≤"
        verdict = {True: "reached", False: "MISSED", None: "not measured"}
        yield (
            f"{goal.what:<61}{sign + f' {goal.goal:g}':>10}"
            f"{number(goal.value, 10, 2)}  {verdict[goal.reached]}"
        )


def lines(results: Results) -> Iterable[str]:
    yield HEAD
    cell = ""
    for summary in results.table():
        if summary.cell != cell:
            cell = summary.cell
            yield ""
        yield line(summary)
    yield ""
    yield LEGEND
    if results.eventfd:
        yield ""
    for row, (writes, way) in results.eventfd.items():
        yield f"eventfd writes a request, {MAIN.name}, {row}: {writes:.3f}" + (
            f" (counted by {way})"
        )
    yield ""
    yield (
        f"a call's own context (copy, enter, exit):"
        f" {context_cost():.3f} µs of Python's CPU"
    )
    yield ""
    yield from goal_lines(results.goals())
    if results.notes:
        yield ""
    yield from (f"note: {note}" for note in results.notes)


def as_json(results: Results, settings: dict[str, Any]) -> str:
    samples = [
        {"row": row, "cell": cell.name, "round": turn}
        | dataclasses.asdict(sample)
        for (row, cell), turns in results.samples.items()
        for turn, sample in turns.items()
    ]
    goals = [
        dataclasses.asdict(goal) | {"reached": goal.reached}
        for goal in results.goals()
    ]
    content = {
        "machine": machine(),
        "settings": settings,
        "table": [dataclasses.asdict(s) for s in results.table()],
        "eventfd_writes": {
            row: {"per_request": writes, "counted_by": way}
            for row, (writes, way) in results.eventfd.items()
        },
        "goals": goals,
        "notes": results.notes,
        "samples": samples,
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def plot(results: Results, path: Path) -> None:
    matplotlib: Any = importlib.import_module("matplotlib")
    matplotlib.use("Agg")
    plt: Any = importlib.import_module("matplotlib.pyplot")
    table = results.table()
    names = list(dict.fromkeys(s.cell for s in table))
    titles = list(dict.fromkeys(s.title for s in table))
    colours = plt.get_cmap("tab20").colors
    figure, axes = plt.subplots(
        len(names), 2, figsize=(13, 3.2 * len(names)), squeeze=False
    )
    for (left, right), cell in zip(axes, names, strict=True):
        rows = [s for s in table if s.cell == cell][::-1]
        labels = [s.title for s in rows]
        bars = left.barh(
            labels,
            [s.ratio for s in rows],
            color=[colours[titles.index(t) % 20] for t in labels],
        )
        left.bar_label(bars, [f"{s.rate:,.0f}/s" for s in rows], padding=3)
        left.set_title(f"{cell}: requests/s against the ceiling")
        left.margins(x=0.18)
        costs = [s for s in rows if s.python is not None]
        nginx = [s.nginx for s in costs]
        python = [s.python for s in costs]
        names_of = [s.title for s in costs]
        right.barh(names_of, nginx, label="nginx's thread")
        right.barh(names_of, python, left=nginx, label="Python's side")
        right.set_title(f"{cell}: µs of CPU a request")
        right.legend(fontsize="small")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def report(results: Results, settings: dict[str, Any]) -> None:
    text = "\n".join(lines(results)) + "\n"
    (OUT / "bench.txt").write_text(text)
    (OUT / "bench.json").write_text(as_json(results, settings))
    print(text, end="", flush=True)
    if results.table():
        plot(results, OUT / "bench.png")
