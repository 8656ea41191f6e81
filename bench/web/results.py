# SPDX-License-Identifier: BSD-2-Clause
"""Samples, and what they amount to."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from statistics import median

from ..measure import Sample
from ..results import Goal
from .cells import (
    DJANGO,
    ECHO,
    FASTAPI,
    FLASK,
    HELLO_CELL,
    LARGE,
    MEMORY,
    SOCKETS_16K,
    SOCKETS_64,
    SOCKETS_IDLE,
    STALLED,
    STARLETTE,
    STREAMS,
    WORKERS,
    WSGI_HELLO,
    Cell,
)
from .rows import GRANIAN, NGINX, OURS, UVICORN, UWSGI_RIVAL, Rival

# python_stream_buffer, the part in the application's hand, and all else that
# a connection takes; KiB
STALLED_MOST = 64 + 16 + 16
# CPU a request or chunk, as a part of the rival's
CPU_GOALS = (
    (HELLO_CELL, UVICORN, 1 / 2.5),
    (HELLO_CELL, GRANIAN, 1 / 2),
    (HELLO_CELL, NGINX, 2.5),
    (LARGE, UVICORN, 1 / 2),
    (LARGE, GRANIAN, 1 / 2),
    (ECHO, UVICORN, 1 / 2),
    (ECHO, GRANIAN, 1 / 2),
    (STARLETTE, UVICORN, 1 / 1.6),
    (FASTAPI, UVICORN, 1 / 1.25),
    (WSGI_HELLO, UWSGI_RIVAL, 1 / 2.5),
    (FLASK, UWSGI_RIVAL, 1 / 1.3),
    (DJANGO, UWSGI_RIVAL, 1 / 1.3),
    (STREAMS, UVICORN, 1 / 2),
    (SOCKETS_64, UVICORN, 1 / 1.5),
    (SOCKETS_64, GRANIAN, 1),
    (SOCKETS_16K, UVICORN, 1 / 1.5),
    (SOCKETS_16K, GRANIAN, 1),
)
# of a socket that idles; and of all of them, ms of CPU a second
IDLE_MOST_KIB, IDLE_MOST_BUSY = 24, 10

# by name: those of measure.Sample, and what else this file names
Figures = Mapping[str, float]
Key = tuple[str, str]


def figures(sample: Sample) -> dict[str, float]:
    """cpu: µs a request, nginx's and Python's."""
    cpu = sample.nginx + sample.python
    return dataclasses.asdict(sample) | {"cpu": cpu}


def shares(counts: Sequence[int], workers: int) -> dict[str, float]:
    """fewest, most: requests of a worker, as parts of an even share; uneven:
    how far the farthest is from that."""
    even = sum(counts) / workers
    # a worker that had none is not among them
    fewest = min(counts) / even if len(counts) == workers else 0.0
    most = max(counts) / even
    uneven = max(1 - fewest, most - 1)
    return {"fewest": fewest, "most": most, "uneven": uneven}


class Results:
    def __init__(self, cells: Sequence[Cell], rivals: Sequence[Rival]) -> None:
        self.cells = cells
        self.rivals = rivals
        self.samples: dict[Key, dict[int, Figures]] = {}
        self.notes: list[str] = []

    def add(self, cell: Cell, rival: Rival, turn: int, found: Figures) -> None:
        self.samples.setdefault((cell.name, rival.key), {})[turn] = found

    def of(self, cell: Cell, rival: Rival, name: str) -> dict[int, float]:
        """By round."""
        found = self.samples.get((cell.name, rival.key), {})
        return {turn: one[name] for turn, one in found.items() if name in one}

    def middle(self, cell: Cell, rival: Rival, name: str) -> float | None:
        found = self.of(cell, rival, name)
        return median(found.values()) if found else None

    def part(self, cell: Cell, rival: Rival, name: str) -> float | None:
        """python_pass's figure in the rival's of the same round."""
        ours = self.of(cell, OURS, name)
        theirs = self.of(cell, rival, name)
        turns = ours.keys() & theirs.keys()
        if not turns:
            return None
        return median(ours[turn] / theirs[turn] for turn in turns)

    def lines(self) -> Iterator[tuple[Cell, Rival]]:
        """What there are samples of."""
        for cell in self.cells:
            for rival in self.rivals:
                if (cell.name, rival.key) in self.samples:
                    yield cell, rival

    def goals(self) -> list[Goal]:
        """Of the cells that were chosen."""
        found = [
            (
                cell,
                Goal(
                    f"{cell.title}: CPU / {rival.titles[cell.app.interface]}",
                    *(False, round(goal, 3), self.part(cell, rival, "cpu")),
                ),
            )
            for cell, rival, goal in CPU_GOALS
        ]
        found += [
            (
                STALLED,
                Goal(
                    "KiB of memory that a stalled client takes",
                    *(False, STALLED_MOST, self.middle(STALLED, OURS, "kib")),
                ),
            ),
            (
                MEMORY,
                Goal(
                    f"{MEMORY.title}: / nginx and uvicorn",
                    *(False, 1, self.part(MEMORY, UVICORN, "kib")),
                ),
            ),
            (
                SOCKETS_IDLE,
                Goal(
                    "KiB of memory that an idle WebSocket takes",
                    False,
                    IDLE_MOST_KIB,
                    self.middle(SOCKETS_IDLE, OURS, "kib"),
                ),
            ),
            (
                SOCKETS_IDLE,
                Goal(
                    "ms of CPU a second that all of them take",
                    False,
                    IDLE_MOST_BUSY,
                    self.middle(SOCKETS_IDLE, OURS, "busy"),
                ),
            ),
            (
                WORKERS,
                Goal(
                    f"{WORKERS.title}: a worker's requests off even",
                    *(False, 0.25, self.middle(WORKERS, OURS, "uneven")),
                ),
            ),
            (
                WORKERS,
                Goal(
                    f"{WORKERS.title}: p99 / uvicorn",
                    *(False, 1, self.part(WORKERS, UVICORN, "p99")),
                ),
            ),
        ]
        return [goal for cell, goal in found if cell in self.cells]
