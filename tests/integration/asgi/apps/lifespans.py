# SPDX-License-Identifier: BSD-2-Clause
"""Applications with lifespans of all kinds; FILE is told what happens."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from cases import Receive, Scope, Send, answer
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

App = Callable[[Scope, Receive, Send], Any]


def tell(line: str) -> None:
    with open(os.environ["FILE"], "a") as out:
        out.write(line + "\n")


async def started(scope: Scope, receive: Receive, send: Send) -> None:
    assert scope["type"] == "lifespan"
    assert scope["asgi"]["version"] == "3.0"
    assert (await receive()) == {"type": "lifespan.startup"}
    tell("startup")
    scope["state"]["word"] = "shared"
    await send({"type": "lifespan.startup.complete"})


async def stopped(receive: Receive, send: Send) -> None:
    assert (await receive()) == {"type": "lifespan.shutdown"}
    tell("shutdown")
    await send({"type": "lifespan.shutdown.complete"})


async def whole(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await answer(send, str(scope["state"]).encode())
        return
    await started(scope, receive, send)
    await stopped(receive, send)
    tell("end")


async def does_not_know(scope: Scope, receive: Receive, send: Send) -> None:
    assert scope["type"] == "http", "http alone"
    await answer(send, str(scope.get("state")).encode())


async def ignores(scope: Scope, receive: Receive, send: Send) -> None:
    """Returns where it does not know a scope."""
    if scope["type"] == "http":
        await does_not_know(scope, receive, send)


async def startup_fails(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    tell("startup")
    await send({"type": "lifespan.startup.failed", "message": "no database"})


async def startup_exits(scope: Scope, receive: Receive, send: Send) -> None:
    raise SystemExit("no way")


async def shutdown_fails(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await answer(send)
        return
    await started(scope, receive, send)
    await receive()
    await send({"type": "lifespan.shutdown.failed", "message": "not closed"})


async def shutdown_raises(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await answer(send)
        return
    await started(scope, receive, send)
    await receive()
    raise ValueError("at shutdown")


async def ends_early(scope: Scope, receive: Receive, send: Send) -> None:
    """Its lifespan is over as soon as it has started."""
    if scope["type"] == "http":
        await answer(send)
        return
    await started(scope, receive, send)
    raise ValueError("ended early")


async def wrong_message(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await answer(send)
        return
    await send({"type": "lifespan.wrong"})


async def slow(scope: Scope, receive: Receive, send: Send) -> None:
    """Starts when a file is there."""
    if scope["type"] == "http":
        await answer(send, b"at last")
        return
    await asyncio.to_thread(_wait_for, os.environ["GATE"])
    await started(scope, receive, send)
    await stopped(receive, send)


def _wait_for(path: str) -> None:
    while not os.path.exists(path):
        time.sleep(0.01)


async def word(request: Request) -> PlainTextResponse:
    return PlainTextResponse(request.state.word)


def starlette(fails: str = "") -> Starlette:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, str]]:
        tell("startup")
        if fails == "startup":
            raise ValueError("in a lifespan's begin")
        yield {"word": "of a lifespan"}
        tell("shutdown")
        if fails == "shutdown":
            raise ValueError("in a lifespan's end")

    return Starlette(routes=[Route("/", word)], lifespan=lifespan)


def starlette_fails() -> Starlette:
    return starlette("startup")


def starlette_fails_later() -> Starlette:
    return starlette("shutdown")
