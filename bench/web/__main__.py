# SPDX-License-Identifier: BSD-2-Clause
"""Measures web applications, interleaved; see bench/README.md."""

from __future__ import annotations

import dataclasses
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..__main__ import chosen, not_idle, on_signal, positive, say
from ..measure import Sample, load, measured
from ..process import BenchError
from ..server import OUT
from ..sockets.client import build
from ..streams.events import build_client, events
from . import memory, sockets
from .cells import (
    ALONE,
    BESIDE,
    CELLS,
    CONNECTIONS,
    SOCKETS_IDLE,
    STREAMS,
    Cell,
)
from .report import report
from .results import Figures, Results, figures, shares
from .rows import OURS, RIVALS, Rival, serves
from .server import WebServer

Place = tuple[str, str]


def place(cell: Cell, rival: Rival) -> Place:
    return cell.app.key, rival.key


class Bench:
    """The servers run all the time, and are stopped by a signal while it is
    not their turn; those whose memory is measured are alone."""

    def __init__(
        self,
        cells: Sequence[Cell],
        rivals: Sequence[Rival],
        sockets: Path,
        rounds: int,
        seconds: int,
    ) -> None:
        self.cells = cells
        self.sockets = sockets
        self.rounds = rounds
        self.seconds = seconds
        self.results = Results(cells, rivals)
        self.servers: dict[Place, WebServer] = {}
        self.client = Path()
        self.sockets_client = Path()

    def pairs(self, group: Sequence[Cell]) -> list[tuple[Cell, Rival]]:
        return [
            (cell, rival)
            for cell in self.cells
            for rival in self.results.rivals
            if cell in group and serves(rival, cell)
        ]

    def note(self, cell: Cell, rival: Rival, error: BenchError) -> None:
        note = f"{cell.title}, {rival.titles[cell.app.interface]}: {error}"
        say(note)
        self.results.notes.append(note)

    # -- side by side

    def start(self) -> None:
        if STREAMS in self.cells:
            self.client = build_client()
        if any(cell.app.sockets for cell in self.cells):
            self.sockets_client = build(OUT / "sockets")
        pairs = self.pairs(BESIDE)
        for cell, rival in pairs:
            if place(cell, rival) in self.servers:
                continue
            row = rival.row(cell.app, cell.workers)
            mine = [c for c, r in pairs if (c.app, r) == (cell.app, rival)]
            server = WebServer(row, self.sockets, tuple(mine))
            self.servers[place(cell, rival)] = server
            try:
                server.start()
            except BenchError as error:
                self.drop(cell, rival, error)
            else:
                server.pause()

    def drop(self, cell: Cell, rival: Rival, error: BenchError) -> None:
        self.note(cell, rival, error)
        self.servers.pop(place(cell, rival)).stop()

    def turns(self) -> Iterator[tuple[int, Cell, Rival]]:
        pairs = self.pairs(BESIDE)
        for turn in range(self.rounds):
            for cell in self.cells:
                order = [pair for pair in pairs if pair[0] is cell]
                first = turn % len(order) if order else 0
                for pair in order[first:] + order[:first]:
                    yield turn, *pair

    def measure(self) -> None:
        for turn, cell, rival in self.turns():
            server = self.servers.get(place(cell, rival))
            if not server:
                continue
            say(f"round {turn + 1} {cell.name} {rival.key}")
            server.resume()
            try:
                found = self.one(server, cell)
            except BenchError as error:
                self.drop(cell, rival, error)
            else:
                self.results.add(cell, rival, turn, found)
                server.pause()

    def one(self, server: WebServer, cell: Cell) -> Figures:
        if cell is STREAMS:
            chunks = events(server, self.client, self.seconds)
            sample = Sample(
                requests=chunks.chunks,
                rate=chunks.rate,
                p50=chunks.p50 or 0.0,
                p99=chunks.p99 or 0.0,
                nginx=chunks.nginx,
                python=chunks.python,
                errors=chunks.wrong,
            )
            return figures(sample)
        if cell.app.sockets:
            client = self.sockets_client
            return figures(sockets.echo(server, client, cell, self.seconds))
        server.ask(cell)
        command = load(
            server, cell.path, CONNECTIONS, self.seconds, *cell.options
        )
        sample, said = measured(server, command)
        found = figures(sample)
        if cell.workers > 1:
            found |= shares(said["bodies"], cell.workers)
        return found

    def stop(self) -> None:
        for server in self.servers.values():
            server.stop()
        self.servers.clear()

    # -- alone

    def measure_memory(self) -> None:
        left_out: set[Place] = set()
        for turn in range(self.rounds):
            for cell, rival in self.pairs(ALONE):
                if place(cell, rival) in left_out:
                    continue
                say(f"round {turn + 1} {cell.name} {rival.key}")
                try:
                    found = self.alone(cell, rival)
                except BenchError as error:
                    self.note(cell, rival, error)
                    left_out.add(place(cell, rival))
                else:
                    self.results.add(cell, rival, turn, found)

    def alone(self, cell: Cell, rival: Rival) -> Figures:
        row = memory.own_python(rival.row(cell.app, cell.workers))
        row = dataclasses.replace(row, key=f"{row.key}-alone")
        server = WebServer(row, self.sockets, (cell,))
        server.socket.unlink(missing_ok=True)
        try:
            server.start()
            if cell is SOCKETS_IDLE:
                return sockets.idle(server, self.sockets_client, self.seconds)
            return {"kib": memory.sample(server, cell, self.seconds)}
        finally:
            server.stop()


def main() -> None:
    if not shutil.which("wrk"):
        sys.exit("bench: there is no wrk")
    signal.signal(signal.SIGTERM, on_signal)
    OUT.mkdir(parents=True, exist_ok=True)
    cells = chosen("BENCH_CELLS", CELLS, [cell.name for cell in CELLS])
    rivals = chosen("BENCH_ROWS", RIVALS, [rival.key for rival in RIVALS])
    if OURS not in rivals:
        rivals.insert(0, OURS)
    rounds, seconds = positive("BENCH_ROUNDS", 5), positive("BENCH_SECONDS", 3)
    settings = {
        "cells": [cell.name for cell in cells],
        "rows": [rival.key for rival in rivals],
        "rounds": rounds,
        "seconds": seconds,
    }
    notes = not_idle()
    with tempfile.TemporaryDirectory(prefix="bench-") as sockets:
        bench = Bench(cells, rivals, Path(sockets), rounds, seconds)
        bench.results.notes += notes
        try:
            bench.start()
            bench.measure()
        finally:
            bench.stop()
        bench.measure_memory()
    report(bench.results, settings)


if __name__ == "__main__":
    main()
