# SPDX-License-Identifier: BSD-2-Clause
"""What streams through nginx, both ways."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

from resty_ffi import serve

from .bulk import at
from .ticks import ticks

PART = 64 << 10
RATE = 1 << 20


@serve
class Ticks:
    def __init__(self) -> None:
        self.timers: list[asyncio.Task[None]] = []
        self.count = 0

    def stream(self, request: bytes) -> AsyncIterator[bytes]:
        return ticks(request.decode())

    async def timers_on(self, request: bytes) -> None:
        """So many timers that send nothing."""
        for number in range(int(request)):
            task = asyncio.create_task(self._tick(f"/{number}"))
            self.timers.append(task)

    async def _tick(self, path: str) -> None:
        async for _ in ticks(path):
            self.count += 1

    async def timers_count(self, request: bytes) -> str:
        return str(self.count)

    async def timers_off(self, request: bytes) -> None:
        for task in self.timers:
            task.cancel()
        self.timers.clear()


def parts(size: int) -> Iterator[bytes]:
    left = size
    where = 0
    while left:
        part = at(where, min(PART, left))
        yield part
        where += len(part)
        left -= len(part)


@serve
def down(request: bytes) -> Iterator[bytes]:
    """So many bytes, as fast as they are taken."""
    return parts(int(request))


@serve
async def down_async(request: bytes) -> AsyncIterator[bytes]:
    for part in parts(int(request)):
        yield part


@serve
async def up(body: AsyncIterator[bytes]) -> str:
    """How many bytes came, and whether they were those of bulk."""
    where = 0
    right = True
    async for part in body:
        right = right and part == at(where, len(part))
        where += len(part)
    return f"{where} {right}"


@serve
async def up_slowly(body: AsyncIterator[bytes]) -> str:
    """Takes a MiB each second."""
    began = time.monotonic()
    where = 0
    async for part in body:
        where += len(part)
        await asyncio.sleep(where / RATE - (time.monotonic() - began))
    return str(where)
