# SPDX-License-Identifier: BSD-2-Clause
"""ASGI's lifespan protocol."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from .._loader.errors import LOG_INFO, describe
from .._native import native


class LifespanError(RuntimeError):
    """An application has said that it cannot start, or end."""


class Lifespan:
    """Of one application; its methods run in the application's loop.

    state: what the application has put there, or None where it does not know
    the protocol.
    """

    def __init__(
        self, app: Any, name: str, log: Callable[[BaseException], object]
    ) -> None:
        self._app = app
        self._name = name
        self._log = log
        self.state: dict[str, Any] | None = {}
        self._task: asyncio.Task[None] | None = None

    async def start_up(self) -> None:
        """Until it has started; LifespanError where it says that it cannot."""
        loop = asyncio.get_running_loop()
        self._messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._started: asyncio.Future[None] = loop.create_future()
        self._stopped: asyncio.Future[None] = loop.create_future()
        self._messages.put_nowait({"type": "lifespan.startup"})
        self._task = loop.create_task(self._run())
        await self._started

    async def shut_down(self) -> None:
        """Until it has ended; LifespanError where it says that it cannot."""
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
            if isinstance(error, Exception) or self._started.done():
                self._end(error)
            else:
                # SystemExit is no way to say that one knows no lifespan
                failed = LifespanError(describe(error))
                failed.__cause__ = error
                self._started.set_exception(failed)
        else:
            self._end(None)

    def _end(self, error: BaseException | None) -> None:
        """The application has returned, or raised."""
        if not self._started.done():
            self._do_without(error)
        elif error is not None and not self._has_failed():
            self._log(error)
        if not self._stopped.done():
            self._stopped.set_result(None)

    def _do_without(self, error: BaseException | None) -> None:
        """It has ended at a scope that it does not know, as ASGI has it."""
        self.state = None
        self._started.set_result(None)
        if error is not None:
            native.log(
                LOG_INFO,
                f"FFI040: ffi_python3: {self._name}: has no lifespan:"
                f" {describe(error)}",
            )

    def _has_failed(self) -> bool:
        """Whether it has said so; who does may raise as well."""
        return any(
            future.done() and future.exception() is not None
            for future in (self._started, self._stopped)
        )

    async def _send(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        text = message.get("message", "")
        if kind == "lifespan.startup.complete":
            self._settle(self._started)
        elif kind == "lifespan.startup.failed":
            self._fail(self._started, f"lifespan.startup.failed: {text}")
        elif kind == "lifespan.shutdown.complete":
            self._settle(self._stopped)
        elif kind == "lifespan.shutdown.failed":
            self._fail(self._stopped, f"lifespan.shutdown.failed: {text}")
        else:
            raise RuntimeError(f"{kind!r} is no message of a lifespan")

    def _settle(self, future: asyncio.Future[None]) -> None:
        if not future.done():
            future.set_result(None)

    def _fail(self, future: asyncio.Future[None], text: str) -> None:
        if not future.done():
            future.set_exception(LifespanError(text))
