# SPDX-License-Identifier: BSD-2-Clause
"""What a message of a WebSocket costs, and one that idles."""

from __future__ import annotations

import os
import time
from pathlib import Path

from ..measure import Sample
from ..process import BenchError
from ..sockets.client import Client, ClientError
from .cells import Cell
from .server import WebServer, descriptors

CONNECTIONS = 256
IDLE = int(os.environ.get("BENCH_IDLE") or 10_000)
# of a proxy, and besides; nginx closes connections when 1/16 are left
EACH, OTHERS, USABLE = 2, 100, 15 / 16
WARM_UP = 8
SETTLE = 1.0


def idle_sockets() -> int:
    """As many as the system lets a proxy have."""
    return min(IDLE, (int(descriptors() * USABLE) - OTHERS) // EACH)


def opened(
    program: Path, server: WebServer, connections: int, size: int
) -> Client:
    try:
        return Client(program, server.port, connections, size)
    except ClientError as error:
        raise BenchError(str(error)) from error


def echo(
    server: WebServer, program: Path, cell: Cell, seconds: float
) -> Sample:
    """Each socket sends, waits for the echo, and sends again."""
    client = opened(program, server, CONNECTIONS, cell.size)
    time.sleep(SETTLE / 4)
    before = server.cpu()
    client.count()
    began = time.monotonic()
    time.sleep(seconds)
    found = client.end()
    took = time.monotonic() - began
    used = server.cpu() - before
    messages = found["messages"]
    if not messages:
        raise BenchError("no messages")
    return Sample(
        requests=messages,
        rate=messages / took,
        p50=found["p50"],
        p99=found["p99"],
        nginx=used.nginx / 1000 / messages,
        python=used.python / 1000 / messages,
        errors=found["wrong"] + found["ended"],
    )


def idle(server: WebServer, program: Path, seconds: float) -> dict[str, float]:
    """KiB that each takes; ms of CPU a second that all take."""
    opened(program, server, WARM_UP, 0).end()
    time.sleep(SETTLE)
    before = server.resident()
    count = idle_sockets()
    client = opened(program, server, count, 0)
    time.sleep(SETTLE)
    cpu, began = server.cpu(), time.monotonic()
    time.sleep(max(seconds, SETTLE))
    used, took = server.cpu() - cpu, time.monotonic() - began
    kib = (server.resident() - before) / 1024 / count
    found = client.end()
    if found["ended"] or found["wrong"]:
        raise BenchError(f"{found['ended']} of {count} have ended")
    busy = (used.nginx + used.python) / 1e6 / took
    return {"kib": kib, "busy": busy, "sockets": count}
