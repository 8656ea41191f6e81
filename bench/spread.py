# SPDX-License-Identifier: BSD-2-Clause
"""How requests spread over workers that are busy with Python.

    python -m bench.spread [--workers 4] [--connections 64] [--seconds 10]

Each request takes 5 ms of CPU.  A client asks again as soon as it has its
answer: on a connection that stays, or on a new one each time.  nginx is what
`make` has built; uvicorn, where this Python has it, is asked without nginx.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import contextlib
import dataclasses
import importlib.util
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from . import alone
from .server import free_port

APP = """\
import os
import time

PID = b"%d\\n" % os.getpid()
HEADERS = [(b"content-length", b"%d" % len(PID))]

async def app(scope, receive, send):
    if scope["type"] != "http":
        raise RuntimeError("no lifespan")
    end = time.thread_time() + 0.005
    while time.thread_time() < end:
        pass
    await send({"type": "http.response.start", "status": 200,
                "headers": HEADERS})
    await send({"type": "http.response.body", "body": PID})
"""


@dataclasses.dataclass(frozen=True)
class Result:
    """Requests of each worker, and what one in a hundred takes longer than."""

    counts: list[int]
    p99: float

    @property
    def most_of_least(self) -> float:
        return max(self.counts) / max(1, min(self.counts))


def measure(
    command: list[str], port: int, given: argparse.Namespace, keepalive: bool
) -> Result:
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as server:
        try:
            _wait(port)
            return asyncio.run(_load(port, given, keepalive))
        finally:
            server.send_signal(signal.SIGTERM)


def _wait(port: int) -> None:
    for _ in range(200):
        with contextlib.suppress(OSError), socket.socket() as sock:
            sock.connect(("127.0.0.1", port))
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            if sock.recv(100):
                time.sleep(1.0)
                return
        time.sleep(0.1)
    raise RuntimeError("no server")


async def _load(
    port: int, given: argparse.Namespace, keepalive: bool
) -> Result:
    counts: collections.Counter[bytes] = collections.Counter()
    times: list[float] = []
    end = time.monotonic() + given.seconds
    how = "keep-alive" if keepalive else "close"
    request = f"GET / HTTP/1.1\r\nHost: x\r\nConnection: {how}\r\n\r\n"

    async def client() -> None:
        while time.monotonic() < end:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            with contextlib.closing(writer):
                while time.monotonic() < end:
                    begin = time.monotonic()
                    writer.write(request.encode())
                    await reader.readuntil(b"\r\n\r\n")
                    counts[await reader.readline()] += 1
                    times.append(time.monotonic() - begin)
                    if not keepalive:
                        break

    await asyncio.gather(*(client() for _ in range(given.connections)))
    found = sorted(counts.values(), reverse=True)
    found += [0] * (given.workers - len(found))
    return Result(found, sorted(times)[int(len(times) * 0.99)])


def _servers(
    folder: Path, given: argparse.Namespace
) -> Iterator[tuple[str, list[str], int]]:
    (folder / "app.py").write_text(APP)
    for name, more in ("nginx", ""), ("nginx, reuseport", " reuseport"):
        port = free_port()
        command = alone.configure(
            folder,
            f"127.0.0.1:{port}{more}",
            workers=given.workers,
            connections=1024,
        )
        yield name, command, port
    if importlib.util.find_spec("uvicorn"):
        port = free_port()
        command = [sys.executable, "-m", "uvicorn", "--log-level=error"]
        command += [f"--app-dir={folder}", f"--port={port}"]
        command += [f"--workers={given.workers}", "app:app"]
        yield "uvicorn", command, port


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.spread")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=10.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="spread-") as name:
        for server, command, port in _servers(Path(name), given):
            for keepalive in True, False:
                result = measure(command, port, given, keepalive)
                print(
                    f"{server:18}{'keep-alive' if keepalive else 'close':12}"
                    f"{result.counts!s:28} most/least"
                    f" {result.most_of_least:6.2f}   p99"
                    f" {result.p99 * 1000:6.0f} ms",
                    flush=True,
                )


if __name__ == "__main__":
    main()
