# SPDX-License-Identifier: BSD-2-Clause
"""What memory an application takes, in a server that is alone."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import re
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ..process import BenchError
from .cells import STALLED, Cell
from .rows import WebRow
from .server import PATIENCE, WebServer

STALLED_CLIENTS = 64
WARM_UP = 8
SETTLE = 1.0
REQUESTS = 10_000
CONNECTIONS = 50
REQUEST = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n"
STATUS = b"HTTP/1.1 200"
PSS = re.compile(r"^Pss:\s+(\d+) kB", re.MULTILINE)


def own_python(row: WebRow) -> WebRow:
    """Of the pages of a program that others run too, PSS is a part only."""
    copy = Path(sys.executable).with_name("python-alone")
    if row.server and not copy.exists():
        shutil.copy(Path(sys.executable).resolve(), copy)
    command = [
        str(copy) if part == sys.executable else part for part in row.server
    ]
    return dataclasses.replace(row, server=tuple(command))


def sample(server: WebServer, cell: Cell, seconds: float) -> float:
    if cell is STALLED:
        return stalled(server, seconds)
    return pss_after(server, cell)


# ---- clients that stall


def ask(server: WebServer) -> socket.socket:
    """For an answer without end, whose head has come."""
    sock = socket.socket()
    try:
        sock.settimeout(PATIENCE)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", server.port))
        sock.sendall(REQUEST)
        said = sock.recv(len(STATUS), socket.MSG_PEEK)
        if said != STATUS:
            raise BenchError(f"a client that stalls is told {said!r}")
    except OSError as error:
        sock.close()
        raise BenchError(f"a client that stalls: {error!r}") from error
    return sock


@contextlib.contextmanager
def clients(server: WebServer, count: int) -> Iterator[None]:
    """They read no more than the head."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(ask(server))
        yield


def stalled(server: WebServer, seconds: float) -> float:
    """KiB of resident memory that a client takes, at most."""
    with clients(server, WARM_UP):
        time.sleep(SETTLE)
    time.sleep(SETTLE)
    before = server.resident()
    most = before
    with clients(server, STALLED_CLIENTS):
        end = time.monotonic() + SETTLE + seconds
        while time.monotonic() < end:
            time.sleep(SETTLE / 4)
            most = max(most, server.resident())
    return (most - before) / 1024 / STALLED_CLIENTS


# ---- proportional set size


def pss_after(server: WebServer, cell: Cell) -> float:
    """KiB of all processes, after so many requests."""

    def ask(requests: int) -> None:
        client = http.client.HTTPConnection(
            "127.0.0.1", server.port, timeout=PATIENCE
        )
        with contextlib.closing(client):
            for _ in range(requests):
                server.ask_on(client, cell)

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        each = REQUESTS // CONNECTIONS
        list(pool.map(ask, [each] * CONNECTIONS))
    return sum(map(pss, server.pids()))


def pss(pid: int) -> int:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = PSS.search(text)
    if not found:
        raise BenchError(f"smaps_rollup says: {text}")
    return int(found[1])
