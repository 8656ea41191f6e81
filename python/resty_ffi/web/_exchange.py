# SPDX-License-Identifier: BSD-2-Clause
"""One request and its answer, as ASGI's receive and send."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

from .._loader.errors import LOG_INFO
from .._native import native
from .._streams import Waits

# What has become of the answer.
NOTHING, HEAD, PARTS, COMPLETE = range(4)

DISCONNECT = "http.disconnect"


class Exchange:
    __slots__ = (
        "_ahead",
        "_body_ended",
        "_call",
        "_gone",
        "_heads",
        "_headers",
        "_number",
        "_state",
        "_status",
        "_waiting",
        "_waits",
    )

    def __init__(
        self,
        call: native.Call,
        number: int,
        heads: native.Heads,
        waits: Waits,
    ) -> None:
        self._call = call
        self._number = number
        self._heads = heads
        self._waits = waits
        self._ahead: bytes | None = None
        self._body_ended = False
        self._state = NOTHING
        self._gone = False
        self._waiting = 0

    async def receive(self) -> dict[str, Any]:
        if self._body_ended or self._state == COMPLETE:
            return await self._disconnect()
        part = self._ahead
        try:
            if part is None:
                part = self._call._read_now()
            while part is None:
                await self._wait()
                if self._body_ended or self._state == COMPLETE:
                    return await self._disconnect()
                part = self._call._read_now()
            # so that most bodies take one message, which says it is the last
            self._ahead = self._call._read_now() if part else part
        except BrokenPipeError:
            if part is None:
                return {"type": DISCONNECT}
        self._body_ended = self._ahead == b""
        return {
            "type": "http.request",
            "body": part,
            "more_body": not self._body_ended,
        }

    async def _disconnect(self) -> dict[str, Any]:
        """Once the answer is complete, or the client has gone."""
        while self._state != COMPLETE and not native.gone(self._number):
            await self._wait()
        return {"type": DISCONNECT}

    async def _wait(self) -> None:
        self._waiting += 1
        try:
            await self._waits.wait(self._number)
        finally:
            self._waiting -= 1

    async def send(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        state = self._state
        if kind == "http.response.body" and (state == HEAD or state == PARTS):
            body = message.get("body", b"")
            more = message.get("more_body", False)
            if not isinstance(body, bytes | bytearray | memoryview):
                what = type(body).__name__
                raise TypeError(f"the body of {kind} is {what}, not bytes")
            if state == HEAD:
                self._send_head()
            if more:
                if body:
                    await self._send_part(body)
            else:
                self._complete(body)
        elif kind == "http.response.start" and state == NOTHING:
            # which goes out with the first part of the body
            self._status = int(message["status"])
            self._headers = message.get("headers", ())
            self._state = HEAD
        else:
            raise RuntimeError(f"{kind!r} was sent, but {_EXPECTED[state]}")

    def _send_head(self) -> None:
        error = self._heads.send(self._number, self._status, self._headers)
        if error:
            self._raise_gone()
        self._state = PARTS

    async def _send_part(self, body: Any) -> None:
        error = self._call._send(body)
        while error == errno.EAGAIN:
            await self._waits.wait(self._number)
            error = self._call._send(body)
        if error:
            self._raise_gone()

    def _complete(self, body: Any) -> None:
        gone = native.gone(self._number)
        self._state = COMPLETE
        self._call._answer(body or None)
        if self._waiting:
            self._waits.tell(self._number)
        if gone:
            self._raise_gone()

    def _raise_gone(self) -> None:
        self._gone = True
        raise BrokenPipeError(errno.EPIPE, "the client has gone")

    def end(self, log: Callable[[BaseException], object]) -> None:
        """The application has returned."""
        if self._state != COMPLETE and not native.gone(self._number):
            what = (
                "without an answer"
                if self._state in (NOTHING, HEAD)
                else "before its answer was complete"
            )
            self._fail(RuntimeError(f"the application has returned {what}"))
        elif self._state != COMPLETE:
            self._answer_nobody()

    def fail(
        self, error: BaseException, log: Callable[[BaseException], object]
    ) -> None:
        """It has raised."""
        if self._gone and isinstance(error, OSError):
            native.log(LOG_INFO, f"ffi_python3: {error}")
            if self._state != COMPLETE:
                self._answer_nobody()
        elif self._state == COMPLETE:
            log(error)
        else:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        self._state = COMPLETE
        self._call._fail(error)

    def _answer_nobody(self) -> None:
        self._state = COMPLETE
        self._call._answer(None)


_EXPECTED = {
    NOTHING: "'http.response.start' has to come first",
    HEAD: "'http.response.body' has to come next",
    PARTS: "'http.response.body' has to come next",
    COMPLETE: "the answer was complete",
}
