# SPDX-License-Identifier: BSD-2-Clause
"""A thousand event streams, and what a chunk of theirs costs."""

from __future__ import annotations

import dataclasses
import http.client
import json
import os
import subprocess
import time
from pathlib import Path

from ..process import BenchError
from ..server import BENCH, OUT, Cpu, Server
from .rows import ASYNCIO

STREAMS = 1000
WARM_UP = 8
SETTLE = 1.0


@dataclasses.dataclass(frozen=True)
class Sample:
    """nginx, python: µs of CPU a chunk; p50, p99: µs from when it was due
    until it was read; memory: KiB a stream."""

    chunks: int
    rate: float
    nginx: float
    python: float
    p50: float | None = None
    p99: float | None = None
    memory: float | None = None
    wrong: int = 0

    @property
    def cpu(self) -> float:
        return self.nginx + self.python


def build_client() -> Path:
    program = OUT / "client"
    compiler = (os.environ.get("CC") or "gcc").split()
    subprocess.run(
        [
            *(*compiler, "-std=c11", "-D_GNU_SOURCE", "-O2"),
            *("-Wall", "-Wextra", "-Werror", "-o", str(program)),
            str(BENCH / "streams" / "client.c"),
        ],
        check=True,
    )
    return program


class Client:
    def __init__(self, program: Path, server: Server, streams: int) -> None:
        direct = server.row is ASYNCIO
        address = server.socket if direct else server.port
        self._process = subprocess.Popen(
            [program, str(address), str(streams)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout
        if self._process.stdout.readline() != "ready\n":
            self._process.kill()
            self._process.wait()
            raise BenchError("the streams do not begin")

    def count(self) -> None:
        assert self._process.stdin
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def end(self) -> dict[str, int]:
        said, _ = self._process.communicate("\n")
        found: dict[str, int] = json.loads(said)
        return found


def cost(used: Cpu, chunks: int) -> tuple[float, float]:
    return used.nginx / 1000 / chunks, used.python / 1000 / chunks


def events(server: Server, program: Path, seconds: float) -> Sample:
    Client(program, server, WARM_UP).end()
    time.sleep(SETTLE)
    memory = server.resident()
    client = Client(program, server, STREAMS)
    time.sleep(SETTLE)
    client.count()
    began, before = time.monotonic(), server.cpu()
    time.sleep(seconds)
    memory = server.resident() - memory
    used = server.cpu() - before
    took = time.monotonic() - began
    found = client.end()
    time.sleep(SETTLE)
    if not found["events"]:
        raise BenchError("no events")
    nginx, python = cost(used, found["events"])
    return Sample(
        found["events"],
        found["events"] / took,
        nginx,
        python,
        found["p50"],
        found["p99"],
        memory / 1024 / STREAMS,
        found["wrong"] + found["ended"],
    )


def ask(server: Server, path: str) -> str:
    client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=9)
    try:
        client.request("GET", path)
        return client.getresponse().read().decode().strip()
    finally:
        client.close()


def timers(server: Server, seconds: float) -> Sample:
    """The same timers in the same loop, whose events nobody gets."""
    ask(server, f"/timers/on?{STREAMS}")
    time.sleep(SETTLE)
    first = int(ask(server, "/timers/count"))
    began, before = time.monotonic(), server.cpu()
    time.sleep(seconds)
    used = server.cpu() - before
    took = time.monotonic() - began
    chunks = int(ask(server, "/timers/count")) - first
    ask(server, "/timers/off")
    return Sample(chunks, chunks / took, *cost(used, chunks))
