# SPDX-License-Identifier: BSD-2-Clause
"""Whether an application is ASGI or WSGI, and whether it is one at all."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from resty_ffi.web._interface import find_interface


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    pass


def wsgi(environ: Any, start_response: Any) -> list[bytes]:
    return []


def wsgi_with_more(environ: Any, start_response: Any, more: int = 0) -> Any:
    return []


def plain(scope: Any, receive: Any, send: Any) -> Any:
    return asgi(scope, receive, send)


def named(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def nameless(function: Callable[..., Any]) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def nameless_async(function: Callable[..., Any]) -> Callable[..., Any]:
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        return await function(*args, **kwargs)

    return wrapper


class Asgi:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        pass

    async def method(self, scope: Any, receive: Any, send: Any) -> None:
        pass


class Decorated:
    @named
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        pass


class Awaitable:
    def __init__(self, scope: Any, receive: Any, send: Any) -> None:
        pass

    def __await__(self) -> Iterator[None]:
        yield


class Wsgi:
    def __call__(self, environ: Any, start_response: Any) -> list[bytes]:
        return []

    @staticmethod
    def static(environ: Any, start_response: Any) -> list[bytes]:
        return []


class Response:
    """One of PEP 3333's: each call makes one, which is the iterable."""

    def __init__(self, environ: Any, start_response: Any) -> None:
        pass

    def __iter__(self) -> Iterator[bytes]:
        yield b""


class Bound:
    async def app(
        self, more: Any, scope: Any, receive: Any, send: Any
    ) -> None:
        pass


@pytest.mark.parametrize(
    "app",
    [
        asgi,
        plain,
        named(asgi),
        named(named(asgi)),
        nameless_async(asgi),
        Asgi(),
        Asgi().method,
        Decorated(),
        Awaitable,
        functools.partial(asgi),
        functools.partial(Asgi()),
        functools.partial(functools.partial(Bound().app, 1)),
        functools.partial(named(asgi)),
        lambda scope, receive, send: asgi(scope, receive, send),
    ],
)
def test_asgi(app: Any) -> None:
    assert find_interface(app) == "asgi"


@pytest.mark.parametrize(
    "app",
    [
        wsgi,
        wsgi_with_more,
        named(wsgi),
        Wsgi(),
        Wsgi.static,
        Wsgi().__call__,
        Response,
        functools.partial(wsgi),
        functools.partial(wsgi_with_more, more=1),
        functools.partial(Wsgi()),
    ],
)
def test_wsgi(app: Any) -> None:
    assert find_interface(app) == "wsgi"


class Double:
    def __init__(self, scope: Any) -> None:
        pass

    async def __call__(self, receive: Any, send: Any) -> None:
        pass


class DoubleInstance:
    def __call__(self, scope: Any) -> Callable[..., Any]:
        return asgi


@pytest.mark.parametrize("said", ["", "asgi", "wsgi"])
@pytest.mark.parametrize("app", [Double, DoubleInstance(), lambda scope: asgi])
def test_asgi_2(app: Any, said: str) -> None:
    with pytest.raises(TypeError, match=r"takes a scope alone, as in ASGI 2"):
        find_interface(app, said)


@pytest.mark.parametrize("said", ["asgi", "wsgi"])
@pytest.mark.parametrize("app", [nameless(asgi), nameless(wsgi), min])
def test_only_its_user_knows(app: Any, said: str) -> None:
    with pytest.raises(TypeError, match="python_pass has to say asgi, or"):
        find_interface(app)
    assert find_interface(app, said) == said


async def takes_two(environ: Any, start_response: Any) -> None:
    pass


@pytest.mark.parametrize(
    "app", [Asgi, Wsgi, takes_two, lambda: None, lambda a, b, c, d: None]
)
def test_neither(app: Any) -> None:
    with pytest.raises(TypeError, match=r"take.* \(scope, receive, send\)"):
        find_interface(app)


def frameworks() -> Iterator[tuple[str, str]]:
    yield "asgi", "from starlette.applications import Starlette as make"
    yield "asgi", "from fastapi import FastAPI as make"
    yield "wsgi", "from flask import Flask\ndef make(): return Flask('x')"
    yield (
        "wsgi",
        (
            "from flask import Flask\nfrom werkzeug.middleware.proxy_fix"
            " import ProxyFix\ndef make(): return ProxyFix(Flask('x'))"
        ),
    )
    django = "from django.conf import settings\nimport django\n"
    django += "settings.configured or settings.configure()\n"
    yield (
        "asgi",
        django
        + "from django.core.asgi import *\n"
        + ("make = get_asgi_application"),
    )
    yield (
        "wsgi",
        django
        + "from django.core.wsgi import *\n"
        + ("make = get_wsgi_application"),
    )


@pytest.mark.parametrize(("interface", "source"), list(frameworks()))
def test_frameworks(interface: str, source: str) -> None:
    names: dict[str, Any] = {}
    exec(source, names)
    assert find_interface(names["make"]()) == interface
