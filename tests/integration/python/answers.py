# SPDX-License-Identifier: BSD-2-Clause
"""What ffi.respond has to make HTTP of."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

from resty_ffi import Error, serve

# of endless: how often it has begun, and ended
begun = ended = 0


@serve
class Answers:
    def echo(self, request: bytes) -> bytes:
        return request

    def size(self, request: bytes) -> str:
        return f'{{"size": {len(request)}}}'

    def none(self, request: bytes) -> None:
        return None

    def chosen(self, request: bytes) -> None:
        """Error(rc, body), of "rc" or "rc body"."""
        rc, _, body = request.partition(b" ")
        raise Error(int(rc), body or None)

    def raises(self, request: bytes) -> None:
        raise ValueError("a secret")

    def slow(self, request: bytes) -> bytes:
        time.sleep(0.3)
        return b"late"

    async def parts(self, request: bytes) -> AsyncIterator[bytes]:
        """The request's parts between bars; fail: raises, slow: waits."""
        for part in request.split(b"|"):
            if part == b"fail":
                raise Error(418, "\N{SNOWMAN}\n")
            if part == b"raise":
                raise ValueError("a secret")
            if part == b"slow":
                await asyncio.sleep(5)
            yield part

    async def endless(self, request: bytes) -> AsyncIterator[bytes]:
        global begun, ended
        begun += 1
        try:
            while True:
                yield b"x" * 1000
                await asyncio.sleep(0.005)
        finally:
            ended += 1

    def counts(self, request: bytes) -> str:
        return f"{begun} {ended}"
