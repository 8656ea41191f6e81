# SPDX-License-Identifier: BSD-2-Clause
"""Starlette: middleware, mounts, and where nginx does the same."""

from __future__ import annotations

import httpx
import pytest

from ..web import Web
from .case import LARGE, Case, digest, each, wait_seen

AT = "/starlette"
TEXT = "text " * 1000
FRIEND = {"Origin": "https://friend.test"}

CASES = [
    Case(
        "gzip",
        "/gzip/text",
        headers={"content-encoding": "gzip", "vary": "Accept-Encoding"},
        body=TEXT,
    ),
    Case(
        "gzip-not-asked-for",
        "/gzip/text",
        send={"headers": {"Accept-Encoding": "identity"}},
        headers={"content-encoding": None, "content-length": "5000"},
        body=TEXT,
    ),
    Case(
        "gzip-of-a-stream",
        "/gzip/stream",
        headers={"content-encoding": "gzip", "transfer-encoding": "chunked"},
        body="".join(f"{number}\n" for number in range(1000)),
    ),
    Case(
        "gzip-not-of-events",
        "/gzip/events",
        headers={"content-encoding": None},
    ),
    Case(
        "cors",
        "/cors/text",
        send={"headers": FRIEND},
        headers={
            "access-control-allow-origin": "https://friend.test",
            "access-control-allow-credentials": "true",
            "access-control-expose-headers": "X-Seen",
            "vary": "Origin",
        },
        body=TEXT,
    ),
    Case(
        "cors-preflight",
        "/cors/text",
        "OPTIONS",
        {
            "headers": {
                **FRIEND,
                "Access-Control-Request-Method": "PUT",
                "Access-Control-Request-Headers": "X-Animal",
            }
        },
        headers={
            "access-control-allow-methods": "GET, PUT",
            "access-control-max-age": "60",
        },
        body="OK",
    ),
    Case(
        "cors-refused",
        "/cors/text",
        "OPTIONS",
        {
            "headers": {
                "Origin": "https://foe.test",
                "Access-Control-Request-Method": "GET",
            }
        },
        status=400,
        headers={"access-control-allow-origin": None},
        body="Disallowed CORS origin",
    ),
    Case("cors-another-origin", "/cors/text", body=TEXT),
    Case(
        "trusted",
        "/trusted/text",
        send={"headers": {"Host": "a.good.test"}},
        body=TEXT,
    ),
    Case(
        "not-trusted",
        "/trusted/text",
        status=400,
        body="Invalid host header",
    ),
    Case(
        "https",
        "/https/text?a=1",
        status=307,
        headers={"location": "https://site.test/starlette/https/text?a=1"},
    ),
    Case(
        "auth",
        "/auth/private",
        send={"headers": {"Authorization": "me"}},
        body="me",
    ),
    Case(
        "no-auth",
        "/auth/private",
        status=401,
        headers={"www-authenticate": "Bearer"},
        body="no token",
    ),
    Case("around", "/around/text", headers={"x-around": "after"}, body=TEXT),
    Case(
        "around-a-body",
        "/around/body-stream",
        "POST",
        {"content": LARGE},
        headers={"x-around": "after"},
        body=digest(LARGE),
    ),
    Case(
        "around-a-form",
        "/around/form",
        "POST",
        {"data": {"a": "1"}},
        json=[["a", "1"]],
    ),
    Case(
        "around-a-stream",
        "/around/stream-large",
        headers={"x-around": "after", "content-length": "2000000"},
    ),
    Case(
        "around-a-file",
        "/around/file",
        headers={"x-around": "after"},
        body=LARGE[:1_000_000],
    ),
    Case(
        "around-an-exception",
        "/around/crash",
        status=500,
        body="caught by nothing",
    ),
    Case("pure", "/pure/text", headers={"x-pure": "yes"}, body=TEXT),
    Case("pure-before-a-file", "/pure/file", headers={"x-pure": "yes"}),
    Case(
        "mount",
        "/sub/page",
        json={
            "root_path": "/starlette/sub",
            "path": "/starlette/sub/page",
            "self": "http://site.test/starlette/sub/page",
            "base_url": "http://site.test/starlette/",
        },
    ),
    Case(
        "mount-of-plain-asgi",
        "/raw/a%20b",
        json=[
            "http",
            "/starlette/raw",
            "/starlette/raw/a b",
            "/starlette/raw/a%20b",
        ],
    ),
    Case("mount-static", "/sub/static/style.css", body="p { color: green }\n"),
    Case(
        "mount-params",
        "/sub/number/4",
        json={"number": "4"},
    ),
    Case(
        "host",
        "/hosted",
        send={"headers": {"Host": "api.test"}},
        body=TEXT,
    ),
    Case("no-host", "/hosted", status=404),
]


@each(CASES)
def test_app(client: httpx.Client, case: Case) -> None:
    case.check(client, AT)


BARE = [
    Case(
        "urls",
        "/urls",
        json={
            "client": None,
            "url": "http://site.test/bare/urls",
            "base_url": "http://site.test/",
            "root_path": "/bare",
            "item": "http://site.test/number/7",
            "version": "1.1",
        },
    ),
    Case("mount", "/sub/number/3", json={"number": "3"}),
    Case("params", "/params?shelf=top", json={"shelf": "GET top"}),
]


@each(BARE)
def test_without_root_path(client: httpx.Client, case: Case) -> None:
    case.check(client, "/bare")


SQUEEZED = [
    Case(
        "by-nginx",
        "/template",
        headers={"content-encoding": "gzip", "content-length": None},
        body="<a href=http://site.test/squeezed/file>&lt;you&gt;</a>",
    ),
    Case(
        "once",
        "/gzip/text",
        headers={"content-encoding": "gzip"},
        body=TEXT,
    ),
    Case(
        "not-asked-for",
        "/sub/text",
        send={"headers": {"Accept-Encoding": ""}},
        headers={"content-encoding": None},
        body=TEXT,
    ),
    Case(
        "stream",
        "/stream",
        headers={"content-encoding": "gzip"},
        body="".join(f"{number}\n" for number in range(1000)),
    ),
    Case(
        "not-a-range",
        "/file",
        send={"headers": {"Range": "bytes=0-9"}},
        status=206,
        headers={"content-range": "bytes 0-9/1000000"},
    ),
    Case("head", "/template", "HEAD", body=b""),
]


@each(SQUEEZED)
def test_gzip_of_nginx(client: httpx.Client, case: Case) -> None:
    case.check(client, "/squeezed")


def test_a_session(client: httpx.Client) -> None:
    at = f"{AT}/sessions"
    counts = [client.get(f"{at}/session").json() for _ in range(3)]
    assert counts == [1, 2, 3]
    client.get(f"{at}/forget")
    assert client.get(f"{at}/session").json() == 1


@pytest.mark.parametrize("kind", ["around", "gzip", "pure"])
def test_a_client_that_goes_behind_middleware(
    client: httpx.Client, kind: str
) -> None:
    before = client.get(f"{AT}/seen/endless-closed-{kind}").text
    assert before == "no"
    with client.stream("GET", f"{AT}/{kind}/endless?{kind}") as answer:
        next(answer.iter_raw())
    wait_seen(client, AT, f"endless-closed-{kind}")


def test_background_behind_middleware(client: httpx.Client) -> None:
    assert client.get(f"{AT}/around/one-background").text == "answered"
    wait_seen(client, AT, "one-background")


def test_an_exception_behind_the_answer_is_logged(
    site: Web, client: httpx.Client
) -> None:
    """BaseHTTPMiddleware ends the answer, and raises afterwards."""
    since = len(site.log())
    assert client.get(f"{AT}/around/breaks").text == "begun"
    site.wait_log("RuntimeError: in the middle", since)
