# SPDX-License-Identifier: BSD-2-Clause
"""What becomes of parts: each tells its own fate.

A request is the number of parts and the size of each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any

from resty_ffi import current, serve

told: list[tuple[str, bool]] = []
registered: list[str] = []


def watch(name: str) -> None:
    registered.append(name)
    current().on_delivered(lambda delivered: told.append((name, delivered)))


def running() -> bool:
    try:
        current()
    except LookupError:
        return False
    return True


def parts(request: bytes) -> Iterator[bytes]:
    number, size = map(int, request.split())
    for index in range(number):
        watch(f"{index}")
        yield b"%d" % index * size


class Plain:
    def all(self, request: bytes) -> Iterator[bytes]:
        yield from parts(request)

    def sends(self, request: bytes) -> None:
        for part in parts(request):
            current().send(part)

    def nobody(self, request: bytes) -> str:
        """How many callbacks were told while a call ran, as they saw it."""
        seen: list[Any] = []
        for part in [b"x" * 30_000] * 10:
            current().on_delivered(lambda delivered: seen.append(running()))
            current().send(part)
        return f"{len(seen) > 0} {any(seen)} {running()}"

    def several(self, request: bytes) -> Iterator[Any]:
        """Two for a part, none for an empty one, one for the answer."""
        watch("a")
        yield None
        watch("b")
        yield b""
        yield "part"
        yield "unwatched"
        watch("end")

    def wrong(self, request: bytes) -> Iterator[Any]:
        watch("good")
        yield "good"
        watch("wrong")
        yield 1

    def raises(self, request: bytes) -> Iterator[Any]:
        watch("good")
        yield "good"
        watch("raises")
        raise ValueError("raises")

    def fates(self, request: bytes) -> str:
        """How many parts were told each fate, and whether each was, once."""
        counts = Counter(delivered for _, delivered in told)
        once = sorted(name for name, _ in told) == sorted(registered)
        return f"{counts[True]} {counts[False]} {once}"

    def last(self, request: bytes) -> str:
        return " ".join(sorted(f"{name}:{fate}" for name, fate in told))

    def forget(self, request: bytes) -> None:
        told.clear()
        registered.clear()


PLAIN = Plain()

one = serve(Plain)


@serve(threads=3)
class Threads(Plain):
    pass


class Loop:
    async def a_all(self, request: bytes) -> AsyncIterator[bytes]:
        for part in parts(request):
            yield part

    async def a_several(self, request: bytes) -> AsyncIterator[Any]:
        for part in Plain.several(PLAIN, request):
            yield part

    async def a_wrong(self, request: bytes) -> AsyncIterator[Any]:
        for part in Plain.wrong(PLAIN, request):
            yield part

    async def a_raises(self, request: bytes) -> AsyncIterator[Any]:
        for part in Plain.raises(PLAIN, request):
            yield part


@serve
class Mixed(Loop, Plain):
    pass


@serve(threads=3)
class Pooled(Loop, Plain):
    pass
