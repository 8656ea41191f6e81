# SPDX-License-Identifier: BSD-2-Clause
"""What handlers are told of the fate of their parts."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from resty_ffi import current, serve
from resty_ffi.testing import Runtime


class Plain:
    def __init__(self) -> None:
        self.told: list[tuple[Any, bool]] = []
        self.threads: set[int] = set()
        self.registered = 0

    def _watch(self, name: object) -> None:
        def tell(delivered: bool) -> None:
            self.threads.add(threading.get_ident())
            self.told.append((name, delivered))

        self.registered += 1
        current().on_delivered(tell)

    def parts(self, request: bytes) -> Iterator[bytes]:
        for number in range(int(request)):
            self._watch(number)
            yield b"x" * 1000

    def several(self, request: bytes) -> Iterator[Any]:
        self._watch("a")
        yield None
        self._watch("b")
        yield b""
        yield b"part"
        self._watch("end")

    def wrong(self, request: bytes) -> Iterator[Any]:
        self._watch("wrong")
        yield 1


@serve
class One(Plain):
    pass


@serve(threads=3)
class Threads(Plain):
    pass


@serve
class Loop(Plain):
    async def parts(  # type: ignore[override]
        self, request: bytes
    ) -> AsyncIterator[bytes]:
        for part in Plain.parts(self, request):
            yield part

    async def wrong(  # type: ignore[override]
        self, request: bytes
    ) -> AsyncIterator[Any]:
        for part in Plain.wrong(self, request):
            yield part


@serve(threads=3)
class Pooled(Loop):
    pass


each = pytest.mark.parametrize("kind", [One, Threads, Loop, Pooled])


def eventually(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def target_of(kind: type[Plain]) -> tuple[Any, list[Plain]]:
    """One that tells its instance."""
    made: list[Plain] = []

    class Watched(kind):  # type: ignore[misc, valid-type]
        def __init__(self) -> None:
            super().__init__()
            made.append(self)

    return Watched, made


@each
def test_parts_that_are_read(kind: type[Plain]) -> None:
    target, made = target_of(kind)
    with Runtime(target) as rt:
        with rt.stream("parts", b"200") as stream:
            assert len(list(stream)) == 200
        assert rt.call("parts", b"10")[0]
    (app,) = made
    assert sorted(app.told) == sorted(
        [(n, True) for n in range(200)] + [(n, True) for n in range(10)]
    )
    assert threading.get_ident() not in app.threads


@each
def test_a_caller_that_goes(kind: type[Plain]) -> None:
    target, made = target_of(kind)
    with Runtime(target) as rt:
        with rt.stream("parts", b"1000") as stream:
            next(stream)
            eventually(lambda: made[0].registered > 60)
        eventually(lambda: len(made[0].told) == made[0].registered)
    (app,) = made
    assert [name for name, delivered in app.told if delivered] == [0]
    assert len({name for name, _ in app.told}) == app.registered


@each
def test_several(kind: type[Plain]) -> None:
    target, made = target_of(kind)
    with Runtime(target) as rt:
        assert rt.call("several") == (True, b"part")
        assert not rt.call("wrong")[0]
    assert sorted(made[0].told) == [
        ("a", True),
        ("b", True),
        ("end", True),
        ("wrong", False),
    ]
