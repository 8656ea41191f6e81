# SPDX-License-Identifier: BSD-2-Clause
"""A Starlette whose clients go, and whose answers are compressed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import (
    BaseHTTPMiddleware,
    RequestResponseEndpoint,
)
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import (
    FileResponse,
    PlainTextResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route


class Passes(BaseHTTPMiddleware):
    async def dispatch(
        self, request: Request, call_next: RequestResponseEndpoint
    ) -> Response:
        return await call_next(request)


async def stream(request: Request) -> StreamingResponse:
    async def parts() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 10_000
            await asyncio.sleep(0.001)

    return StreamingResponse(parts())


begun: list[str] = []


async def read(request: Request) -> PlainTextResponse:
    begun.append(request.url.query)
    return PlainTextResponse(str(len(await request.body())))


async def has_begun(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(request.url.query in begun))


async def words(request: Request) -> PlainTextResponse:
    return PlainTextResponse("word " * 2000)


async def file(request: Request) -> FileResponse:
    return FileResponse(__file__)


routes = [
    Route("/stream", stream),
    Route("/read", read, methods=["POST"]),
    Route("/begun", has_begun),
    Route("/words", words),
    Route("/file", file),
]

app = Starlette(routes=routes)
passed = Starlette(routes=routes, middleware=[Middleware(Passes)])
zipped = Starlette(routes=routes, middleware=[Middleware(GZipMiddleware)])
