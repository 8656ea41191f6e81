# SPDX-License-Identifier: BSD-2-Clause
"""Answers and requests in parts.

Methods are the same on one thread, on several, on an event loop and in a pool
beside one; `facts` says what became of the streams.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import sys
import threading
import time
import weakref
from array import array
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextvars import ContextVar
from typing import Any

from resty_ffi import AsyncBodyReader, BodyReader, Error, current, serve

BOUND_S = 20

seen: ContextVar[bytes] = ContextVar("seen", default=b"")


ended: list[str] = []


class Part(bytearray):
    """One that can be watched."""

    __hash__ = object.__hash__  # type: ignore[assignment]


def relay(function: Callable[..., Any]) -> Callable[..., Any]:
    """As decorators have it: what it returns is a generator all the same."""

    @functools.wraps(function)
    def call(self: Any, request: Any) -> Any:
        return function(self, request)

    return call


def sends(request: bytes) -> None:
    for number in range(int(request)):
        current().send((b"%d," % number).rjust(1000))


class Plain:
    def __init__(self) -> None:
        self.parts: weakref.WeakSet[Part] = weakref.WeakSet()
        self.large = b"L" * 200_000
        self.arrived = threading.Event()

    def numbers(self, request: bytes) -> Iterator[bytes]:
        for number in range(int(request)):
            yield b"%d," % number

    @relay
    def decorated(self, request: bytes) -> Iterator[bytes]:
        yield from self.numbers(request)

    def kinds(self, request: bytes) -> Generator[Any, None, bytes]:
        yield b"bytes "
        yield None
        yield "str\xe9 "
        yield b""
        yield bytearray(b"bytearray ")
        yield memoryview(b"xmemoryviewx")[1:-1]
        yield array("b", b" array ")
        return b"end"

    def wrong(self, request: bytes) -> Iterator[Any]:
        try:
            yield b"one"
            yield 2
        finally:
            ended.append("wrong")

    def wrong_end(self, request: bytes) -> Generator[Any, None, int]:
        yield b"one"
        return 2

    def raises(self, request: bytes) -> Iterator[bytes]:
        yield b"one"
        yield b"two"
        yield b"three"
        raise ValueError("after three")

    def error(self, request: bytes) -> Iterator[bytes]:
        yield b"one"
        raise Error(7, b"seven")

    def first_raises(self, request: bytes) -> Iterator[bytes]:
        raise Error(8, b"eight")
        yield b""

    def same(self, request: bytes) -> Iterator[str]:
        """Each step on one thread, in one context, of one call."""
        call, thread = current(), threading.get_ident()
        assert call.method == "same"
        seen.set(request)
        for _ in range(2000):
            yield "x" * 500
            assert threading.get_ident() == thread
            assert seen.get() == request
            assert current() is call
        yield "same"

    def watched(self, request: bytes) -> Iterator[Part]:
        """Parts that nginx has while it sends them."""
        for _ in range(int(request)):
            part = Part(b"P" * 20_000)
            self.parts.add(part)
            yield part
            del part

    def left(self, request: bytes) -> str:
        """How many of those are left."""
        return str(len(self.parts))

    def references(self, request: bytes) -> Iterator[bytes]:
        for _ in range(50):
            yield self.large

    def counts(self, request: bytes) -> str:
        return str(sys.getrefcount(self.large))

    def one_by_one(self, request: bytes) -> Iterator[bytes]:
        part = b"x"
        for _ in range(int(request)):
            yield part

    def endless(self, request: bytes) -> Iterator[bytes]:
        """Until its caller goes."""
        size = int(request or b"1000")
        name = current().method
        try:
            for number in itertools.count():
                yield (b"%d," % number).rjust(size, b" ")
        except GeneratorExit:
            ended.append(name)
            raise

    def refuses(self, request: bytes) -> Iterator[bytes]:
        while True:
            try:
                yield b"x" * 1000
            except GeneratorExit:
                ended.append("refuses")

    def slow(self, request: bytes) -> Iterator[bytes]:
        try:
            for number in range(int(request)):
                time.sleep(0.01)
                yield b"%d," % number
        finally:
            ended.append("slow")

    def sends(self, request: bytes) -> str:
        sends(request)
        return "end"

    def sends_until_gone(self, request: bytes) -> None:
        try:
            while True:
                current().send(b"x" * 1000)
        except BrokenPipeError as error:
            ended.append(f"sends: {error}")
            raise

    def sends_wrong(self, request: bytes) -> None:
        current().send(1)

    def sends_late(self, request: bytes) -> None:
        call = current()

        def late(delivered: bool) -> None:
            try:
                call.send(b"late")
            except RuntimeError as error:
                ended.append(f"late: {error}")

        call.on_delivered(late)

    def tells(self, request: bytes) -> Iterator[bytes]:
        name = "tells"
        current().on_delivered(lambda d: ended.append(f"{name} {d}"))
        yield b"x"

    def echo(self, request: bytes) -> bytes:
        return request

    def count(self, body: BodyReader) -> str:
        parts = list(body)
        return f"{len(b''.join(parts))} {all(parts)} {next(body, b'end')!r}"

    def iterates(self, body: Iterator[bytes]) -> Iterator[bytes]:
        for part in body:
            yield part.upper()

    def reads(self, body: BodyReader) -> str:
        sizes = [len(body.read(7)), len(body.read(0)), len(next(body, b""))]
        return f"{sizes} {len(body.read())} {body.read()!r}"

    def note(self, request: bytes) -> str:
        """What has been noted, and no longer is."""
        noted = " ".join(ended)
        ended.clear()
        return noted


one = serve(Plain)


@serve(threads=4)
class Threads(Plain):
    pass


class Loop:
    """With an asynchronous method, so plain ones are the loop's."""

    async def a_numbers(self, request: bytes) -> AsyncIterator[bytes]:
        for number in range(int(request)):
            yield b"%d," % number

    @relay
    def a_decorated(self, request: bytes) -> AsyncIterator[bytes]:
        assert current().method == "a_decorated"
        return self.a_numbers(request)

    async def a_returned(self, request: bytes) -> AsyncIterator[bytes]:
        await asyncio.sleep(0)
        return self.a_numbers(request)

    async def a_plain(self, request: bytes) -> Iterator[bytes]:
        await asyncio.sleep(0)
        return (b"%d," % number for number in range(int(request)))

    async def a_kinds(self, request: bytes) -> AsyncIterator[Any]:
        yield b"bytes "
        yield None
        yield "str\xe9 "
        yield b""
        yield bytearray(b"bytearray ")
        yield memoryview(b"xmemoryviewx")[1:-1]
        yield array("b", b" array ")
        yield b"end"

    async def a_wrong(self, request: bytes) -> AsyncIterator[Any]:
        try:
            yield b"one"
            yield 2
        finally:
            ended.append("a_wrong")

    async def a_raises(self, request: bytes) -> AsyncIterator[bytes]:
        yield b"one"
        yield b"two"
        yield b"three"
        raise ValueError("after three")

    async def a_same(self, request: bytes) -> AsyncIterator[str]:
        call, task = current(), asyncio.current_task()
        seen.set(request)
        for number in range(2000):
            yield "x" * 500
            if number % 100 == 0:
                await asyncio.sleep(0)
            assert asyncio.current_task() is task
            assert seen.get() == request
            assert current() is call
        yield "same"

    async def a_endless(self, request: bytes) -> AsyncIterator[bytes]:
        size = int(request or b"1000")
        try:
            for number in itertools.count():
                yield (b"%d," % number).rjust(size, b" ")
        except (GeneratorExit, asyncio.CancelledError) as error:
            ended.append(f"a_endless {type(error).__name__}")
            raise

    async def a_waits(self, request: bytes) -> AsyncIterator[bytes]:
        try:
            yield b"first"
            await asyncio.sleep(BOUND_S)
        except asyncio.CancelledError:
            ended.append("a_waits")
            raise

    async def a_slow(self, request: bytes) -> AsyncIterator[bytes]:
        try:
            for number in range(int(request)):
                await asyncio.sleep(0.01)
                yield b"%d," % number
        finally:
            ended.append("a_slow")

    async def a_one_by_one(self, request: bytes) -> AsyncIterator[bytes]:
        for _ in range(int(request)):
            yield b"x"

    async def a_sends(self, request: bytes) -> None:
        current().send(request)

    async def a_sends_elsewhere(self, request: bytes) -> str:
        await asyncio.to_thread(sends, request)
        return "end"

    async def a_echo(self, request: bytes) -> bytes:
        await asyncio.sleep(0)
        return request

    async def a_count(self, body: AsyncBodyReader) -> str:
        parts = [part async for part in body]
        return f"{len(b''.join(parts))} {all(parts)} {await body.read()!r}"

    async def a_iterates(
        self, body: AsyncIterator[bytes]
    ) -> AsyncIterator[bytes]:
        async for part in body:
            yield part.upper()

    async def a_reads(self, body: AsyncBodyReader) -> str:
        sizes = [len(await body.read(7)), len(await body.read(0))]
        sizes.append(len(await anext(body, b"")))
        return f"{sizes} {len(await body.read())} {await body.read()!r}"


@serve
class Mixed(Loop, Plain):
    pass


@serve(threads=3)
class Pooled(Loop, Plain):
    pass


@serve
def generator(request: bytes) -> Iterator[bytes]:
    yield request
    yield request


@serve
async def asynchronous(request: bytes) -> AsyncIterator[bytes]:
    yield request
    yield request


@serve(view=True)
def view(request: memoryview) -> Iterator[Any]:
    yield request
    yield request[:1]


@serve
async def blocks(body: BodyReader) -> bytes:
    return body.read()


@serve
def no_loop(body: AsyncBodyReader) -> None: ...
