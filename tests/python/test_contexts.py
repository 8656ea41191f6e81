# SPDX-License-Identifier: BSD-2-Clause
"""Each call has a context of its own, in resty_ffi.testing too."""

from __future__ import annotations

import asyncio
import decimal
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any

import pytest

from resty_ffi import current, serve
from resty_ffi.testing import Runtime

BOUND_S = 30

user: ContextVar[str] = ContextVar("user", default="nobody")
of_init: ContextVar[str] = ContextVar("of_init", default="unset")


class Plain:
    def __init__(self, config: str) -> None:
        of_init.set(config)
        decimal.getcontext().prec = 5
        self.fates: list[str] = []

    def swap(self, request: bytes) -> str:
        seen = user.get()
        user.set(request.decode())
        return seen

    def left(self, request: bytes) -> str:
        third = decimal.Decimal(1) / 3
        decimal.getcontext().prec = 3
        config = of_init.get()
        of_init.set("call")
        return f"{config} {third}"

    def told(self, request: bytes) -> None:
        user.set(request.decode())
        current().on_delivered(self.note)

    def note(self, delivered: bool) -> None:
        with pytest.raises(LookupError):
            current()
        self.fates.append(user.get())
        user.set("callback")

    def fate(self, request: bytes) -> str:
        return " ".join(self.fates)

    def close(self) -> None:
        closed.append(f"{user.get()} {of_init.get()}")


class Beside(Plain):
    async def a_swap(self, request: bytes) -> str:
        await asyncio.sleep(0)
        return self.swap(request)

    async def a_left(self, request: bytes) -> str:
        await asyncio.sleep(0)
        return self.left(request)

    async def a_told(self, request: bytes) -> None:
        await asyncio.sleep(0)
        self.told(request)


closed: list[str] = []

KINDS = [
    (Plain, 1, ""),
    (Plain, 3, ""),
    (Beside, 1, ""),
    (Beside, 1, "a_"),
    (Beside, 3, ""),
    (Beside, 3, "a_"),
]


@pytest.mark.parametrize(("target", "threads", "prefix"), KINDS)
def test_contexts(target: Any, threads: int, prefix: str) -> None:
    closed.clear()

    class Served(target):  # type: ignore[misc]
        pass

    with Runtime(serve(threads=threads)(Served), config="config") as rt:
        for _ in range(2 * threads):
            assert rt.call(f"{prefix}swap", b"u1") == (True, b"nobody")
            assert rt.call(f"{prefix}left") == (True, b"config 0.33333")
        for number in range(2):
            rt.call(f"{prefix}told", b"u%d" % number)
        assert rt.fate() == (True, b"u0 u1")
        assert rt.swap(b"") == (True, b"nobody")
    assert closed == ["nobody config"]


def test_at_the_same_time() -> None:
    with (
        Runtime(serve(threads=3)(Plain), config="config") as rt,
        ThreadPoolExecutor(8) as pool,
    ):
        calls = [pool.submit(rt.swap, b"u%d" % n) for n in range(200)]
        answers = {call.result(BOUND_S) for call in calls}
    assert answers == {(True, b"nobody")}
