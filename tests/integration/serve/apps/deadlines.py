# SPDX-License-Identifier: BSD-2-Clause
"""Handlers that outlast their callers, and look whether they do."""

from __future__ import annotations

import asyncio
import threading
import time

from resty_ffi import Call, current, serve

BOUND = 10.0

gates: dict[str, threading.Event] = {}
events: list[str] = []


def gate(name: str) -> threading.Event:
    return gates.setdefault(name, threading.Event())


def happened() -> str:
    """What has happened since it was last asked."""
    found = []
    while events:
        # one may come meanwhile
        found.append(events.pop(0))
    return " ".join(found)


def told(name: str) -> None:
    call = current()
    call.on_delivered(lambda delivered: events.append(f"{name}={delivered}"))


def hold_gate(request: bytes) -> str:
    """Waits for the gate that the request names."""
    name = request.decode()
    events.append(f"{name}:runs")
    told(name)
    assert gate(name).wait(BOUND)
    events.append(f"{name}:cancelled={current().cancelled}")
    return name


hold = serve(hold_gate)
hold_pooled = serve(threads=4)(lambda request: hold_gate(request))


@serve
def until_cancelled(request: bytes) -> str:
    told("poll")
    events.append("poll:runs")
    call = current()
    end = time.monotonic() + BOUND
    while not call.cancelled:
        assert time.monotonic() < end
        time.sleep(0.005)
    events.append("poll:cancelled")
    return "late"


@serve
async def until_cancelled_async(request: bytes) -> str:
    name = request.decode() or "task"
    told(name)
    events.append(f"{name}:runs")
    try:
        await asyncio.sleep(BOUND)
    except asyncio.CancelledError:
        events.append(f"{name}:cancelled={current().cancelled}")
        raise
    return "late"


@serve
async def refuses(request: bytes) -> str:
    """Goes on after it was cancelled, and answers."""
    events.append("refuses:runs")
    told("refuses")
    try:
        await asyncio.sleep(BOUND)
    except asyncio.CancelledError:
        events.append("refuses:cancelled")
    return "late"


@serve(threads=4)
class Both:
    """Waits in a thread of the pool, or on the loop."""

    def hold(self, request: bytes) -> str:
        return hold_gate(request)

    async def task(self, request: bytes) -> str:
        return await until_cancelled_async(request)


@serve
class Stalls:
    """A plain method stalls the loop between two looks at the queue."""

    def hold(self, request: bytes) -> str:
        return hold_gate(request)

    async def count(self, request: bytes) -> None:
        events.append(f"{request.decode()}:runs")


@serve
def has_begun(request: bytes) -> str | None:
    return "yes" if f"{request.decode()}:runs" in events else None


@serve
def facts(request: bytes) -> str:
    call = current()
    left = call.deadline and call.deadline - time.monotonic()
    return f"{call.method} {call.cancelled} {_rounded(left)}"


@serve
async def facts_async(request: bytes) -> str:
    before = facts(request)
    await asyncio.sleep(0)
    assert facts(request) == before
    return before


def _rounded(left: float | None) -> str:
    if left is None:
        return "never"
    return "soon" if left < 60 else "later"


@serve
def delivered(request: bytes) -> bytes:
    told("first")
    told("second")
    return request


@serve
async def delivered_async(request: bytes) -> bytes:
    return delivered(request)


@serve
def delivered_of_error(request: bytes) -> None:
    told("error")
    raise ValueError


@serve
class Closing:
    """Notes whether what it has handed out has arrived, and its end."""

    def any(self, request: bytes) -> bytes:
        return delivered(request)

    def close(self) -> None:
        events.append("closed")


@serve(threads=3)
class ClosingPooled(Closing):
    pass


@serve
class ClosingAsync(Closing):
    async def unused(self, request: bytes) -> None:
        pass


@serve
def not_callable(request: bytes) -> None:
    current().on_delivered(42)  # type: ignore[arg-type]


class Old:
    call: Call


@serve
def keeps_its_call(request: bytes) -> str:
    """A call that has ended is nobody's any more."""
    if request == b"keep":
        Old.call = current()
        return "kept"
    call = Old.call
    try:
        call.on_delivered(lambda delivered: events.append("never"))
    except RuntimeError as error:
        return f"{error} {call.method!r} {call.deadline} {call.cancelled}"
    return "may be added to"


@serve
def adds_in_callback(request: bytes) -> None:
    call = current()

    def again(delivered: bool) -> None:
        events.append("again")
        try:
            call.on_delivered(again)
        except RuntimeError:
            events.append("refused")

    call.on_delivered(again)


@serve
def in_a_thread(request: bytes) -> str:
    """Another thread has no call of its own, but may use one."""
    call, found = current(), []

    def look() -> None:
        try:
            current()
        except LookupError:
            found.append("none")
        found.append(f"{call.method} {call.cancelled}")

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    return " ".join(found)
