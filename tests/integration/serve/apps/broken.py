# SPDX-License-Identifier: BSD-2-Clause
"""Handlers that close what their event loop needs."""

import asyncio
import os
import sys

from resty_ffi import serve

# libuv ends the process where asyncio raises
sys.modules["uvloop"] = None  # type: ignore[assignment]


def descriptors(kind: str) -> list[int]:
    folder = "/proc/thread-self/fd"
    return [
        int(fd)
        for fd in os.listdir(folder)
        if os.path.islink(f"{folder}/{fd}")
        and kind in os.readlink(f"{folder}/{fd}")
    ]


@serve
class Loop:
    async def close_selector(self, request: bytes) -> bytes:
        selector = asyncio.get_running_loop()._selector  # type: ignore
        os.close(selector.fileno())
        return b"closed"

    async def close_eventfds(self, request: bytes) -> bytes:
        for fd in descriptors("[eventfd]"):
            os.close(fd)
        return b"closed"

    async def forever(self, request: bytes) -> bytes:
        await asyncio.sleep(1000)
        return b""

    async def echo(self, request: bytes) -> bytes:
        return request
