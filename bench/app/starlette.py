# SPDX-License-Identifier: BSD-2-Clause

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from .payload import HELLO


async def hello(request: Request) -> Response:
    return PlainTextResponse(HELLO)


app = Starlette(routes=[Route("/hello", hello)])
