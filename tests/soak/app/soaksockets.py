# SPDX-License-Identifier: BSD-2-Clause
"""A WebSocket that returns what it gets, as bench/sockets/client.c knows."""

from __future__ import annotations

from typing import Any


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "websocket":
        raise NotImplementedError(scope["type"])
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        if (text := message.get("text")) is not None:
            await send({"type": "websocket.send", "text": text})
        else:
            await send({"type": "websocket.send", "bytes": message["bytes"]})
