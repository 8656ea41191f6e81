# SPDX-License-Identifier: BSD-2-Clause
"""Takes 5 ms of CPU, and answers with the process's id."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable
from typing import Any

SECONDS = 0.005

Message = dict[str, Any]


async def app(
    scope: Message,
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    if scope["type"] != "http":
        raise ValueError(scope["type"])
    end = time.thread_time() + SECONDS
    while time.thread_time() < end:
        pass
    body = str(os.getpid()).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send(
        {"type": "http.response.start", "status": 200, "headers": headers}
    )
    await send({"type": "http.response.body", "body": body})
