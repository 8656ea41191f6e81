# SPDX-License-Identifier: BSD-2-Clause
"""The WebSockets of one application."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from .._log import Log
from .._native import native
from ._handshake import Handshake
from ._socket import Socket

# Between two pings, and after a close frame: for that of the client.
PING_S = 20.0
CLOSE_S = 10.0
TICK_S = 1.0

MAX_MESSAGE = 4  # of native.option
MAX_SIZE = 16 * 1024 * 1024


class Sockets:
    """Its methods run in the application's loop."""

    def __init__(
        self,
        name: str,
        tq: int,
        heads: native.Heads,
        loop: asyncio.AbstractEventLoop,
        log: Log,
    ) -> None:
        self.name = name
        self.heads = heads
        self.loop = loop
        self.log = log
        self._max_size = int(native.option(tq, MAX_MESSAGE, MAX_SIZE))
        self._native = native.WebSockets()
        self._all: dict[int, Socket] = {}
        # when each is pinged, or given up; those that come first are first
        self._pings: OrderedDict[int, float] = OrderedDict()
        self._closing: OrderedDict[int, float] = OrderedDict()
        self._ticks = False

    async def run(
        self,
        call: native.Call,
        number: int,
        app: Any,
        state: dict[str, Any] | None,
    ) -> None:
        """Answer a request that asks for one."""
        try:
            scope = self.heads.scope(number, state)
            handshake = Handshake.read(scope["headers"])
            if handshake.refused:
                self.heads.send(number, handshake.refused, REFUSED)
                call._answer(None)
                return
            scope["subprotocols"] = handshake.subprotocols
            socket = Socket(call, number, handshake, self)
        except BaseException as error:
            call._fail(error)
            return
        self._all[number] = socket
        try:
            await socket.run(app, scope)
        finally:
            self._all.pop(number, None)

    def accept(
        self, socket: Socket, headers: Any, handshake: Handshake
    ) -> native.WebSocket | None:
        """None where its client has gone."""
        ws = self._native.accept(
            socket.number, headers, self._max_size, handshake.bits
        )
        if ws is not None:
            self._schedule(self._pings, socket, PING_S)
        return ws

    def closes(self, socket: Socket) -> None:
        self._pings.pop(socket.number, None)
        self._schedule(self._closing, socket, CLOSE_S)

    def forget(self, socket: Socket) -> None:
        """One whose connection has ended."""
        for known in (self._pings, self._closing):
            known.pop(socket.number, None)
        self._all.pop(socket.number, None)

    def hear(self, number: int | None) -> None:
        """There is something new about a call; None: about any of them."""
        if number is not None:
            socket = self._all.get(number)
            if socket is not None:
                socket.hear()
            return
        for socket in list(self._all.values()):
            socket.hear()

    def _schedule(
        self, when: OrderedDict[int, float], socket: Socket, delay: float
    ) -> None:
        when[socket.number] = self.loop.time() + delay
        if not self._ticks:
            self._ticks = True
            self.loop.call_later(TICK_S, self._tick)

    def _tick(self) -> None:
        self._ticks = False
        self._each_due(self._pings, self._ping)
        self._each_due(self._closing, Socket.finish)
        if not self._ticks and (self._pings or self._closing):
            self._ticks = True
            self.loop.call_later(TICK_S, self._tick)

    def _each_due(
        self,
        when: OrderedDict[int, float],
        function: Callable[[Socket], object],
    ) -> None:
        now = self.loop.time()
        while when:
            number, due = next(iter(when.items()))
            if due > now:
                break
            del when[number]
            function(self._all[number])

    def _ping(self, socket: Socket) -> None:
        if socket.ping():
            self._schedule(self._pings, socket, PING_S)


REFUSED = [(b"content-length", b"0"), (b"sec-websocket-version", b"13")]
