# SPDX-License-Identifier: BSD-2-Clause
"""One WebSocket, as ASGI's receive and send."""

from __future__ import annotations

import asyncio
import errno
from typing import TYPE_CHECKING, Any

from .._loader.errors import LOG_INFO, describe
from .._native import native
from .._streams import TURN
from ._exchange import GoneError, _copy, _is_of_gone
from ._handshake import Handshake

if TYPE_CHECKING:
    from ._sockets import Sockets

# What has become of it: nothing; refused, and the head of the answer, or
# parts, have been sent; accepted; a close frame was sent; it has ended.
ASKED, HEAD, PARTS, OPEN, CLOSING, CLOSED = range(6)

NORMAL, ABNORMAL, INTERNAL, RESTART = 1000, 1006, 1011, 1012

# Of WebSocket.hear: it has ended, or is to.
ENDED = 2

FORBIDDEN = 403


class ClosedError(GoneError):
    """The WebSocket is closed, or its client has gone."""


class Socket:
    """Its request is answered as soon as the connection is of no use."""

    __slots__ = (
        "_blocked",
        "_call",
        "_code",
        "_handshake",
        "_headers",
        "_reason",
        "_sent",
        "_sockets",
        "_status",
        "_told",
        "_waiting",
        "_ws",
        "number",
        "state",
    )

    _status: Any
    _headers: Any

    def __init__(
        self,
        call: native.Call,
        number: int,
        handshake: Handshake,
        sockets: Sockets,
    ) -> None:
        self._call = call
        self._handshake = handshake
        self._sockets = sockets
        self._ws: native.WebSocket | None = None
        self._waiting: list[asyncio.Future[None]] = []
        self._blocked = 0  # who waits for room
        self._told = False
        self._sent = 0
        self._code = ABNORMAL
        self._reason: str | None = None
        self.number = number
        self.state = ASKED

    async def run(self, app: Any, scope: dict[str, Any]) -> None:
        """Until the application and the connection have ended."""
        try:
            await app(scope, self.receive, self.send)
        except BaseException as error:
            self._fail(error)
        else:
            self._end()
        try:
            while self.state == CLOSING:
                await self._wait()
        finally:
            self.finish()

    async def receive(self) -> dict[str, Any]:
        if not self._told:
            self._told = True
            return {"type": "websocket.connect"}
        while self.state < OPEN and not native.gone(self.number):
            await self._wait()
        ws = self._ws
        while ws is not None:
            # what came before the end is there behind it, too
            message = ws.next()
            if message is not None:
                return message
            if ws.ended:
                self.finish()
            if self.state != OPEN:
                break
            await self._wait()
        return {
            "type": "websocket.disconnect",
            "code": self._code,
            "reason": self._reason,
        }

    async def send(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        state = self.state
        if state == OPEN:
            if kind == "websocket.send":
                await self._send(message)
            elif kind == "websocket.close":
                code, reason = message.get("code"), message.get("reason")
                self.close(NORMAL if code is None else code, reason or "")
            else:
                raise RuntimeError(f"{kind!r} was sent, but it is accepted")
        elif state == ASKED:
            if kind == "websocket.accept":
                self._accept(message)
            elif kind == "websocket.close":
                self._refuse()
            elif kind == "websocket.http.response.start":
                # which goes out with the first part of the body
                self._status = message["status"]
                self._headers = message.get("headers", ())
                self.state = HEAD
            else:
                raise RuntimeError(
                    f"{kind!r} was sent, but 'websocket.accept' has to come"
                    " first"
                )
        elif state < OPEN and kind == "websocket.http.response.body":
            await self._send_body(message)
        elif state >= CLOSING:
            raise ClosedError(errno.EPIPE, "the WebSocket is closed")
        else:
            raise RuntimeError(f"{kind!r} was sent, but it was refused")

    def _accept(self, message: dict[str, Any]) -> None:
        answer = self._handshake.answer(message.get("subprotocol"))
        self._ws = self._sockets.accept(
            self, [*answer, *(message.get("headers") or ())], self._handshake
        )
        if self._ws is None:
            self._raise_gone()
        self.state = OPEN
        # only who has looked is told of more; an application may never receive
        self.hear()

    async def _send(self, message: dict[str, Any]) -> None:
        assert self._ws is not None
        error = self._ws.send(message)
        while error == errno.EAGAIN:
            await self._wait_for_room()
            error = self._ws.send(message)
        if error:
            self._raise_gone()
        self._sent += 1
        if not self._sent % TURN:
            await asyncio.sleep(0)

    def _refuse(self) -> None:
        self._status, self._headers = FORBIDDEN, [(b"content-length", b"0")]
        self._send_head()
        self._answer(None)

    async def _send_body(self, message: dict[str, Any]) -> None:
        body = _copy(message.get("body", b""))
        if self.state == HEAD:
            self._send_head()
        if not message.get("more_body", False):
            self._answer(body or None)
            return
        error = self._call._send(body)
        while error == errno.EAGAIN:
            await self._wait_for_room()
            error = self._call._send(body)
        if error:
            self._raise_gone()

    def _send_head(self) -> None:
        if self._sockets.heads.send(self.number, self._status, self._headers):
            self._raise_gone()
        self.state = PARTS

    def _answer(self, rest: bytes | None) -> None:
        self.state = CLOSED
        self._call._answer(rest)
        self._wake()

    def _raise_gone(self) -> None:
        raise ClosedError(errno.EPIPE, "the client has gone")

    def close(self, code: int, reason: str) -> None:
        """Send a close frame and wait a while for the client's.

        ValueError: there is no such code.
        """
        ws = self._ws
        if self.state != OPEN or ws is None:
            return
        ws.close(code, reason)
        self._code, self._reason = code, reason
        self.state = CLOSING
        self._sockets.closes(self)
        if ws.ended:
            self.finish()
        self._wake()

    def hear(self) -> None:
        """There may be something new."""
        ws = self._ws
        news = 1 if ws is None else ws.hear()
        if ws is not None and news == ENDED:
            if ws.ended:
                self.finish()
            else:
                self.close(RESTART, "")
        if self._waiting and (news or self._blocked):
            self._wake()

    def ping(self) -> bool:
        """Whether it goes on; False: the client has not answered the last."""
        ws = self._ws
        if ws is None or self.state != OPEN:
            return False
        heard = ws.ping()
        if heard and not ws.ended:
            return True
        if not heard:
            ws.close(INTERNAL, "ping timeout")
        self.finish()
        return False

    def finish(self) -> None:
        """The connection is of no use any more."""
        if self.state == CLOSED:
            return
        ws = self._ws
        if ws is None:
            self._answer(None)
            return
        if self.state == OPEN and ws.ended:
            self._code, self._reason = ws.code, ws.reason
        self._answer(ws.rest())
        self._sockets.forget(self)

    async def _wait(self) -> None:
        """Until there may be something new."""
        future = self._sockets.loop.create_future()
        self._waiting.append(future)
        try:
            await future
        finally:
            self._waiting.remove(future)

    async def _wait_for_room(self) -> None:
        self._blocked += 1
        try:
            await self._wait()
        finally:
            self._blocked -= 1

    def _wake(self) -> None:
        for future in self._waiting:
            if not future.done():
                future.set_result(None)

    def _end(self) -> None:
        """The application has returned."""
        if self.state == OPEN:
            self.close(NORMAL, "")
        elif self.state < OPEN and not native.gone(self.number):
            self._fail(
                RuntimeError("the application has returned without an answer")
            )

    def _fail(self, error: BaseException) -> None:
        """It has raised."""
        if self.state >= CLOSING and is_of_close(error):
            text = (
                f"FFI041: ffi_python3: {self._sockets.name}: {describe(error)}"
            )
            native.log(LOG_INFO, text, self.number)
        elif self.state < OPEN:
            self.state = CLOSED
            self._call._fail(error)
        elif isinstance(error, asyncio.CancelledError) and native.exiting():
            self.close(RESTART, "")
        else:
            self._sockets.log(error, self.number)
            self.close(INTERNAL, "")


def is_of_close(error: BaseException | None) -> bool:
    """Whether that a WebSocket is closed is all that an exception tells.

    WebSocketDisconnect is Starlette's, of an application that does not catch
    it.
    """
    return type(error).__name__ == "WebSocketDisconnect" or _is_of_gone(error)
