# SPDX-License-Identifier: BSD-2-Clause
"""One measurement: wrk against a server that runs."""

from __future__ import annotations

import contextvars
import dataclasses
import json
import os
import re
import shutil
import subprocess
import time
import timeit
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .cells import Cell
from .process import BenchError
from .server import BENCH, Server


@dataclasses.dataclass(frozen=True)
class Sample:
    """rate: requests a second; p50, p99: µs; nginx, python: µs of CPU a
    request."""

    requests: int
    rate: float
    p50: float
    p99: float
    nginx: float
    python: float
    errors: int


def load(
    server: Server, path: str, connections: int, seconds: int, *options: str
) -> list[str]:
    """wrk's command; for the options see wrk.lua."""
    command = ["wrk", "--latency", "-t1", f"-c{connections}"]
    command += [f"-d{seconds}s", "--timeout", "30s"]
    command += ["-s", str(BENCH / "wrk.lua")]
    command += [f"http://127.0.0.1:{server.port}{path}"]
    return [*command, "--", *options] if options else command


def wrk(server: Server, cell: Cell, seconds: int) -> list[str]:
    options = [f"size={cell.size}"] if cell.echo else []
    return load(server, cell.path, cell.connections, seconds, *options)


def result(output: str) -> dict[str, Any]:
    found = re.search(r"^\{.*\}$", output, re.MULTILINE)
    if not found:
        raise BenchError(f"wrk said: {output.strip()}")
    values: dict[str, Any] = json.loads(found[0])
    if not values["requests"]:
        raise BenchError("wrk saw no answer")
    return values


def run(
    command: Sequence[str], environ: Mapping[str, str] | None = None
) -> str:
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, env=environ
    )
    if done.returncode:
        raise BenchError(f"{command[0]}: {done.stderr.strip()}")
    return done.stdout


def sample(server: Server, cell: Cell, seconds: int) -> Sample:
    return measured(server, wrk(server, cell, seconds))[0]


def measured(
    server: Server, command: list[str]
) -> tuple[Sample, dict[str, Any]]:
    """And all that wrk has said."""
    before = server.cpu()
    output = run(command)
    cost = server.cpu() - before
    values = result(output)
    requests = values["requests"]
    found = Sample(
        requests=int(requests),
        rate=requests / values["seconds"],
        p50=values["p50"],
        p99=values["p99"],
        nginx=cost.nginx / 1000 / requests,
        python=cost.python / 1000 / requests,
        errors=int(values["errors"]),
    )
    return found, values


# ---- eventfd writes


def eventfds(pid: int) -> list[str]:
    folder = Path(f"/proc/{pid}/fd")
    return [
        link.name
        for link in folder.iterdir()
        if os.readlink(link) == "anon_inode:[eventfd]"
    ]


def perf(server: Server, command: list[str], output: Path) -> float:
    fds = " || ".join(f"fd == {fd}" for fd in eventfds(server.worker))
    counted = run(
        [
            *("perf", "stat", "-x,", "-o", str(output)),
            *("-e", "syscalls:sys_enter_write", "--filter", fds),
            *("-p", str(server.worker), "--", *command),
        ]
    )
    found = re.search(r"^(\d+),", output.read_text(), re.MULTILINE)
    if not found:
        raise BenchError(f"perf said: {output.read_text().strip()}")
    requests: int = result(counted)["requests"]
    return int(found[1]) / requests


def strace(server: Server, command: list[str], output: Path) -> float:
    tracer = subprocess.Popen(
        [
            *("strace", "-f", "-qq", "-y", "-e", "trace=write"),
            *("-o", str(output), "-p", str(server.worker)),
        ],
        stdin=subprocess.DEVNULL,
    )
    try:
        values = result(run(command))
    finally:
        tracer.terminate()
        tracer.wait()
    lines = output.read_text(errors="replace").split("\n")
    writes = sum("write(" in line and "[eventfd]" in line for line in lines)
    requests: int = values["requests"]
    return writes / requests


def eventfd_writes(server: Server, cell: Cell) -> tuple[float, str]:
    """Writes a request, and what counted them."""
    command = wrk(server, cell, 2)
    output = server.folder / "eventfd.txt"
    ways = {"perf": perf, "strace": strace}
    reasons = []
    for name, way in ways.items():
        if not shutil.which(name):
            reasons.append(f"there is no {name}")
            continue
        try:
            return way(server, command, output), name
        except BenchError as error:
            reasons.append(str(error))
    raise BenchError("; ".join(reasons))


def context_cost(calls: int = 100_000) -> float:
    """µs of CPU that a call takes to run in a context of its own.

    An upper bound: the loader does in C what is Python here.
    """
    base = contextvars.copy_context()
    names = {"base": base, "call": int}
    inside, plain = (
        min(
            timeit.repeat(
                code, globals=names, number=calls, timer=time.process_time
            )
        )
        for code in ("base.copy().run(call)", "call()")
    )
    return (inside - plain) / calls * 1e6
