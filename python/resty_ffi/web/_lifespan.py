# SPDX-License-Identifier: BSD-2-Clause
"""ASGI's lifespan protocol."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any


class Lifespan:
    """Of one application; its methods run in the application's loop.

    state: what the application has put there, or None where it does not know
    the protocol.
    """

    def __init__(
        self, app: Any, log: Callable[[BaseException], object]
    ) -> None:
        self._app = app
        self._log = log
        self.state: dict[str, Any] | None = {}
        self._task: asyncio.Task[None] | None = None

    async def start_up(self) -> None:
        """Until it has started; RuntimeError where it says that it cannot."""
        loop = asyncio.get_running_loop()
        self._messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._started: asyncio.Future[None] = loop.create_future()
        self._stopped: asyncio.Future[None] = loop.create_future()
        self._messages.put_nowait({"type": "lifespan.startup"})
        self._task = loop.create_task(self._run())
        await self._started

    async def shut_down(self) -> None:
        if self._task is None or self._task.done():
            return
        self._messages.put_nowait({"type": "lifespan.shutdown"})
        await self._stopped

    async def _run(self) -> None:
        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self.state,
        }
        try:
            await self._app(scope, self._messages.get, self._send)
        except BaseException as error:
            if self._started.done():
                if self._started.exception() is None:
                    self._log(error)
            else:
                # it has raised at a scope that it does not know
                self.state = None
        finally:
            for future in (self._started, self._stopped):
                if not future.done():
                    future.set_result(None)

    async def _send(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        text = message.get("message", "")
        if kind == "lifespan.startup.complete":
            self._settle(self._started)
        elif kind == "lifespan.startup.failed":
            self._fail(self._started, f"the application's startup: {text}")
        elif kind == "lifespan.shutdown.complete":
            self._settle(self._stopped)
        elif kind == "lifespan.shutdown.failed":
            self._fail(self._stopped, f"the application's shutdown: {text}")
        else:
            raise RuntimeError(f"{kind!r} is no message of a lifespan")

    def _settle(self, future: asyncio.Future[None]) -> None:
        if not future.done():
            future.set_result(None)

    def _fail(self, future: asyncio.Future[None], text: str) -> None:
        if not future.done():
            future.set_exception(RuntimeError(text))
