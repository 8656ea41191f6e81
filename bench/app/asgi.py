# SPDX-License-Identifier: BSD-2-Clause
"""For uvicorn."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from .payload import BY_PATH

Message = dict[str, Any]


async def read(receive: Callable[[], Awaitable[Message]]) -> bytes:
    parts: list[bytes] = []
    more = True
    while more:
        message = await receive()
        parts.append(message["body"])
        more = message["more_body"]
    return b"".join(parts)


async def app(
    scope: Message,
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    if scope["method"] == "POST":
        body = await read(receive)
    else:
        body = BY_PATH[scope["path"]]
    headers = [
        (b"content-type", b"text/plain"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send(
        {"type": "http.response.start", "status": 200, "headers": headers}
    )
    await send({"type": "http.response.body", "body": body})
