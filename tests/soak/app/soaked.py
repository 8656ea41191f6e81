# SPDX-License-Identifier: BSD-2-Clause
"""What the soak serves; VERSION is replaced in each version on disk."""

import asyncio
import sys
import time

from resty_ffi import Error, serve

VERSION = b"00000000"
INVERTED = bytes(byte ^ 0xFF for byte in range(256))


def answer(request: bytes) -> bytes:
    return VERSION + request.translate(INVERTED)


@serve
class Plain:
    def echo(self, request: bytes) -> bytes:
        return answer(request)

    def fail(self, request: bytes) -> bytes:
        text = f"{VERSION.decode()} of {len(request)} bytes"
        raise ValueError(f"{text} {request[:8].hex()}")

    def refuse(self, request: bytes) -> bytes:
        raise Error(7, answer(request))

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


@serve(threads=4)
def block(request: bytes) -> bytes:
    time.sleep(0.02)
    return answer(request)
