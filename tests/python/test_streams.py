# SPDX-License-Identifier: BSD-2-Clause
"""Answers and requests in parts in resty_ffi.testing.Runtime."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Generator,
    Iterable,
    Iterator,
)
from typing import Any

import pytest

import resty_ffi
from resty_ffi import AsyncBodyReader, BodyReader, Error, current, serve
from resty_ffi._body import reader_of
from resty_ffi.testing import Runtime

BOUND_S = 20

# What is on its way at most, in parts of 1000 bytes.
AHEAD = 65536 // 1000


class Plain:
    def __init__(self) -> None:
        self.steps = 0
        self.ended: list[str] = []

    def numbers(self, request: bytes) -> Iterator[bytes]:
        for number in range(int(request)):
            yield b"%d," % number

    def ends(self, request: bytes) -> Generator[Any, None, str]:
        yield None
        yield "a"
        yield memoryview(b"b")
        return "end"

    def endless(self, request: bytes) -> Iterator[bytes]:
        thread, call = threading.get_ident(), current()
        try:
            for self.steps in itertools.count(1):
                yield b"x" * 1000
                assert threading.get_ident() == thread
                assert current() is call
        except GeneratorExit:
            self.ended.append("endless")
            raise

    def raises(self, request: bytes) -> Iterator[bytes]:
        yield b"one"
        raise ValueError("two")

    def wrong(self, request: bytes) -> Iterator[Any]:
        yield 1

    def sends(self, request: bytes) -> str:
        try:
            for number in range(int(request)):
                current().send(b"%d," % number)
                self.steps = number + 1
        except BrokenPipeError:
            self.ended.append("sends")
            raise
        return "end"

    def count(self, body: BodyReader) -> str:
        return str(sum(map(len, body)))

    def upper(self, body: Iterator[bytes]) -> Iterator[bytes]:
        for part in body:
            yield part.upper()

    def reads(self, body: BodyReader) -> str:
        first = body.read(3), body.read(2), next(body)
        return f"{first} {body.read(4)!r} {body.read()!r} {body.read(1)!r}"

    def whole(self, request: bytes) -> bytes:
        return request

    def quick(self, request: bytes) -> bytes:
        return request

    def state(self, request: bytes) -> str:
        return f"{self.steps} {self.ended}"


class Loop:
    steps: int
    ended: list[str]

    async def a_numbers(self, request: bytes) -> AsyncIterator[bytes]:
        for number in range(int(request)):
            yield b"%d," % number

    async def a_endless(self, request: bytes) -> AsyncIterator[bytes]:
        call, task = current(), asyncio.current_task()
        try:
            for self.steps in itertools.count(1):
                yield b"x" * 1000
                assert asyncio.current_task() is task
                assert current() is call
        except (GeneratorExit, asyncio.CancelledError):
            self.ended.append("a_endless")
            raise

    async def a_raises(self, request: bytes) -> AsyncIterator[bytes]:
        yield b"one"
        raise ValueError("two")

    async def a_wrong(self, request: bytes) -> AsyncIterator[Any]:
        yield 1

    async def a_sends(self, request: bytes) -> None:
        current().send(b"x")

    async def a_count(self, body: AsyncBodyReader) -> str:
        return str(sum([len(part) async for part in body]))

    async def a_upper(
        self, body: AsyncIterator[bytes]
    ) -> AsyncIterator[bytes]:
        async for part in body:
            yield part.upper()

    async def a_reads(self, body: AsyncBodyReader) -> str:
        first = await body.read(3), await body.read(2), await anext(body)
        rest = await body.read(4), await body.read(), await body.read(1)
        return f"{first} {rest[0]!r} {rest[1]!r} {rest[2]!r}"

    async def a_late(self, body: AsyncBodyReader) -> AsyncIterator[bytes]:
        """Gives up reads that wait."""
        while True:
            try:
                part = await asyncio.wait_for(body.read(4), 0.02)
            except asyncio.TimeoutError:
                yield b"late,"
                continue
            if not part:
                break
            yield part

    async def a_shared(self, body: AsyncBodyReader) -> str:
        """Many tasks read at a time."""

        async def read() -> int:
            return len(await body.read(100))

        return str(sum(await asyncio.gather(*[read() for _ in range(10)])))

    async def a_whole(self, request: bytes) -> bytes:
        return request


@serve
class One(Plain):
    pass


@serve(threads=3)
class Threads(Plain):
    pass


@serve
class Mixed(Plain, Loop):
    pass


@serve(threads=3)
class Pooled(Plain, Loop):
    pass


KINDS: list[Any] = [One, Threads, Mixed, Pooled]
LOOPS: list[Any] = [Mixed, Pooled]

each_kind = pytest.mark.parametrize("kind", KINDS)
each = pytest.mark.parametrize(
    ("kind", "a"),
    [(kind, "") for kind in KINDS] + [(kind, "a_") for kind in LOOPS],
)


def numbers(number: int) -> bytes:
    return b"".join(b"%d," % n for n in range(number))


def eventually(rt: Runtime, state: str) -> None:
    end = time.monotonic() + BOUND_S
    while state not in (got := rt.state()[1].decode()):
        assert time.monotonic() < end, got
        time.sleep(0.001)


@each
def test_a_stream(kind: Any, a: str) -> None:
    with Runtime(kind) as rt:
        parts = list(rt.stream(f"{a}numbers", b"30000"))
        assert len(parts) == 30_000
        assert b"".join(parts) == numbers(30_000)
        assert list(rt.stream(f"{a}numbers", b"0")) == []


@each
def test_a_call(kind: Any, a: str) -> None:
    with Runtime(kind) as rt:
        assert rt.call(f"{a}numbers", b"30000") == (True, numbers(30_000))
        assert rt.call(f"{a}numbers", b"0") == (True, None)


@each_kind
def test_ends(kind: Any) -> None:
    with Runtime(kind) as rt:
        assert list(rt.stream("ends")) == [b"a", b"b", b"end"]
        assert rt.ends() == (True, b"abend")
        assert list(rt.stream("quick", b"one")) == [b"one"]


@each
def test_back_pressure(kind: Any, a: str) -> None:
    """A generator is not far ahead of its reader; others are answered."""
    with Runtime(kind) as rt, rt.stream(f"{a}endless") as stream:
        assert next(stream) == b"x" * 1000
        steps = 0
        for _ in range(100):
            assert rt.quick(b"q", timeout=BOUND_S) == (True, b"q")
            steps = int(rt.state()[1].split()[0])
            assert steps <= AHEAD + 2
        for _ in range(3 * AHEAD):
            assert next(stream) == b"x" * 1000
        assert int(rt.state()[1].split()[0]) > 2 * AHEAD
        stream.close()
        eventually(rt, f"['{a}endless']")


@each
def test_a_stalled_stream_and_others(kind: Any, a: str) -> None:
    with Runtime(kind) as rt:
        streams = [rt.stream(f"{a}endless") for _ in range(20)]
        for stream in streams:
            next(stream)
        for n in range(100):
            request = b"%d" % n
            assert rt.quick(request, timeout=BOUND_S) == (True, request)
        assert list(rt.stream(f"{a}numbers", b"1000"))
        for stream in streams:
            stream.close()
        eventually(rt, ", ".join([f"'{a}endless'"] * 20))


def test_a_blocked_thread_holds_no_stream_up() -> None:
    """Where another one of the pool has nothing to do."""
    with Runtime(Pooled) as rt:
        stream = rt.stream("endless", timeout=BOUND_S)
        next(stream)
        with rt.stream("count", input=True) as blocked:
            time.sleep(0.1)
            for _ in range(1000):
                next(stream)
            blocked.finish()
            assert list(blocked) == [b"0"]
        stream.close()


@each
def test_exceptions(kind: Any, a: str) -> None:
    with Runtime(kind) as rt:
        stream = rt.stream(f"{a}raises")
        assert next(stream) == b"one"
        with pytest.raises(Error, match="1: ValueError: two"):
            next(stream)
        assert list(stream) == []
        assert rt.call(f"{a}raises") == (False, 1, b"ValueError: two")
        ok, rc, text = rt.call(f"{a}wrong")
        assert (ok, rc) == (False, 1)
        assert b"yielded int, not bytes, str, a buffer or None" in text


@each
def test_a_timeout(kind: Any, a: str) -> None:
    with Runtime(kind) as rt:
        stream = rt.stream(f"{a}endless", timeout=0.2)
        with pytest.raises(TimeoutError):
            for _ in stream:
                pass
        eventually(rt, f"{a}endless")
        assert rt.call(f"{a}endless", timeout=0.1) == (False, "timeout")
        eventually(rt, f"'{a}endless', '{a}endless'")


@pytest.mark.parametrize("kind", [One, Threads, Pooled])
def test_send(kind: Any) -> None:
    with Runtime(kind) as rt:
        assert rt.sends(b"3000") == (True, numbers(3000) + b"end")
    with Runtime(Threads) as rt, rt.stream("sends", b"9999999") as stream:
        assert next(stream) == b"0,"
        time.sleep(0.05)
        assert int(rt.state()[1].split()[0]) < 2000
        stream.close()
        eventually(rt, "['sends']")


def test_send_on_a_loop() -> None:
    text = b"RuntimeError: this would block the event loop: yield the parts"
    with Runtime(Mixed) as rt:
        assert rt.sends(b"1") == (False, 1, text + b" instead")
        assert rt.a_sends(b"1") == (False, 1, text + b" instead")


@each
def test_requests_in_parts(kind: Any, a: str) -> None:
    parts = [b"%d" % (n % 10) * 1000 for n in range(300)]
    with Runtime(kind) as rt:
        for method, answer in [
            ("count", b"300005"),
            ("upper", b"FIRST" + b"".join(parts)),
            ("whole", b"first" + b"".join(parts)),
        ]:
            stream = rt.stream(f"{a}{method}", b"first", body=parts)
            assert b"".join(stream) == answer
        for method in ("count", "whole"):
            assert list(rt.stream(f"{a}{method}", body=[])) in ([], [b"0"])


@each
def test_requests_in_one_piece(kind: Any, a: str) -> None:
    with Runtime(kind) as rt:
        assert rt.call(f"{a}count", b"hello") == (True, b"5")
        assert rt.call(f"{a}count") == (True, b"0")
        assert rt.call(f"{a}upper", b"hello") == (True, b"HELLO")


@each
def test_reads(kind: Any, a: str) -> None:
    body = [b"0123", b"456789", b"ab", b"cdefghi"]
    with Runtime(kind) as rt:
        stream = rt.stream(f"{a}reads", b"", body=body)
        assert b"".join(stream).decode() in [
            "(b'012', b'34', b'56789') b'abcd' b'efghi' b''",
            # on a loop's thread all of it is there before
            "(b'012', b'34', b'56789abcdefghi') b'' b'' b''",
        ]


@pytest.mark.parametrize("kind", LOOPS)
def test_a_read_that_is_given_up_loses_nothing(kind: Any) -> None:
    with Runtime(kind) as rt, rt.stream("a_late", input=True) as stream:
        for part in (b"01", b"2"):
            stream.write(part)
            assert next(stream) == b"late,"
        stream.write(b"345")
        stream.finish()
        assert b"".join(stream).replace(b"late,", b"") == b"012345"


@pytest.mark.parametrize("kind", LOOPS)
def test_reads_at_a_time_lose_nothing(kind: Any) -> None:
    with Runtime(kind) as rt, rt.stream("a_shared", input=True) as stream:
        time.sleep(0.05)
        for _ in range(4):
            stream.write(b"x" * 250)
        stream.finish()
        assert list(stream) == [b"1000"]


@each
def test_a_duplex(kind: Any, a: str) -> None:
    if kind is Mixed and not a:
        return  # its request is gathered
    with Runtime(kind) as rt, rt.stream(f"{a}upper", input=True) as stream:
        for word in (b"one", b"two"):
            stream.write(word)
            assert next(stream) == word.upper()
        stream.finish()
        assert list(stream) == []


@each
def test_nobody_blocks_while_a_request_comes(kind: Any, a: str) -> None:
    with Runtime(kind) as rt:
        streams = [rt.stream(f"{a}whole", input=True) for _ in range(10)]
        for stream in streams:
            stream.write(b"x")
            assert rt.quick(b"q", timeout=BOUND_S) == (True, b"q")
        gone = streams.pop()
        gone.close()
        for stream in streams:
            stream.write(b"y")
            stream.finish()
            assert list(stream) == [b"xy"]


@each
def test_an_unload_in_the_middle(kind: Any, a: str) -> None:
    rt = Runtime(kind)
    stream = rt.stream(f"{a}numbers", b"30000")
    parts = [next(stream)]
    unloading = threading.Thread(target=rt.unload)
    unloading.start()
    while rt.quick(b"q")[0]:
        pass
    with pytest.raises(RuntimeError, match="task queue is finished"):
        rt.stream("quick")
    parts += stream
    assert b"".join(parts) == numbers(30_000)
    unloading.join(BOUND_S)
    assert not unloading.is_alive()


def declared(annotation: Any) -> Any:
    def handler(body: Any) -> None: ...

    handler.__annotations__ = {"body": annotation}
    return handler


@pytest.mark.parametrize(
    ("annotation", "reader"),
    [
        (BodyReader, BodyReader),
        ("BodyReader", BodyReader),
        ("resty_ffi.BodyReader", BodyReader),
        ("nowhere.BodyReader", BodyReader),
        (Iterator[bytes], BodyReader),
        ("Iterator[bytes]", BodyReader),
        ("unknown.Iterator[ bytes ]", BodyReader),
        (Iterable[bytes], BodyReader),
        (AsyncBodyReader, AsyncBodyReader),
        ("AsyncBodyReader", AsyncBodyReader),
        (AsyncIterator[bytes], AsyncBodyReader),
        (AsyncIterable[bytes], AsyncBodyReader),
        (Iterator[str], None),
        (bytes, None),
        ("bytes", None),
        ("nothing at all", None),
        (None, None),
        (Any, None),
    ],
)
def test_declarations(annotation: Any, reader: Any) -> None:
    assert reader_of(declared(annotation)) is reader


def test_where_readers_are_declared() -> None:
    class Callable:
        def __call__(self, body: BodyReader, other: Nowhere = 1) -> None:  # type: ignore[name-defined] # noqa: F821
            ...

        def method(self, body: BodyReader) -> None: ...

    assert reader_of(Callable()) is BodyReader
    assert reader_of(Callable().method) is BodyReader
    assert reader_of(lambda body: body) is None
    assert reader_of(print) is None
    assert reader_of(lambda: None) is None


@pytest.mark.parametrize("name", ["BodyReader", "AsyncBodyReader"])
def test_the_wrong_reader(name: str) -> None:
    async def blocks(body: BodyReader) -> None: ...

    def no_loop(body: AsyncBodyReader) -> None: ...

    target: Any = blocks if name == "BodyReader" else no_loop
    with pytest.raises(TypeError, match=f"takes an? {name}, which"):
        Runtime(serve(target))
    assert getattr(resty_ffi, name).__name__ == name
