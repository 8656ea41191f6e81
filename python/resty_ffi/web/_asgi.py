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
from ._sockets import Sockets


class Asgi(Loop):
    """An application, as `target`; nginx's requests are its calls."""

    def _resolve(self) -> tuple[Handlers, Callbacks]:
        heads = native.Heads()
        self._scope = heads.scope
        self._exchanges = native.Exchanges(
            Exchange, Shared(self._name, heads, self._waits, self._log)
        )
        self._sockets = Sockets(
            self._name, self._tq, heads, self._loop, self._log
        )
        native.accept_upgrades(self._tq)
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
        return {_call: self._exchanges.new}

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
        exchange: Exchange,
        tasks: dict[int, asyncio.Future[Any]],
        number: int,
    ) -> None:
        if native.upgradable(number):
            try:
                await self._sockets.run(
                    call, number, self._target, self._lifespan.state
                )
            finally:
                tasks.pop(number, None)
            return
        try:
            await self._target(
                self._scope(number, self._lifespan.state),
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

    def _wake(self, number: int | None) -> None:
        self._sockets.hear(number)
        super()._wake(number)

    def _find_overdue(self) -> list[int]:
        """No deadline ends them."""
        return []

    def _cancel_gone(self, numbers: Iterable[int]) -> None:
        """ASGI tells an application that its client has gone, and no more."""


async def _call(request: Any) -> None:
    raise AssertionError("_run calls the application")
