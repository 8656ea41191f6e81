# SPDX-License-Identifier: BSD-2-Clause
"""An answer without end, as fast as it is taken.

uvicorn's send() waits for nothing, and raises nothing, when the client has
gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from .bulk import at

PART = 16 << 10

Message = dict[str, Any]


async def app(
    scope: Message,
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    if scope["type"] != "http":
        raise ValueError(scope["type"])
    headers = [(b"content-type", b"application/octet-stream")]
    await send(
        {"type": "http.response.start", "status": 200, "headers": headers}
    )

    async def until_gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    gone = asyncio.create_task(until_gone())
    where = 0
    while not gone.done():
        # each one is memory of its own
        part = at(where, PART)
        await send(
            {"type": "http.response.body", "body": part, "more_body": True}
        )
        where += PART
        await asyncio.sleep(0)
