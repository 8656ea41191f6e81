# SPDX-License-Identifier: BSD-2-Clause
"""Streams without end to a slow reader, and 1 GiB to a fast one."""

from __future__ import annotations

import dataclasses
import http.client
import threading
import time
from collections.abc import Iterator

from ..app.bulk import at
from ..process import BenchError
from ..server import Server

GIB = 1 << 30
RATE = 1 << 20
PART = 64 << 10
# more than is sent in an hour
ENDLESS = 1 << 33
PATIENCE = 60.0


@dataclasses.dataclass(frozen=True)
class Bulk:
    name: str
    seconds: float
    size: int
    right: bool
    memory: list[int]  # bytes, of each second
    endless: bool

    @property
    def growth(self) -> int:
        return max(self.memory) - self.memory[0]


class Flow(threading.Thread):
    """One direction of one request; rate: bytes a second, 0 for all."""

    def __init__(self, server: Server, path: str, size: int, rate: int):
        super().__init__(daemon=True)
        self.server = server
        self.path = path
        self.size = size
        self.rate = rate
        self.done = 0
        self.right = True
        self.stop = threading.Event()

    def run(self) -> None:
        client = http.client.HTTPConnection(
            "127.0.0.1", self.server.port, timeout=PATIENCE
        )
        try:
            self._down(client) if "down" in self.path else self._up(client)
        except (OSError, http.client.HTTPException):
            self.right = self.right and self.stop.is_set()
        finally:
            client.close()

    def _pace(self, began: float) -> None:
        if self.rate:
            late = time.monotonic() - began
            time.sleep(max(0.0, self.done / self.rate - late))

    def _down(self, client: http.client.HTTPConnection) -> None:
        client.request("GET", f"/{self.path}?{self.size}")
        response = client.getresponse()
        began = time.monotonic()
        buffer = bytearray(PART)
        while not self.stop.is_set():
            n = response.readinto(buffer)
            if not n:
                break
            part = buffer if n == PART else buffer[:n]
            self.right = self.right and part == at(self.done, n)
            self.done += n
            self._pace(began)

    def _parts(self) -> Iterator[bytes]:
        while self.done < self.size and not self.stop.is_set():
            part = at(self.done, min(PART, self.size - self.done))
            yield part
            self.done += len(part)

    def _up(self, client: http.client.HTTPConnection) -> None:
        headers = {"Content-Length": str(self.size)}
        client.request("POST", f"/{self.path}", self._parts(), headers)
        if self.stop.is_set():
            return
        said = client.getresponse().read().decode()
        self.right = said == f"{self.size} True"


def watch(
    server: Server, name: str, path: str, size: int, rate: int, seconds: float
) -> Bulk:
    """At most so many seconds, from the first byte on."""
    flow = Flow(server, path, size, rate)
    flow.start()
    began = time.monotonic()
    while not flow.done and flow.is_alive():
        time.sleep(0.01)
        if time.monotonic() - began > PATIENCE:
            raise BenchError(f"{name}: nothing comes")
    began = time.monotonic()
    memory: list[int] = []
    took = 0.0
    while (flow.is_alive() and took < seconds) or not memory:
        flow.join(1.0 if size == ENDLESS else 0.05)
        memory.append(server.resident())
        took = time.monotonic() - began
    flow.stop.set()
    flow.join(PATIENCE)
    whole = size == ENDLESS or flow.done == size
    right = flow.right and whole
    return Bulk(name, took, flow.done, right, memory, size == ENDLESS)
