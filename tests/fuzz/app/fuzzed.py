# SPDX-License-Identifier: BSD-2-Clause
"""Applications that say what they were asked, and answer as they are told."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import Any

from tests.fuzz.app import answer_heads

SEED = int(os.environ["FUZZ_SEED_OF_HEADS"])
REPORTS = os.open(
    os.environ["FUZZ_REPORTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT
)


def plain(value: Any) -> Any:
    """What JSON can have: bytes as Latin-1."""
    if isinstance(value, bytes):
        return {"bytes": value.decode("latin-1")}
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def report(kind: str, head: dict[str, Any], body: bytes | None) -> bytes:
    text = json.dumps({"kind": kind, "head": head, "body": plain(body)})
    os.write(REPORTS, text.encode() + b"\n")
    return b"reported\n"


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        return
    body: bytes | None = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            body = None
            break
        assert body is not None
        body += message["body"]
        if not message["more_body"]:
            break
    text = report("asgi", plain(scope), body)
    if body is None:
        return
    head = {"type": "http.response.start", "status": 200, "headers": []}
    await send(head)
    await send({"type": "http.response.body", "body": text})


def wsgi(environ: Any, start_response: Any) -> Iterable[bytes]:
    try:
        body = environ["wsgi.input"].read()
    except OSError:
        body = None
    head = {n: plain(v) for n, v in environ.items() if n[:5] != "wsgi."}
    head["scheme"] = environ["wsgi.url_scheme"]
    text = report("wsgi", head, body)
    start_response("200 OK", [("Content-Length", str(len(text)))])
    return [text]


async def asgi_answer(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        return
    case = answer_heads.make(SEED, int(scope["query_string"]), False)
    await send(
        {
            "type": "http.response.start",
            "status": case.status,
            "headers": case.headers,
        }
    )
    await send({"type": "http.response.body", "body": case.body})


def wsgi_answer(environ: Any, start_response: Any) -> Iterable[bytes]:
    case = answer_heads.make(SEED, int(environ["QUERY_STRING"]), True)
    start_response(case.status, case.headers)
    return [case.body]
