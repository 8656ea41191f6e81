# SPDX-License-Identifier: BSD-2-Clause
"""Answers in parts on an event loop."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncGenerator, Generator
from types import AsyncGeneratorType, GeneratorType
from typing import Any

from ._native import native

GENERATORS = frozenset([AsyncGeneratorType, GeneratorType])

# Parts that are sent without a look at the loop.
TURN = 32


class Waits:
    """What calls of one loop wait for: that their callers read, or write."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._futures: dict[int, list[asyncio.Future[None]]] = {}

    def __bool__(self) -> bool:
        return bool(self._futures)

    async def wait(self, number: int) -> None:
        """Until there is something new about a call."""
        future = self._loop.create_future()
        futures = self._futures.setdefault(number, [])
        futures.append(future)
        try:
            await future
        finally:
            futures.remove(future)
            if not futures and self._futures.get(number) is futures:
                del self._futures[number]

    def tell(self, number: int | None) -> None:
        """There is something new about a call; None: about any of them."""
        told = list(self._futures) if number is None else [number]
        for number in told:
            for future in self._futures.get(number, ()):
                if not future.done():
                    future.set_result(None)


async def send(
    call: native.Call,
    parts: AsyncGenerator[Any, None] | Generator[Any, None, Any],
    waits: Waits,
) -> Any:
    """Send what a generator yields; returns what the answer ends with.

    The generator has ended then, whatever happens. Raises what it raises, and
    CancelledError where nobody waits for the answer any more.
    """
    if isinstance(parts, Generator):
        return await _send_plain(call, parts, waits)
    sent = 0
    try:
        async for part in parts:
            error = call._send(part)
            if error:
                await _send_later(call, part, error, waits)
            sent += 1
            if not sent % TURN:
                await asyncio.sleep(0)
    finally:
        await parts.aclose()
    return None


async def _send_plain(
    call: native.Call, parts: Generator[Any, None, Any], waits: Waits
) -> Any:
    sent = 0
    try:
        while True:
            try:
                part = next(parts)
            except StopIteration as end:
                return end.value
            error = call._send(part)
            if error:
                await _send_later(call, part, error, waits)
            sent += 1
            if not sent % TURN:
                await asyncio.sleep(0)
    finally:
        parts.close()


async def _send_later(
    call: native.Call, part: Any, error: int, waits: Waits
) -> None:
    """Send a part that has been refused with an error."""
    try:
        while error:
            if error != errno.EAGAIN:
                raise asyncio.CancelledError
            await waits.wait(call._number)
            error = call._send(part)
    except BaseException:
        call._unsent()
        raise
