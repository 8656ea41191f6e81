# SPDX-License-Identifier: BSD-2-Clause
"""What the soak serves; VERSION is replaced in each version on disk."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterator

from resty_ffi import Error, serve

VERSION = b"00000000"
INVERTED = bytes(byte ^ 0xFF for byte in range(256))


def answer(request: bytes) -> bytes:
    return VERSION + request.translate(INVERTED)


def cut(request: bytes) -> Iterator[bytes]:
    """The answer in parts; answer.c and soak.lua know of what size."""
    yield VERSION
    step = 16 + 8 * request[0] if request else 1
    inverted = request.translate(INVERTED)
    for begin in range(0, len(request), step):
        yield inverted[begin : begin + step]


@serve
class Plain:
    def echo(self, request: bytes) -> bytes:
        return answer(request)

    def fail(self, request: bytes) -> bytes:
        text = f"{VERSION.decode()} of {len(request)} bytes"
        raise ValueError(f"{text} {request[:8].hex()}")

    def refuse(self, request: bytes) -> bytes:
        raise Error(7, answer(request))

    def parts(self, request: bytes) -> Iterator[bytes]:
        return cut(request)

    def blocks(self, request: bytes) -> str:
        return str(sys.getallocatedblocks())


@serve
class Loop:
    async def echo(self, request: bytes) -> bytes:
        await asyncio.sleep(0)
        return answer(request)

    async def late(self, request: bytes) -> bytes:
        await asyncio.sleep(0.002)
        return answer(request)

    async def slow(self, request: bytes) -> bytes:
        await asyncio.sleep(1)
        return answer(request)

    async def parts(self, request: bytes) -> AsyncIterator[bytes]:
        for number, part in enumerate(cut(request)):
            if number % 16 == 15:
                await asyncio.sleep(0)
            yield part

    async def stall(self, request: bytes) -> AsyncIterator[bytes]:
        yield VERSION
        await asyncio.sleep(1)

    async def invert(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        yield VERSION
        async for part in body:
            yield part.translate(INVERTED)


@serve(threads=4)
def invert(body: Iterator[bytes]) -> Iterator[bytes]:
    yield VERSION
    for part in body:
        yield part.translate(INVERTED)


@serve(threads=4)
def block(request: bytes) -> bytes:
    time.sleep(0.02)
    return answer(request)
