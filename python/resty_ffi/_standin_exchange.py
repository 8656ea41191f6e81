# SPDX-License-Identifier: BSD-2-Clause
"""A web request and its answer, outside nginx: there are no short ways."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any


class Exchange:
    """See _resty_ffi.pyi."""

    __slots__ = (
        "_ahead",
        "_body_ended",
        "_call",
        "_headers",
        "_number",
        "_sent",
        "_shared",
        "_status",
        "_told",
        "_trailers",
        "_waiting",
        "state",
    )

    def __init__(self, call: Any, number: Any, shared: Any) -> None:
        self._call = call
        self._number = number
        self._shared = shared
        self._ahead: bytes | None = None
        self._body_ended = False
        self._told = False
        self._trailers = False
        self._sent = 0
        self._waiting = 0
        self.state = 0

    def receive(self) -> Coroutine[Any, Any, dict[str, Any]]:
        return self._receive()

    def send(self, message: dict[str, Any]) -> Coroutine[Any, Any, None]:
        return self._send(message)

    async def _receive(self) -> dict[str, Any]:
        raise NotImplementedError

    async def _send(self, message: dict[str, Any]) -> None:
        raise NotImplementedError
