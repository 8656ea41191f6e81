# SPDX-License-Identifier: BSD-2-Clause
"""What a reload costs requests, where the application imports for long.

    python -m bench.reload [--rate 500] [--imports 3] [--reloads 3]

Requests come at an even rate, each on a connection of its own, whether or not
the ones before have been answered.  nginx is what `make` has built.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from . import alone

PATIENCE = 60.0
SAMPLE_S = 0.1

APP = """\
import time

end = time.monotonic() + {imports}
while time.monotonic() < end:
    pass

async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({{"type": "http.response.start", "status": 200,
                    "headers": [(b"content-length", b"5")]}})
        await send({{"type": "http.response.body", "body": b"hello"}})
"""

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@dataclasses.dataclass(frozen=True)
class Result:
    """Waits in seconds, memory in KiB: PSS of all of nginx's processes."""

    requests: int
    lost: int
    longest: float
    longest_without: float
    memory: int
    memory_at_peak: int
    log: str


def measure(
    rate: int, imports: float, reloads: int = 1, workers: int = 1
) -> Result:
    with _serve(imports, workers) as (nginx, folder):
        return asyncio.run(_measure(nginx, folder, rate, imports, reloads))


@contextlib.contextmanager
def _serve(
    imports: float, workers: int
) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    with tempfile.TemporaryDirectory(prefix="reload-") as name:
        folder = Path(name)
        (folder / "app.py").write_text(APP.format(imports=imports))
        command = alone.configure(
            folder,
            f"unix:{folder}/sock backlog=4096",
            workers=workers,
            connections=16384,
        )
        with subprocess.Popen(command) as nginx:
            try:
                while not (folder / "sock").exists():
                    time.sleep(0.05)
                yield nginx, folder
            finally:
                nginx.send_signal(signal.SIGTERM)


async def _measure(
    nginx: subprocess.Popen[bytes],
    folder: Path,
    rate: int,
    imports: float,
    reloads: int,
) -> Result:
    socket = str(folder / "sock")
    await _ask(socket)

    calm = _Load(socket, rate)
    await calm.run(2.0)
    memory = _pss(nginx.pid)

    load = _Load(socket, rate)
    peak = 0

    async def sample() -> None:
        nonlocal peak
        while True:
            peak = max(peak, _pss(nginx.pid))
            await asyncio.sleep(SAMPLE_S)

    async def reload() -> None:
        for _ in range(reloads):
            await asyncio.sleep(1.0)
            nginx.send_signal(signal.SIGHUP)
            await asyncio.sleep(imports + 1.0)

    sampling = asyncio.create_task(sample())
    reloading = asyncio.create_task(reload())
    await load.run(reloads * (imports + 2.0) + 1.0)
    await reloading
    sampling.cancel()
    return Result(
        requests=load.requests,
        lost=load.lost,
        longest=load.longest,
        longest_without=calm.longest,
        memory=memory,
        memory_at_peak=peak,
        log=(folder / "error.log").read_text(),
    )


class _Load:
    def __init__(self, socket: str, rate: int) -> None:
        self._socket = socket
        self._rate = rate
        self.requests = 0
        self.lost = 0
        self.longest = 0.0

    async def run(self, seconds: float) -> None:
        begin = time.monotonic()
        running: set[asyncio.Task[None]] = set()
        for number in range(int(seconds * self._rate)):
            due = begin + number / self._rate
            ahead = due - time.monotonic()
            if ahead > 0:
                await asyncio.sleep(ahead)
            task = asyncio.create_task(self._one())
            running.add(task)
            task.add_done_callback(running.discard)
        while running:
            await asyncio.wait(running.copy())

    async def _one(self) -> None:
        self.requests += 1
        begin = time.monotonic()
        try:
            answer = await asyncio.wait_for(_ask(self._socket), PATIENCE)
        except (OSError, asyncio.TimeoutError):
            answer = b""
        if not (answer.startswith(b"HTTP/1.1 200 ") and b"hello" in answer):
            self.lost += 1
        self.longest = max(self.longest, time.monotonic() - begin)


async def _ask(socket: str) -> bytes:
    reader, writer = await asyncio.open_unix_connection(socket)
    try:
        writer.write(REQUEST)
        return await reader.read()
    finally:
        writer.close()


def _pss(master: int) -> int:
    """Of it and its children."""
    total = 0
    children = Path(f"/proc/{master}/task/{master}/children").read_text()
    for pid in (master, *map(int, children.split())):
        with contextlib.suppress(OSError):
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            found = re.search(r"^Pss:\s+(\d+)", text, re.MULTILINE)
            total += int(found[1]) if found else 0
    return total


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.reload")
    parser.add_argument("--rate", type=int, default=500)
    parser.add_argument("--imports", type=float, default=3.0)
    parser.add_argument("--reloads", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    result = measure(given.rate, given.imports, given.reloads, given.workers)
    print(
        f"{given.reloads} reloads at {given.rate} requests/s, an application"
        f" that imports for {given.imports:g} s, {given.workers} workers"
    )
    print(f"requests              {result.requests:8}")
    print(f"lost                  {result.lost:8}")
    print(f"longest wait, s       {result.longest:8.2f}")
    print(f"without a reload, s   {result.longest_without:8.2f}")
    print(f"memory, MiB           {result.memory / 1024:8.1f}")
    print(f"at its peak, MiB      {result.memory_at_peak / 1024:8.1f}")


if __name__ == "__main__":
    main()
