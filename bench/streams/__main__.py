# SPDX-License-Identifier: BSD-2-Clause
"""Measures streams, and watches some; see bench/README.md."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ..__main__ import on_signal, positive, say
from ..cells import Row
from ..process import BenchError
from ..server import OUT, Server
from .bulk import ENDLESS, GIB, RATE, Bulk, watch
from .events import Sample, build_client, events, timers
from .report import TIMERS, Results, report
from .rows import PIPE, ROWS, watched

# name, path, who sets the pace
SLOW = (
    ("endless, plain generator", "down/down", RATE),
    ("endless, async generator", "down/down_async", RATE),
    ("endless upload", "up/up_slowly", 0),
)
FAST = (
    ("1 GiB, plain generator", "down/down"),
    ("1 GiB, async generator", "down/down_async"),
    ("1 GiB upload", "up/up"),
)
MOST = 600.0


class Bench:
    def __init__(self, sockets: Path, rounds: int, seconds: int) -> None:
        self.sockets = sockets
        self.rounds = rounds
        self.seconds = seconds
        self.results = Results()
        self.servers: dict[str, Server] = {}

    def note(self, row: Row, error: BenchError) -> None:
        say(f"{row.key}: {error}")
        self.results.notes.append(f"{row.title}: {error}")

    def start(self) -> None:
        for row in ROWS:
            server = Server(row, self.sockets)
            try:
                server.start()
            except BenchError as error:
                self.note(row, error)
                server.stop()
            else:
                self.servers[row.key] = server
                server.pause()

    def measure(self) -> None:
        program = build_client()
        for turn in range(self.rounds):
            for row in (*ROWS, TIMERS):
                server = self.servers.get(
                    PIPE.key if row is TIMERS else row.key
                )
                if server:
                    say(f"round {turn + 1} {row.key}")
                    self.one(row, turn, server, program)

    def one(self, row: Row, turn: int, server: Server, program: Path) -> None:
        server.resume()
        try:
            if row is TIMERS:
                sample: Sample = timers(server, self.seconds)
            else:
                sample = events(server, program, self.seconds)
        except BenchError as error:
            self.note(row, error)
            self.servers.pop(server.row.key).stop()
        else:
            self.results.add(row, turn, sample)
            server.pause()

    def alone(
        self, row: Row, use: Callable[[Server], Bulk]
    ) -> Bulk | BenchError:
        """In an nginx of its own: its memory is what it takes."""
        server = Server(row, self.sockets)
        try:
            server.start()
            return use(server)
        except BenchError as error:
            return error
        finally:
            server.stop()

    def watch(self, seconds: float) -> None:
        def slow(name: str, path: str, rate: int) -> Bulk | BenchError:
            return self.alone(
                watched(path.replace("/", "-")),
                lambda server: watch(
                    server, name, path, ENDLESS, rate, seconds
                ),
            )

        def fast(name: str, path: str) -> Bulk | BenchError:
            return self.alone(
                watched(path.replace("/", "-")),
                lambda server: watch(server, name, path, GIB, 0, MOST),
            )

        say(f"three streams for {seconds:.0f} s")
        with ThreadPoolExecutor(len(SLOW)) as pool:
            found = list(pool.map(lambda args: slow(*args), SLOW))
        say("1 GiB three times")
        found += [fast(*args) for args in FAST]
        for (name, *_), result in zip((*SLOW, *FAST), found, strict=True):
            if isinstance(result, BenchError):
                self.results.notes.append(f"{name}: {result}")
            else:
                self.results.bulk.append(result)

    def stop(self) -> None:
        for server in self.servers.values():
            server.stop()


def main() -> None:
    signal.signal(signal.SIGTERM, on_signal)
    OUT.mkdir(parents=True, exist_ok=True)
    rounds = positive("BENCH_ROUNDS", 5)
    seconds = positive("BENCH_SECONDS", 5)
    watched_for = positive("BENCH_WATCH", 60)
    with tempfile.TemporaryDirectory(prefix="bench-") as sockets:
        bench = Bench(Path(sockets), rounds, seconds)
        try:
            bench.start()
            bench.measure()
        finally:
            bench.stop()
        bench.watch(watched_for)
    report(
        bench.results,
        {"rounds": rounds, "seconds": seconds, "watch": watched_for},
    )


if __name__ == "__main__":
    main()
