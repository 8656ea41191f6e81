# SPDX-License-Identifier: BSD-2-Clause
"""ASGI applications, on an event loop of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from .._handlers import Handlers
from .._loop import Loop
from .._native import native
from .._unload import Callbacks
from ._answers import Answers
from ._exchange import Exchange
from ._lifespan import Lifespan

ASGI = {"version": "3.0", "spec_version": "2.5"}


class Asgi(Loop):
    """An application, as `target`; nginx's requests are its calls."""

    def _resolve(self) -> tuple[Handlers, Callbacks]:
        self._heads = native.Heads()
        self._lifespan = Lifespan(self._target, self._log)
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

    async def _prepare(self) -> None:
        await self._lifespan.start_up()

    def _make_answers(self) -> Answers:
        return Answers(self._name, self._log)

    async def _run(
        self,
        call: native.Call,
        handler: Callable[[Any], Any],
        request: Any,
        tasks: dict[int, asyncio.Future[Any]],
        number: int,
    ) -> None:
        exchange = Exchange(call, number, self._heads, self._waits)
        try:
            await self._target(
                self._scope(number), exchange.receive, exchange.send
            )
        except BaseException as error:
            exchange.fail(error, self._log)
        else:
            exchange.end(self._log)
        finally:
            tasks.pop(number, None)

    def _scope(self, number: int) -> dict[str, Any]:
        scope = self._heads.scope(number)
        scope["asgi"] = ASGI.copy()
        scope["extensions"] = {}
        state = self._lifespan.state
        params = self._heads.params(number)
        if state is not None or params is not None:
            scope["state"] = {} if state is None else state.copy()
            if params is not None:
                scope["state"]["params"] = params
        return scope

    def _cancel_gone(self, numbers: Iterable[int]) -> None:
        """ASGI tells an application that its client has gone, and no more."""


async def _call(request: Any) -> None:
    raise AssertionError("_run calls the application")


def _take(call: native.Call, body: bytes | None) -> native.Call:
    return call
