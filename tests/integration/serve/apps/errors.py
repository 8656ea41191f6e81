# SPDX-License-Identifier: BSD-2-Clause
"""Handlers that raise."""

from __future__ import annotations

import asyncio
import concurrent.futures  # noqa: F401
import sys
from typing import Any

from resty_ffi import Error, current, serve


class OwnError(Exception):
    """An exception of one's own."""


class TeapotError(Error):
    def __init__(self) -> None:
        super().__init__(418, "short and stout")


class BareError(Error):
    def __init__(self) -> None:
        pass


class TextRaisesError(Exception):
    def __str__(self) -> str:
        raise ValueError


class TextExitsError(Exception):
    def __str__(self) -> str:
        sys.exit(3)


class NothingWorksError(TextRaisesError):
    @property
    def __cause__(self) -> BaseException:
        raise ValueError

    @__cause__.setter
    def __cause__(self, value: object) -> None: ...


def chained() -> None:
    try:
        dict[str, str]()["key"]
    except KeyError as error:
        raise ValueError("outer") from error


def deep() -> None:
    deep()


def group() -> None:
    raise eval("ExceptionGroup")("group", [ValueError("one"), KeyError("two")])


def assign_rc() -> None:
    error = Error(1)
    error.rc = "text"  # type: ignore[assignment]
    raise error


def assign_body() -> None:
    error = Error(1)
    error.body = 42  # type: ignore[assignment]
    raise error


def assign_zero() -> None:
    error = Error(1)
    error.rc = 0
    raise error


def assign_wide() -> None:
    error = Error(1)
    error.rc = 1 << 32
    raise error


NAMES: dict[str, Any] = {
    name: value for name, value in globals().items() if name[0] != "_"
}


def run(request: bytes) -> Any:
    return exec(request.decode(), dict(NAMES))


raises = serve(run)


@serve
async def raises_async(request: bytes) -> Any:
    return run(request)


@serve
async def raises_later(request: bytes) -> Any:
    await asyncio.sleep(0.001)
    return run(request)


@serve(threads=2)
def raises_pooled(request: bytes) -> Any:
    return run(request)


@serve(threads=2)
class Raises:
    def plain(self, request: bytes) -> Any:
        return run(request)

    async def slow(self, request: bytes) -> Any:
        await asyncio.sleep(0)
        return run(request)


@serve
def often(request: bytes) -> None:
    raise ValueError(f"number {request.decode()}")


@serve
async def in_the_background(request: bytes) -> bytes:
    """What it starts raises behind its back; asyncio lets these two out."""

    async def background() -> None:
        run(request)

    task = asyncio.create_task(background())
    await asyncio.sleep(0.001)
    del task
    return b"answered"


@serve
async def in_a_callback(request: bytes) -> bytes:
    asyncio.get_running_loop().call_soon(run, request)
    await asyncio.sleep(0.001)
    return b"answered"


@serve
async def in_delivered(request: bytes) -> bytes:
    current().on_delivered(lambda delivered: run(request))
    return b"answered"


@serve
def in_delivered_sync(request: bytes) -> bytes:
    current().on_delivered(lambda delivered: run(request))
    return b"answered"


@serve
async def cancels_itself(request: bytes) -> bytes:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)
    return b"never"


@serve
async def cancels_everybody(request: bytes) -> bytes:
    """As asyncio.Runner does at its end; a library may think it is alone."""
    if request == b"cancel":
        for task in asyncio.all_tasks():
            if task is not asyncio.current_task():
                task.cancel()
    return b"answered"


closed: list[str] = []


@serve
class Siblings:
    async def cancel(self, request: bytes) -> bytes:
        """Those that have not begun, too: some, where tasks are not eager."""
        while len(siblings := self._siblings()) < int(request):  # noqa: ASYNC110
            await asyncio.sleep(0)
        for task in siblings:
            task.cancel()
        return b"cancelled"

    def _siblings(self) -> list[asyncio.Task[object]]:
        return [
            task
            for task in asyncio.all_tasks()
            if getattr(task.get_coro(), "__name__", "") == "_run"
            and task is not asyncio.current_task()
        ]

    async def sleep(self, request: bytes) -> bytes:
        await asyncio.sleep(10)
        return b"slept"

    def close(self) -> None:
        closed.append("closed")
