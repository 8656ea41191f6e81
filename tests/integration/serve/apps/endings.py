# SPDX-License-Identifier: BSD-2-Clause
"""What is still there when a runtime ends; each notes how it ended."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

from resty_ffi import serve

kept: list[object] = []


def note(text: str) -> None:
    with Path(os.environ["NOTES"]).open("a") as notes:
        notes.write(f"{text}\n")


async def numbers() -> AsyncIterator[int]:
    try:
        while True:
            yield 1
    finally:
        await asyncio.sleep(0)
        note("generator closed")


async def flush() -> None:
    try:
        await asyncio.sleep(3600)
    finally:
        note("task cancelled")
        await asyncio.sleep(0.05)
        note("task saved")


def job() -> None:
    time.sleep(0.3)
    note("job done")


def doze() -> None:
    time.sleep(3600)


async def refuse() -> None:
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            note("refused")


async def never_closed() -> AsyncIterator[int]:
    try:
        yield 1
    finally:
        await refuse()


async def fail() -> None:
    try:
        await asyncio.sleep(3600)
    finally:
        raise ValueError("as the loop ended")


async def be_awaited() -> None:
    try:
        await asyncio.get_running_loop().create_task(fail())
    except ValueError:
        note("failure awaited")


def start(coroutine: Coroutine[Any, Any, None]) -> None:
    kept.append(asyncio.get_running_loop().create_task(coroutine))


@serve
async def leave(request: bytes) -> bytes:
    """Leaves behind what the words of the request say."""
    for word in request.decode().split():
        if word == "generator":
            generator = numbers()
            kept.append(generator)
            await generator.__anext__()
        elif word == "task":
            start(flush())
        elif word == "jobs":
            loop = asyncio.get_running_loop()
            for _ in range(os.cpu_count() or 1):
                kept.extend(loop.run_in_executor(None, job) for _ in range(8))
        elif word == "long-job":
            kept.append(asyncio.get_running_loop().run_in_executor(None, doze))
        elif word == "fails":
            start(fail())
        elif word == "awaited":
            start(be_awaited())
        elif word == "refuses":
            start(refuse())
        elif word == "unclosable":
            generator = never_closed()
            kept.append(generator)
            await generator.__anext__()
        elif word == "stay":
            await refuse()
        await asyncio.sleep(0)
    return request


@serve
class WithClose:
    async def __call__(self, request: bytes) -> bytes:
        return await leave(request)

    async def close(self) -> None:
        note("close begins")
        await asyncio.sleep(0.05)
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        note(f"close ends beside {len(tasks)} tasks")


@serve
class PlainClose:
    async def __call__(self, request: bytes) -> bytes:
        return await leave(request)

    def close(self) -> None:
        note(f"close in {type(asyncio.get_running_loop()).__name__}")


@serve
class StuckClose:
    async def __call__(self, request: bytes) -> bytes:
        return await leave(request)

    async def close(self) -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            note("close cancelled")


@serve
class FailingInit:
    def __init__(self) -> None:
        start(flush())
        asyncio.get_running_loop().call_soon(note, "turn")
        raise ValueError("no")

    async def get(self, request: bytes) -> None: ...
