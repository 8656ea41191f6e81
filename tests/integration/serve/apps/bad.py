# SPDX-License-Identifier: BSD-2-Clause
"""Handlers that do what they should not."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
import time
from typing import Any

import _resty_ffi

from resty_ffi import current, serve

BOUND = 20.0
CHILD_BOUND = 3.0

never = threading.Event()
here: Any = sys.modules[__name__]


def note(text: str) -> None:
    with open(os.environ["NOTES"], "a") as notes:
        notes.write(f"{text}\n")


def busy() -> None:
    flag = never
    while not flag.is_set():
        pass


def ask(request: bytes) -> bytes:
    if request == b"sleep":
        never.wait(BOUND)
    elif request == b"busy":
        busy()
    elif request == b"locked":
        with lock, lock:
            pass
    return request


lock = threading.Lock()
hangs = serve(ask)
hangs_pooled = serve(threads=2)(lambda request: ask(request))


@serve
async def blocks_the_loop(request: bytes) -> bytes:
    return ask(request)


@serve
async def hangs_async(request: bytes) -> bytes:
    """Cannot be cancelled either."""
    while request == b"sleep" and not never.is_set():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0.05)
    return request


@serve
def echo(request: bytes) -> bytes:
    return request


@serve
def deletes_itself(request: bytes) -> bytes:
    with contextlib.suppress(AttributeError):
        del here.deletes_itself
    return request


@serve
async def deletes_itself_async(request: bytes) -> bytes:
    with contextlib.suppress(AttributeError):
        del here.deletes_itself_async
    await asyncio.sleep(0)
    return request


@serve
class DeletesItself:
    def plain(self, request: bytes) -> bytes:
        for cls in (DeletesItself, type(self)):
            with contextlib.suppress(AttributeError):
                del cls.plain
        self.__dict__.clear()
        self.__class__ = Other  # type: ignore[assignment]
        return request


class Other:
    pass


@serve
def starts_threads(request: bytes) -> bytes:
    for _ in range(5):
        threading.Thread(target=never.wait, daemon=False).start()
    threading.Thread(target=busy, daemon=False).start()
    return request


def fork_and(what: str) -> str:
    """What becomes of a child that returns, raises or exits."""
    pid = os.fork()
    if pid == 0:
        if what == "raise":
            raise ValueError("child")
        if what == "exit":
            sys.exit(7)
        return "child"
    return ended(pid)


def ended(pid: int) -> str:
    end = time.monotonic() + CHILD_BOUND
    while time.monotonic() < end:
        if os.waitpid(pid, os.WNOHANG) != (0, 0):
            return "the child has ended"
        time.sleep(0.005)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    return "the child lived on"


@serve
def forks(request: bytes) -> str:
    return fork_and(request.decode())


@serve(threads=3)
def forks_pooled(request: bytes) -> str:
    return fork_and(request.decode())


@serve
async def forks_async(request: bytes) -> str:
    return fork_and(request.decode())


@serve
async def forks_and_goes_on(request: bytes) -> str:
    """The child's loop shares its epoll with the parent's."""
    pid = os.fork()
    if pid == 0:
        return "child"
    return await asyncio.to_thread(ended, pid)


@serve
def multiprocess(request: bytes) -> str:
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    with ProcessPoolExecutor(2, get_context("fork")) as pool:
        return str(list(pool.map(abs, [-1, -2, -3])))


class Starts:
    def __init__(self, config: str) -> None:
        if config == "raise":
            raise ValueError("not today")
        if config == "exit":
            sys.exit(3)
        if config.startswith("hang"):
            never.wait(BOUND)
        elif config.startswith("busy"):
            busy()


@serve
class Init(Starts):
    def plain(self, request: bytes) -> bytes:
        return request


@serve
class InitAsync(Starts):
    async def plain(self, request: bytes) -> bytes:
        return request


@serve
class NoConfig:
    def __init__(self, *, key: int) -> None: ...

    def plain(self, request: bytes) -> bytes:
        return request


@serve
class TwoArguments:
    def __init__(self, one: str, two: str) -> None: ...

    def plain(self, request: bytes) -> bytes:
        return request


@serve
class NoMethods:
    def _private(self, request: bytes) -> bytes:
        return request

    def close(self) -> None: ...


@serve
class MethodsOfNoArguments:
    def plain(self) -> bytes:
        return b""

    async def slow(self) -> bytes:
        return b""


@serve
def two_arguments(one: bytes, two: bytes) -> bytes:
    return one


class Ends:
    def __init__(self, config: str) -> None:
        self.how, _, self.name = config.partition(" ")

    def end(self) -> None:
        note(f"{self.name} closes")
        if self.how == "raise":
            raise ValueError(f"close of {self.name}")
        if self.how == "exit":
            sys.exit(3)
        if self.how == "hang":
            never.wait(BOUND)
        elif self.how == "busy":
            busy()


@serve
class Close(Ends):
    def plain(self, request: bytes) -> bytes:
        return request

    def close(self) -> None:
        self.end()


@serve(threads=3)
class ClosePooled(Ends):
    def plain(self, request: bytes) -> bytes:
        return request

    def close(self) -> None:
        self.end()


@serve
class CloseAsync(Ends):
    async def plain(self, request: bytes) -> bytes:
        return request

    async def close(self) -> None:
        await asyncio.sleep(0)
        self.end()
        if self.how == "forever":
            await asyncio.Event().wait()


@serve(threads=2)
class CloseMixed(Ends):
    async def slow(self, request: bytes) -> bytes:
        return request

    def plain(self, request: bytes) -> bytes:
        return request

    def close(self) -> None:
        self.end()


class Hurries:
    """Answers when the worker leaves; what it hands out is not delivered."""

    def until_it_leaves(self, request: bytes) -> bytes:
        call = current()
        call.on_delivered(lambda delivered: note(f"delivered {delivered}"))
        note("runs")
        end = time.monotonic() + BOUND
        while not _resty_ffi.exiting():
            assert time.monotonic() < end
            time.sleep(0.001)
        return request

    def close(self) -> None:
        note("closed")


@serve
class HurriesPlain(Hurries): ...


@serve
class HurriesAsync(Hurries):
    async def unused(self, request: bytes) -> None: ...
