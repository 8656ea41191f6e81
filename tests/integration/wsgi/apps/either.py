# SPDX-License-Identifier: BSD-2-Clause
"""One application of each interface, whose start may take a while."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

STATE = Path(os.environ["STATE"])
BEGUN = STATE / "begun"

while (STATE / "wait").exists():
    time.sleep(0.01)


def wsgi(environ: dict[str, Any], start: Any) -> list[bytes]:
    BEGUN.touch()
    body = environ["wsgi.input"].read()
    start("200 OK", [("Content-Type", "text/plain")])
    keys = ("CONTENT_LENGTH", "HTTP_TRANSFER_ENCODING")
    said = " ".join(str(environ.get(key)) for key in keys)
    return [f"{said} {len(body)}".encode()]


async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        raise RuntimeError("no lifespan")
    BEGUN.touch()
    while (await receive())["more_body"]:
        pass
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"asgi"})
