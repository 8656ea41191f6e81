# SPDX-License-Identifier: BSD-2-Clause
"""For Granian, in the interface that its documentation calls the fastest."""

from __future__ import annotations

from typing import Any

from .payload import BY_PATH

HEADERS = [("content-type", "text/plain")]


async def app(scope: Any, protocol: Any) -> None:
    if scope.method == "POST":
        body = await protocol()
    else:
        body = BY_PATH[scope.path]
    protocol.response_bytes(200, HEADERS, body)
