# SPDX-License-Identifier: BSD-2-Clause
"""What calls set in their contexts, and what they find there."""

from __future__ import annotations

import asyncio
import decimal
import threading
from contextvars import ContextVar
from decimal import Decimal

from resty_ffi import current, serve

BOUND = 10.0

user: ContextVar[str] = ContextVar("user", default="nobody")
of_import: ContextVar[str] = ContextVar("of_import", default="unset")
of_init: ContextVar[str] = ContextVar("of_init", default="unset")

of_import.set("import")
decimal.getcontext().prec = 5

fates: list[str] = []
together = threading.Barrier(2)


def swap(request: bytes) -> str:
    """What is there; then request is, where there is one."""
    seen = user.get()
    if request:
        user.set(request.decode())
    return seen


def left(request: bytes) -> str:
    """What import and __init__ have left."""
    third = Decimal(1) / 3
    decimal.getcontext().prec = 3
    of_import.set("call")
    of_init.set("call")
    return str(third)


def told(request: bytes) -> str:
    """Its callback finds what the call has set, and no call."""
    user.set(request.decode())
    current().on_delivered(note)
    return "told"


def note(delivered: bool) -> None:
    try:
        call = current().method
    except LookupError:
        call = "no call"
    fates.append(f"{delivered} {user.get()} {call}")
    user.set("callback")


def fate(request: bytes) -> str:
    """The oldest that has not been asked for; "" for none."""
    return fates.pop(0) if fates else ""


class Plain:
    def __init__(self, config: str) -> None:
        of_init.set(config)

    def swap(self, request: bytes) -> str:
        return swap(request)

    def variables(self, request: bytes) -> str:
        return f"{of_import.get()} {of_init.get()} {left(request)}"

    def raises(self, request: bytes) -> str:
        swap(request)
        raise ValueError("swapped")

    def told(self, request: bytes) -> str:
        return told(request)

    def fate(self, request: bytes) -> str:
        return fate(request)


class Beside(Plain):
    async def a_swap(self, request: bytes) -> str:
        seen = swap(request)
        await asyncio.sleep(0)
        assert user.get() == request.decode() or not request
        return seen

    async def a_variables(self, request: bytes) -> str:
        await asyncio.sleep(0)
        return f"{of_import.get()} {of_init.get()} {left(request)}"

    async def a_told(self, request: bytes) -> str:
        await asyncio.sleep(0)
        return told(request)

    def task(self, request: bytes) -> asyncio.Task[str]:
        """A task that it starts sees what it has set."""
        swap(request)
        return asyncio.get_running_loop().create_task(self.seen())

    async def seen(self) -> str:
        await asyncio.sleep(0)
        return user.get()


one_thread = serve(Plain)


@serve(threads=2)
class Threads(Plain):
    def swap(self, request: bytes) -> str:
        """In two threads at a time: each of them is asked."""
        together.wait(BOUND)
        return super().swap(request)


@serve
class Loop(Beside): ...


@serve(threads=2)
class Pool(Beside):
    def swap(self, request: bytes) -> str:
        together.wait(BOUND)
        return super().swap(request)


@serve
class Precise:
    """Its precision is its own, not that of the next one."""

    def __init__(self, config: str) -> None:
        if config:
            decimal.getcontext().prec = int(config)

    def third(self, request: bytes) -> str:
        return str(Decimal(1) / 3)


@serve
class Closing:
    """Says at its end what it finds."""

    def __init__(self, config: str) -> None:
        of_init.set(config)

    def swap(self, request: bytes) -> str:
        of_init.set("call")
        return swap(request)

    def close(self) -> None:
        fates.append(f"{user.get()} {of_init.get()}")


@serve
class ClosingLoop(Closing):
    async def a_swap(self, request: bytes) -> str:
        return self.swap(request)
