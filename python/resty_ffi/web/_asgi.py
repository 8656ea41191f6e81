# SPDX-License-Identifier: BSD-2-Clause
"""ASGI applications, on an event loop of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from .._handlers import Handlers
from .._loop import Loop
from .._native import native
from .._unload import Callbacks
from ._answers import Answers
from ._exchange import COMPLETE, Exchange, Shared
from ._lifespan import Lifespan


class Asgi(Loop):
    """An application, as `target`; nginx's requests are its calls."""

    def _resolve(self) -> tuple[Handlers, Callbacks]:
        self._shared = Shared(
            self._name, native.Heads(), self._waits, self._log
        )
        self._lifespan = Lifespan(self._target, self._name, self._log)
        return Handlers(
            function=_call,
            methods=None,
            coroutines=frozenset([_call]),
            readers={},
            close=self._lifespan.shut_down,
        ), []

    def _make_readers(
        self,
    ) -> dict[Callable[..., Any], Callable[..., Any]]:
        return {_call: _take}

    def _make_spawn(
        self,
    ) -> Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]:
        """No eager tasks: nothing of a request runs before its task does,
        as frameworks have it from other servers, and a burst of requests
        lets those that run take turns."""
        return self._loop.create_task

    async def _prepare(self) -> None:
        await self._lifespan.start_up()

    def _make_answers(self) -> Answers:
        return Answers(self._name, self._log, self._tq)

    async def _run(
        self,
        call: native.Call,
        handler: Callable[[Any], Any],
        request: Any,
        tasks: dict[int, asyncio.Future[Any]],
        number: int,
    ) -> None:
        exchange = Exchange(call, number, self._shared)
        try:
            await self._target(
                self._shared.heads.scope(number, self._lifespan.state),
                exchange.receive,
                exchange.send,
            )
        except BaseException as error:
            exchange.fail(error)
        else:
            if exchange.state != COMPLETE:
                exchange.end()
        finally:
            tasks.pop(number, None)

    def _cancel_gone(self, numbers: Iterable[int]) -> None:
        """ASGI tells an application that its client has gone, and no more."""


async def _call(request: Any) -> None:
    raise AssertionError("_run calls the application")


def _take(call: native.Call, body: bytes | None) -> native.Call:
    return call
