# SPDX-License-Identifier: BSD-2-Clause
"""Measures, interleaved, and reports; see README.md."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import TypeVar

from .cells import CELLS, MAIN, Cell, Row, rows
from .measure import eventfd_writes, sample
from .process import BenchError
from .report import report
from .results import CEILING, Results
from .server import BENCH, OUT, ROOT, Server

EVENTFD_ROWS = ("c", "sync", "async", "cffi")

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Settings:
    cells: tuple[Cell, ...]
    rows: tuple[Row, ...]
    rounds: int
    seconds: int

    def as_dict(self) -> dict[str, object]:
        return {
            "cells": [cell.name for cell in self.cells],
            "rows": [row.key for row in self.rows],
            "rounds": self.rounds,
            "seconds": self.seconds,
        }


def say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


def positive(name: str, default: int) -> int:
    text = os.environ.get(name) or str(default)
    if not text.isdigit() or not int(text):
        sys.exit(f"bench: {name}={text} is no number above 0")
    return int(text)


def chosen(name: str, known: Sequence[T], names: Sequence[str]) -> list[T]:
    wanted = os.environ.get(name, "").replace(",", " ").split() or names
    for text in wanted:
        if text not in names:
            sys.exit(f"bench: {name}: no {text} among {' '.join(names)}")
    pairs = zip(known, names, strict=True)
    return [item for item, own in pairs if own in wanted]


def settings() -> Settings:
    every = rows(OUT / "libbench.so")
    cells = chosen("BENCH_CELLS", CELLS, [c.name for c in CELLS])
    mine = chosen("BENCH_ROWS", every, [r.key for r in every])
    mine = [r for r in mine if r.key != CEILING and set(r.cells) & set(cells)]
    return Settings(
        cells=tuple(cells),
        rows=(every[0], *mine),
        rounds=positive("BENCH_ROUNDS", 5),
        seconds=positive("BENCH_SECONDS", 3),
    )


def not_idle() -> list[str]:
    """A note, if something else runs."""
    load = os.getloadavg()[0]
    if load <= 0.5:
        return []
    return [f"the machine was not idle at the start: load {load:.2f}"]


def build_c_runtime() -> None:
    compiler = os.environ.get("CC") or "gcc"
    done = subprocess.run(
        [
            *(*compiler.split(), "-std=c11", "-D_GNU_SOURCE", "-O2"),
            *("-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-pthread"),
            *(f"-I{ROOT / 'include'}", "-o", str(OUT / "libbench.so")),
            str(BENCH / "runtime.c"),
        ],
        check=False,
    )
    if done.returncode:
        say("the C runtime does not compile")


class Bench:
    """The servers run all the time, and are stopped by a signal while it is
    not their turn."""

    def __init__(self, settings: Settings, sockets: Path) -> None:
        self.settings = settings
        self.results = Results(settings.rows)
        self.servers: dict[str, Server] = {}
        self.sockets = sockets

    def start(self) -> None:
        for row in self.settings.rows:
            server = Server(row, self.sockets)
            self.servers[row.key] = server
            try:
                server.start()
            except BenchError as error:
                self.drop(row, error)
            else:
                server.pause()
        if CEILING not in self.servers:
            sys.exit("bench: nothing to compare with")

    def drop(self, row: Row, reason: BenchError) -> None:
        say(f"{row.key} is left out: {reason}")
        self.results.note(row, f"left out: {reason}")
        self.servers.pop(row.key).stop()

    def turns(self) -> Iterator[tuple[int, Cell, Row]]:
        for turn in range(self.settings.rounds):
            for cell in self.settings.cells:
                order = [r for r in self.settings.rows if cell in r.cells]
                first = turn % len(order)
                for row in order[first:] + order[:first]:
                    yield turn, cell, row

    def run(self) -> None:
        turns = list(self.turns())
        began = time.monotonic()
        for number, (turn, cell, row) in enumerate(turns):
            if row.key not in self.servers:
                continue
            minutes = (time.monotonic() - began) / 60
            say(
                f"{number + 1}/{len(turns)} {minutes:.1f} min: "
                f"round {turn + 1} {cell.name} {row.key}"
            )
            server = self.servers[row.key]
            try:
                server.resume()
                server.probe(cell)
                found = sample(server, cell, self.settings.seconds)
            except BenchError as error:
                self.drop(row, error)
            else:
                self.results.add(row, cell, turn, found)
                server.pause()

    def count_eventfd_writes(self) -> None:
        if MAIN not in self.settings.cells:
            return
        for row in self.settings.rows:
            server = self.servers.get(row.key)
            if not server or row.key not in EVENTFD_ROWS:
                continue
            server.resume()
            try:
                self.results.eventfd[row.key] = eventfd_writes(server, MAIN)
            except BenchError as error:
                self.results.note(row, f"eventfd writes: {error}")
            server.pause()

    def stop(self) -> None:
        for server in self.servers.values():
            server.stop()


def on_signal(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


def main() -> None:
    if not shutil.which("wrk"):
        sys.exit("bench: there is no wrk")
    signal.signal(signal.SIGTERM, on_signal)
    OUT.mkdir(parents=True, exist_ok=True)
    mine = settings()
    build_c_runtime()
    notes = not_idle()
    with tempfile.TemporaryDirectory(prefix="bench-") as sockets:
        bench = Bench(mine, Path(sockets))
        bench.results.notes += notes
        try:
            bench.start()
            bench.run()
            bench.count_eventfd_writes()
        finally:
            bench.stop()
    report(bench.results, mine.as_dict())


if __name__ == "__main__":
    main()
