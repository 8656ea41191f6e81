# SPDX-License-Identifier: BSD-2-Clause
"""Answers with the scope of a request, as JSON."""

from __future__ import annotations

import json
from typing import Any

from cases import Receive, Scope, Send, answer


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        raise NotImplementedError
    await answer(send, json.dumps(_plain(scope)).encode())


def _plain(value: Any) -> Any:
    """Bytes are lists with one string, whose characters are theirs."""
    if isinstance(value, bytes):
        return [value.decode("latin-1")]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


counted: list[int] = []


async def changes(scope: Scope, receive: Receive, send: Send) -> None:
    """All that it has been given, which is no other request's."""
    if scope["type"] == "lifespan":
        await receive()
        scope["state"]["shared"] = counted
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    text = json.dumps(_plain({**scope, "client": None}))
    scope["asgi"]["version"] = "wrong"
    scope["extensions"]["wrong"] = {}
    scope["headers"].clear()
    scope["state"]["mine"] = 1
    scope["state"]["shared"].append(1)
    await answer(send, text.encode())
