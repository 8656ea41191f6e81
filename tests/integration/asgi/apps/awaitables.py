# SPDX-License-Identifier: BSD-2-Clause
"""What receive() and send() return, looked at closely."""

from __future__ import annotations

import asyncio
import gc
import inspect
import warnings
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any

import cases
from cases import Message, Receive, Scope, Send, answer, app, body, start

__all__ = ["app"]

Case = Callable[[Scope, Any, Any], Awaitable[None]]

START = {"type": "http.response.start", "status": 200}


class Dict(dict[str, Any]):
    pass


class Str(str):
    pass


def case(function: Case) -> Case:
    cases.case(function)
    return function


def state(coroutine: Any) -> str:
    return inspect.getcoroutinestate(coroutine)


@case
async def kinds(scope: Scope, receive: Any, send: Any) -> None:
    receives, sends = receive(), send(START)
    found = [
        [
            asyncio.iscoroutine(it),
            inspect.isawaitable(it),
            isinstance(it, Coroutine),
            state(it),
            it.cr_code.co_name,
            it.__qualname__,
        ]
        for it in (receives, sends)
    ]
    receives.close()
    found.append([state(receives)])
    await sends
    found.append([state(sends)])
    await receive()
    waits = asyncio.create_task(receive())
    await asyncio.sleep(0)
    coroutine: Any = waits.get_coro()
    found.append([state(coroutine), "receive" in repr(waits)])
    waits.cancel()
    await asyncio.wait([waits])
    found.append([state(coroutine), "cancelled" in repr(waits)])
    awaited = send({"type": "http.response.body", "more_body": True})
    await awaited
    found.append([state(awaited), awaited.cr_frame is None])
    await body(send, repr(found).encode())


@case
async def unawaited(scope: Scope, receive: Any, send: Any) -> None:
    """Nothing happens but that Python warns."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        send(START)
        receive()
        send(START).close()
        gc.collect()
    await answer(send, repr([str(w.message) for w in caught]).encode())


@case
async def impatient(scope: Scope, receive: Any, send: Any) -> None:
    """Loses no part of the body."""
    for _ in range(3):
        try:
            await asyncio.wait_for(receive(), 0)
        except asyncio.TimeoutError:
            continue
        raise AssertionError("it has not timed out")
    task = asyncio.create_task(receive())
    task.cancel()
    await asyncio.wait([task])
    await answer(send, (await receive())["body"])


@case
async def by_hand(scope: Scope, receive: Any, send: Any) -> None:
    """Steps of a coroutine, and what it raises."""
    found: list[Any] = []

    def catch(function: Any, *args: Any) -> None:
        try:
            found.append(function(*args))
        except BaseException as error:
            found.append(repr(error))

    received = receive()
    catch(received.send, 1)
    catch(received.throw, KeyError("thrown"))
    catch(received.send, None)
    catch(next, iter(received))
    received = receive()
    catch(next, received.__await__())
    catch(next, received)
    catch(received.throw, KeyError("late"))
    received.close()
    sent = send(START)
    catch(sent.send, None)
    catch(sent.close)
    await body(send, repr(found).encode())


@case
async def unusual(scope: Scope, receive: Any, send: Any) -> None:
    """Messages that are none of the common ones."""
    await send(Dict(START, type=Str("http.response.start"), status=201))
    await send(
        {"type": Str("http.response.body"), "body": b"a", "more_body": 1}
    )
    await send(Dict(type="http.response.body", body=b"b", more_body=True))
    await send(
        {
            "type": "http.response.body",
            "body": memoryview(b"c"),
            "more_body": [0],
        }
    )
    await send({"type": "http.response.body", "more_body": True})
    await send({"type": "http.response.body", "more_body": 0})


@case
async def mistakes(scope: Scope, receive: Any, send: Any) -> None:
    """Raise where they are awaited, and change nothing."""
    found = []
    messages: list[Any] = [
        {"type": "http.response.body"},
        {"type": "http.response.start"},
        {"type": 5},
        {},
        None,
        [],
    ]
    for message in messages:
        sends = send(message)
        try:
            await sends
        except Exception as error:
            found.append(type(error).__name__)
    await answer(send, " ".join(found).encode())


@case
async def headers_that_send(scope: Scope, receive: Any, send: Any) -> None:
    """One message while another one is sent."""
    sends: Any = None
    errors = []

    def headers() -> Iterator[tuple[bytes, bytes]]:
        yield b"x-a", b"b"
        for it in sends, send({"type": "http.response.start", "status": 200}):
            try:
                it.send(None)
            except Exception as error:
                errors.append(type(error).__name__)

    await start(send, headers=headers())
    sends = send(
        {"type": "http.response.body", "body": b"", "more_body": True}
    )
    await sends
    await body(send, " ".join(errors).encode())


@case
async def turns(scope: Scope, receive: Receive, send: Send) -> None:
    """Others have theirs between parts."""
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(tick())
    await start(send)
    for _ in range(100):
        await body(send, b".", more=True)
    for _ in range(100):
        await body(send, b"", more=True)
    task.cancel()
    await body(send, str(ticks).encode())


@case
async def in_tasks(scope: Scope, receive: Any, send: Any) -> None:
    first: Message = await asyncio.create_task(receive())
    await asyncio.create_task(send(START))
    more = {"type": "http.response.body", "body": b"a", "more_body": True}
    await asyncio.gather(send(more), send(more), asyncio.shield(send(more)))
    await asyncio.wait_for(send(more), 5)
    disconnect = asyncio.create_task(receive())
    await asyncio.wait_for(
        send({"type": "http.response.body", "body": first["body"]}), 5
    )
    assert (await disconnect)["type"] == "http.disconnect"


@case
async def in_a_cycle(scope: Scope, receive: Any, send: Any) -> None:
    cycle: list[Any] = [receive, send]
    message = {"type": "http.response.body", "body": b"", "cycle": cycle}
    cycle.append(message)
    cycle.append(send(message))
    cycle.append(receive())
    cycle[-1].close()
    await start(send, headers=[(b"a", b"b")])
    await body(send, b"ok")
