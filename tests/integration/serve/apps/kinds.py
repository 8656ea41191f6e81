# SPDX-License-Identifier: BSD-2-Clause
"""Each kind of handler there is."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable

from resty_ffi import Error, current, serve

BOUND = 10.0


@serve
def upper(request: bytes) -> bytes:
    return request.upper()


@serve
def thread_of_one(request: bytes) -> str:
    return str(threading.get_ident())


together = threading.Barrier(8)


@serve(threads=8)
def eight(request: bytes) -> str:
    together.wait(BOUND)
    return str(threading.get_ident())


@serve
async def fetch(request: bytes) -> bytes:
    await asyncio.sleep(0)
    return b"fetched " + request


@serve
async def at_once(request: bytes) -> bytes:
    return request


class Air:
    flying = 0
    full = asyncio.Event()


@serve
async def fly(request: bytes) -> str:
    """Lands when a hundred are in the air."""
    Air.flying += 1
    if Air.flying == 100:
        Air.full.set()
    await asyncio.wait_for(Air.full.wait(), BOUND)
    return str(threading.get_ident())


class Instance:
    def __call__(self, request: bytes) -> bytes:
        return b"called " + request


class AsyncInstance:
    async def __call__(self, request: bytes) -> bytes:
        await asyncio.sleep(0)
        return b"called " + request


async def two_parts(first: bytes, second: bytes) -> bytes:
    await asyncio.sleep(0)
    return first + second


instance = serve(Instance())
async_instance = serve(AsyncInstance())
partial = serve(functools.partial(two_parts, b"partial "))


def prefix(text: bytes) -> Callable[[bytes], bytes]:
    @serve
    def answer(request: bytes) -> bytes:
        return text + request

    return answer


hello = prefix(b"hello ")
bye = prefix(b"bye ")
backwards = serve(lambda request: request[::-1])


@serve
def method_name(request: bytes) -> str:
    return current().method


class Words:
    def get(self, request: bytes) -> bytes | None:
        return b"inherited"

    def base(self, request: bytes) -> str:
        return "base"


@serve
class Cache(Words):
    """Has state and configuration."""

    limit = 3

    class Nested:
        def __init__(self, request: bytes) -> None: ...

    def __init__(self, config: str) -> None:
        self.config = config
        self.data: dict[bytes, bytes] = {}
        self.maker = threading.get_ident()

    def set(self, request: bytes) -> None:
        key, _, value = request.partition(b"=")
        self.data[key] = value

    def get(self, request: bytes) -> bytes | None:
        return self.data.get(request)

    def conf(self, request: bytes) -> str:
        return repr(self.config)

    def not_found(self, request: bytes) -> None:
        raise Error(404, "nobody")

    def same_thread(self, request: bytes) -> str:
        return str(self.maker == threading.get_ident())

    @staticmethod
    def static(request: bytes) -> bytes:
        return b"static " + request

    @classmethod
    def of_class(cls, request: bytes) -> str:
        return cls.__name__

    def _private(self, request: bytes) -> str:
        return "private"

    def close(self) -> None: ...


@serve
class Plain:
    """Takes no configuration."""

    def __call__(self, request: bytes) -> bytes:
        return b"called " + request

    def other(self, request: bytes) -> bytes:
        return b"other " + request


@serve
class Mixed:
    def __init__(self, config: str) -> None:
        self.loop = asyncio.get_running_loop()
        self.maker = threading.get_ident()

    def plain(self, request: bytes) -> str:
        same = threading.get_ident() == self.maker
        return f"{same} {asyncio.get_running_loop() is self.loop}"

    async def slow(self, request: bytes) -> str:
        await asyncio.sleep(0.001)
        same = threading.get_ident() == self.maker
        return f"{same} {asyncio.get_running_loop() is self.loop}"

    async def __call__(self, request: bytes) -> bytes:
        return b"called " + request


@serve(threads=4)
class Pooled:
    """Plain methods in a pool beside an event loop."""

    def __init__(self, config: str) -> None:
        self.maker = threading.get_ident()
        self.barrier = threading.Barrier(4)
        self.done = asyncio.Event()

    def plain(self, request: bytes) -> str:
        self.barrier.wait(BOUND)
        assert current().method == "plain"
        return str(threading.get_ident() != self.maker)

    def raises(self, request: bytes) -> str:
        raise ValueError(request.decode())

    async def beside(self, request: bytes) -> str:
        await asyncio.sleep(0)
        assert current().method == "beside"
        return str(threading.get_ident() == self.maker)


@serve
class Futures:
    """Plain methods on an event loop, which answer later."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._cancelled: list[bool] = []
        self._told: asyncio.Future[bool] = self._loop.create_future()

    def later(self, request: bytes) -> asyncio.Future[bytes]:
        future = self._loop.create_future()
        self._loop.call_soon(future.set_result, b"later " + request)
        return future

    def done(self, request: bytes) -> asyncio.Future[bytes]:
        future = self._loop.create_future()
        future.set_result(b"done " + request)
        return future

    def task(self, request: bytes) -> asyncio.Task[bytes]:
        return self._loop.create_task(fetch(request))

    def fails(self, request: bytes) -> asyncio.Future[bytes]:
        future = self._loop.create_future()
        future.set_exception(ValueError(request.decode()))
        return future

    def wrong(self, request: bytes) -> asyncio.Future[int]:
        future = self._loop.create_future()
        future.set_result(42)
        return future

    def coroutine(self, request: bytes) -> object:
        made = fetch(request)
        made.close()
        return made

    def never(self, request: bytes) -> asyncio.Future[bytes]:
        future = self._loop.create_future()
        future.add_done_callback(
            lambda done: self._cancelled.append(done.cancelled())
        )
        current().on_delivered(self._told.set_result)
        return future

    def foreign(self, request: bytes) -> asyncio.Future[bytes]:
        loop = asyncio.new_event_loop()
        future: asyncio.Future[bytes] = loop.create_future()
        loop.close()
        return future

    async def fates(self, request: bytes) -> str:
        told = await asyncio.wait_for(self._told, BOUND)
        return f"{self._cancelled} {told}"


class Refuses(asyncio.Future[bytes]):
    def add_done_callback(self, *args: object, **kwargs: object) -> None:
        raise RuntimeError("refused")


@serve
class Refusing(Futures):
    def refuses(self, request: bytes) -> asyncio.Future[bytes]:
        current().on_delivered(self._told.set_result)
        return Refuses()
