# SPDX-License-Identifier: BSD-2-Clause
"""Middleware, mounts and lifespan of Starlette; routes are in two others."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from starlette.applications import Starlette
from starlette.authentication import (
    AuthCredentials,
    AuthenticationBackend,
    AuthenticationError,
    BaseUser,
    SimpleUser,
    requires,
)
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.base import (
    BaseHTTPMiddleware,
    RequestResponseEndpoint,
)
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.httpsredirect import HTTPSRedirectMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Host, Mount, Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from . import starlette_answers, starlette_requests
from .starlette_requests import notes


async def text(request: Request) -> Response:
    return PlainTextResponse("text " * 1000)


async def sub_urls(request: Request) -> Response:
    return JSONResponse(
        {
            "root_path": request.scope["root_path"],
            "path": request.scope["path"],
            "self": str(request.url_for("sub:page")),
            "base_url": str(request.base_url),
        }
    )


async def session(request: Request) -> Response:
    count = request.session.get("count", 0) + 1
    request.session["count"] = count
    return JSONResponse(count)


async def forget(request: Request) -> Response:
    request.session.clear()
    return PlainTextResponse("forgotten")


@requires("authenticated")
async def private(request: Request) -> Response:
    return PlainTextResponse(request.user.display_name)


class Tokens(AuthenticationBackend):
    async def authenticate(
        self, conn: HTTPConnection
    ) -> tuple[AuthCredentials, BaseUser] | None:
        said = conn.headers.get("authorization")
        if said is None:
            raise AuthenticationError("no token")
        return AuthCredentials(["authenticated"]), SimpleUser(said)


def refuse(conn: HTTPConnection, error: Exception) -> Response:
    headers = {"WWW-Authenticate": "Bearer"}
    return PlainTextResponse(str(error), 401, headers)


class Around(BaseHTTPMiddleware):
    async def dispatch(
        self, request: Request, call_next: RequestResponseEndpoint
    ) -> Response:
        request.state.around = "before"
        try:
            answer = await call_next(request)
        except ZeroDivisionError as error:
            return PlainTextResponse(f"caught {error}", 500)
        answer.headers["X-Around"] = "after"
        return answer


class Pure:
    """Middleware without a class of Starlette's."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send
    ) -> None:
        async def send_more(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"].append((b"x-pure", b"yes"))
            await send(message)

        await self.app(scope, receive, send_more)


def under(path: str, *middleware: Middleware) -> Mount:
    """The same routes behind some middleware."""
    return Mount(
        path,
        name=path.lstrip("/"),
        app=Starlette(
            routes=[
                Route("/text", text, methods=["GET", "POST"]),
                Route("/page", sub_urls, name="page"),
                Route("/session", session),
                Route("/forget", forget),
                Route("/private", private),
                *starlette_answers.routes,
                *starlette_requests.routes,
            ],
            middleware=middleware,
            exception_handlers=handlers,
        ),
    )


async def raw(scope: Scope, receive: Receive, send: Send) -> None:
    """An application without a framework, mounted."""
    answer = JSONResponse(
        [
            scope["type"],
            scope["root_path"],
            scope["path"],
            scope["raw_path"].decode(),
        ]
    )
    await answer(scope, receive, send)


@contextlib.asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
    notes.note("startup")
    yield {"started": notes.count("startup")}


handlers = {starlette_answers.OurError: starlette_answers.handle_ours}
routes = [
    *starlette_requests.routes,
    *starlette_answers.routes,
    under("/gzip", Middleware(GZipMiddleware, minimum_size=100)),
    under(
        "/cors",
        Middleware(
            CORSMiddleware,
            allow_origins=["https://friend.test"],
            allow_methods=["GET", "PUT"],
            allow_headers=["X-Animal"],
            allow_credentials=True,
            expose_headers=["X-Seen"],
            max_age=60,
        ),
    ),
    under("/trusted", Middleware(TrustedHostMiddleware, ["*.good.test"])),
    under("/https", Middleware(HTTPSRedirectMiddleware)),
    under("/sessions", Middleware(SessionMiddleware, secret_key="secret")),
    under(
        "/auth",
        Middleware(
            AuthenticationMiddleware, backend=Tokens(), on_error=refuse
        ),
    ),
    under("/around", Middleware(Around)),
    under("/pure", Middleware(Pure)),
    under("/sub"),
    Mount("/raw", app=raw),
]
app = Starlette(
    routes=[
        Host("api.test", app=Router([Route("/hosted", text)])),
        *routes,
        Mount("/bare", routes=routes),
    ],
    exception_handlers=handlers,
    lifespan=lifespan,
)
