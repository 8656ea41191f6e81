# SPDX-License-Identifier: BSD-2-Clause
"""FastAPI: parameters, bodies, dependencies, security, documentation."""

from __future__ import annotations

import httpx
import pytest

from .case import LARGE, Case, digest, each, pieces, wait_seen

AT = "/fastapi"
URL = "http://site.test/fastapi"
ITEM = {"name": "n", "price": 2.5, "tags": ["t"], "kind": "large"}

CASES = [
    Case(
        "parameters",
        "/items/5?q=%C3%BC&limit=7&tag=a&tag=b",
        headers={"content-type": "application/json", "x-timed": "yes"},
        json={"number": 5, "q": "ü", "limit": 7, "tag": ["a", "b"]},
    ),
    Case(
        "defaults",
        "/items/5",
        json={"number": 5, "q": None, "limit": 10, "tag": None},
    ),
    Case(
        "invalid-path",
        "/items/0?limit=101",
        status=422,
        json={"invalid": ["path.number", "query.limit"]},
    ),
    Case("enum", "/kinds/large", json="large"),
    Case("no-enum", "/kinds/medium", status=422),
    Case("path", "/files//etc/x%20y", json="etc/x y"),
    Case("model", "/items", "POST", {"json": ITEM}, 201, json=ITEM),
    Case(
        "invalid-model",
        "/items",
        "POST",
        {"json": {"name": "", "price": -1}},
        422,
        json={"invalid": ["body.name", "body.price"]},
    ),
    Case(
        "no-json",
        "/items",
        "POST",
        {
            "content": b"{",
            "headers": {"Content-Type": "application/json"},
        },
        422,
        json={"invalid": ["body.1"]},
    ),
    Case(
        "response-model",
        "/public",
        "PUT",
        {"json": ITEM},
        json={"name": "n"},
    ),
    Case(
        "two-bodies",
        "/two",
        "POST",
        {"json": {"item": ITEM, "amount": 2}},
        json=5.0,
    ),
    Case(
        "headers-and-cookies",
        "/headers",
        send={
            "headers": [
                ("User-Agent", "me"),
                ("X-Token", "1"),
                ("X-Token", "2"),
                ("Cookie", "session=abc"),
            ]
        },
        json=["me", ["1", "2"], "abc"],
    ),
    Case(
        "form",
        "/form",
        "POST",
        {"data": {"name": "ü", "age": "3"}},
        json=["ü", 3],
    ),
    Case(
        "invalid-form",
        "/form",
        "POST",
        {"data": {"age": "x"}},
        422,
        json={"invalid": ["body.name", "body.age"]},
    ),
    Case(
        "file-as-bytes",
        "/bytes",
        "POST",
        {"files": {"file": b"abc"}},
        json=[3, digest(b"abc")],
    ),
    Case(
        "large-file-as-bytes",
        "/bytes",
        "POST",
        {"files": {"file": LARGE}},
        json=[len(LARGE), digest(LARGE)],
    ),
    Case(
        "uploads",
        "/uploads",
        "POST",
        {
            "files": [
                ("files", ("a.txt", b"a", "text/plain")),
                ("files", ("b.bin", LARGE, "application/x-b")),
            ],
            "data": {"note": "two"},
        },
        json=[
            "two",
            ["a.txt", "text/plain", digest(b"a")],
            ["b.bin", "application/x-b", digest(LARGE)],
        ],
    ),
    Case(
        "upload-in-a-thread",
        "/uploads/sync",
        "POST",
        {"files": {"file": LARGE}},
        json=digest(LARGE),
    ),
    Case("raw", "/raw", "POST", {"content": LARGE}, json=digest(LARGE)),
    Case("context-of-a-dependency", "/context", json="dependency"),
    Case("thread", "/thread", json=False),
    Case("timeout", "/timeout", json="timeout"),
    Case("state", "/state", json=["open", True]),
    Case("html", "/html", body="<p>ü</p>"),
    Case(
        "redirect",
        "/redirect",
        status=302,
        headers={"location": f"{URL}/items/9"},
    ),
    Case(
        "no-content",
        "/items/4",
        "DELETE",
        status=204,
        headers={"content-length": None, "transfer-encoding": None},
        body=b"",
    ),
    Case(
        "file",
        "/file",
        send={"headers": {"Range": "bytes=1-3"}},
        status=206,
        body=b"\1\2\3",
    ),
    Case(
        "stream",
        "/stream",
        send={"headers": {"Accept-Encoding": "identity"}},
        headers={"transfer-encoding": "chunked"},
        body="".join(f"line {number}\n" for number in range(500)),
    ),
    Case(
        "large-json",
        "/large",
        headers={"content-encoding": "gzip"},
        json=list(range(20_000)),
    ),
    Case(
        "http-exception",
        "/error/http",
        status=404,
        headers={"x-why": "gone"},
        json={"detail": {"no": "item"}},
    ),
    Case("handled", "/error/ours", status=418, json={"ours": "raised"}),
    Case("unhandled", "/error/none", status=500, body="Internal Server Error"),
    Case("bad-response-model", "/bad-model", status=500),
    Case("not-found", "/none", status=404, json={"detail": "Not Found"}),
    Case(
        "method",
        "/items",
        "PATCH",
        status=405,
        headers={"allow": "POST"},
        json={"detail": "Method Not Allowed"},
    ),
    Case(
        "cors",
        "/html",
        send={"headers": {"Origin": "https://any.test"}},
        headers={"access-control-allow-origin": "*"},
    ),
    Case(
        "oauth2",
        "/me",
        send={"headers": {"Authorization": "Bearer x"}},
        json="x",
    ),
    Case(
        "no-oauth2",
        "/me",
        status=401,
        headers={"www-authenticate": "Bearer"},
        json={"detail": "Not authenticated"},
    ),
    Case(
        "token",
        "/token",
        "POST",
        {"data": {"username": "u", "password": "p"}},
        json={"access_token": "u", "token_type": "bearer"},
    ),
    Case("basic", "/basic", send={"auth": ("me", "word")}, json="me"),
    Case(
        "wrong-basic",
        "/basic",
        send={"auth": ("me", "no")},
        status=401,
        headers={"www-authenticate": "Basic"},
    ),
    Case(
        "no-basic",
        "/basic",
        status=401,
        headers={"www-authenticate": 'Basic realm="tried"'},
    ),
    Case("api-key", "/key", send={"headers": {"X-Key": "k"}}, json="k"),
    Case("router", "/router/where", json=f"{URL}/router/where"),
    Case("router-again", "/again/router/where", json=f"{URL}/router/where"),
    Case(
        "mount",
        "/below/info",
        json=["/fastapi/below", f"{URL}/below/info"],
    ),
]


@each(CASES)
def test_fastapi(client: httpx.Client, case: Case) -> None:
    case.check(client, AT)


def test_task_groups(client: httpx.Client) -> None:
    pytest.importorskip("tomllib", reason="Python before 3.11 has none")
    assert client.get(f"{AT}/gathered").json() == [0, 2, 4, 6, 8]


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_of_any_size(client: httpx.Client, chunked: bool) -> None:
    for size in (0, 1, 1000, 65_536, 1_000_000):
        data = LARGE[:size]
        content = pieces(data) if chunked else data
        answer = client.post(f"{AT}/raw", content=content)
        assert answer.json() == digest(data)


def test_dependencies_are_closed(client: httpx.Client) -> None:
    assert client.get(f"{AT}/depends").json() == "nested session"
    wait_seen(client, AT, "nested-closed")
    wait_seen(client, AT, "session-closed")
    assert client.get(f"{AT}/depends/sync").json() == "sync"
    wait_seen(client, AT, "sync-closed")


def test_a_dependency_sees_what_is_raised(client: httpx.Client) -> None:
    answer = client.get(f"{AT}/depends/raises")
    assert (answer.status_code, answer.json()) == (409, {"detail": "no"})
    wait_seen(client, AT, "raising-raised")
    wait_seen(client, AT, "raising-closed")


def test_cookies(client: httpx.Client) -> None:
    answer = client.get(f"{AT}/cookies")
    assert answer.headers.get_list("set-cookie") == [
        "a=1; Path=/; SameSite=lax",
        "b=2; HttpOnly; Path=/; SameSite=lax",
    ]
    assert answer.headers["x-extra"] == "more"


def test_background(client: httpx.Client) -> None:
    assert client.post(f"{AT}/background").status_code == 202
    wait_seen(client, AT, "background")


def test_events_until_the_client_goes(client: httpx.Client) -> None:
    with client.stream("GET", f"{AT}/events") as answer:
        lines = answer.iter_lines()
        said = [next(lines) for _ in range(6)]
    assert said == ["data: 0", "", "data: 1", "", "data: 2", ""]
    wait_seen(client, AT, "events-ended")


def test_its_own_documentation(client: httpx.Client) -> None:
    schema = client.get(f"{AT}/openapi.json").json()
    assert schema["info"]["title"] == "tried"
    assert schema["servers"] == [{"url": AT}]
    assert "/items/{number}" in schema["paths"]
    assert f"{AT}/openapi.json" in client.get(f"{AT}/docs").text
    assert f"{AT}/openapi.json" in client.get(f"{AT}/redoc").text
    assert "/below" in client.get(f"{AT}/below/docs").text
