# SPDX-License-Identifier: BSD-2-Clause
"""Starlette: what its routes, requests and answers promise."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from ..client import eventually
from ..web import Web
from .case import LARGE, Case, digest, each, pieces, wait_seen

AT = "/starlette"
URL = "http://site.test/starlette"

REQUESTS = [
    Case(
        "json",
        "/json",
        "POST",
        {"json": {"a": [1, "ü", None]}},
        headers={"content-type": "application/json"},
        json={"said": {"a": [1, "ü", None]}},
    ),
    Case(
        "form",
        "/form",
        "POST",
        {"data": {"a": ["1", "2"], "b": "x y&ü"}},
        json=[["a", "1"], ["a", "2"], ["b", "x y&ü"]],
    ),
    Case("empty-form", "/form", "POST", json=[]),
    Case(
        "small-upload",
        "/upload",
        "POST",
        {
            "files": {"file": ("ü.txt", b"small\x00", "text/x-small")},
            "data": {"field": "value"},
        },
        json={
            "file": ["ü.txt", "text/x-small", 6, digest(b"small\x00")],
            "field": ["value"],
        },
    ),
    Case(
        "large-upload",
        "/upload",
        "POST",
        {"files": {"file": ("large.bin", LARGE, "application/x-large")}},
        json={
            "file": [
                "large.bin",
                "application/x-large",
                len(LARGE),
                digest(LARGE),
            ]
        },
    ),
    Case(
        "several-uploads",
        "/upload",
        "POST",
        {"files": {"a": ("a", b"", None), "b": ("b.html", b"<b>")}},
        json={
            "a": ["a", "application/octet-stream", 0, digest(b"")],
            "b": ["b.html", "text/html", 3, digest(b"<b>")],
        },
    ),
    Case("no-body", "/body", json=[0, digest(b""), None]),
    Case("empty-body", "/body", "POST", json=[0, digest(b""), "0"]),
    Case(
        "put-body",
        "/body",
        "PUT",
        {"content": b"x"},
        json=[1, digest(b"x"), "1"],
    ),
    Case(
        "get-body",
        "/body",
        "GET",
        {"content": b"x"},
        json=[1, digest(b"x"), "1"],
    ),
    Case(
        "large-body",
        "/body",
        "PATCH",
        {"content": LARGE},
        json=[len(LARGE), digest(LARGE), str(len(LARGE))],
    ),
    Case(
        "streamed-body",
        "/body-stream",
        "POST",
        {"content": LARGE},
        body=digest(LARGE),
    ),
    Case(
        "still-there-after-the-body",
        "/connected",
        "POST",
        {"content": b"x"},
        json=False,
    ),
    Case(
        "cookies",
        "/cookies",
        send={"headers": {"Cookie": 'a=1; b="two words"; c='}},
        json={"a": "1", "b": "two words", "c": ""},
    ),
    Case(
        "headers-twice",
        "/headers",
        send={"headers": [("X-Animal", "bear"), ("X-Animal", "cat")]},
        json=["bear", "cat"],
    ),
    Case(
        "query",
        "/query?a=1&a=2&b=%26+%C3%BC&c",
        json=[["a", "1"], ["a", "2"], ["b", "& ü"], ["c", ""]],
    ),
    Case("int", "/number/42", json={"number": "42"}),
    Case("no-int", "/number/x", status=404, body="Not Found"),
    Case("float", "/float/1.50", json={"number": "1.5"}),
    Case(
        "uuid",
        "/uuid/0E5C1D4B-1111-2222-3333-444455556666".lower(),
        json={"id": "0e5c1d4b-1111-2222-3333-444455556666"},
    ),
    Case("space", "/name/a%20b+c", json={"name": "a b+c"}),
    Case("utf-8", "/name/%E2%98%83", json={"name": "☃"}),
    Case("semicolon", "/name/a;b=c", json={"name": "a;b=c"}),
    Case("percent", "/name/100%25", json={"name": "100%"}),
    Case("question-mark", "/name/a%3Fb", json={"name": "a?b"}),
    Case("slash", "/name/a%2Fb", status=404),
    Case("path", "/path/a/b%2Fc", json={"rest": "a/b/c"}),
    Case("empty-path", "/path/", json={"rest": ""}),
    Case(
        "added-slash",
        "/name/x/",
        status=307,
        headers={"location": f"{URL}/name/x"},
    ),
    Case("state", "/state", json={"started": 1, "added": "here"}),
    Case("state-is-a-copy", "/state-again", json=False),
    Case(
        "urls",
        "/urls?q=1",
        json={
            "client": None,
            "url": f"{URL}/urls?q=1",
            "base_url": f"{URL}/",
            "root_path": AT,
            "item": f"{URL}/number/7",
            "version": "1.1",
        },
    ),
    Case(
        "host-header",
        "/urls",
        send={"headers": {"Host": "other.test:8080"}},
        json={
            "client": None,
            "url": "http://other.test:8080/starlette/urls",
            "base_url": "http://other.test:8080/starlette/",
            "root_path": AT,
            "item": "http://other.test:8080/starlette/number/7",
            "version": "1.1",
        },
    ),
]


@each(REQUESTS)
def test_request(client: httpx.Client, case: Case) -> None:
    case.check(client, AT)


ANSWERS = [
    Case(
        "redirect",
        "/redirect",
        status=303,
        headers={"location": f"{URL}/number/3"},
    ),
    Case(
        "stream",
        "/stream",
        headers={
            "content-type": "text/plain; charset=utf-8",
            "content-length": None,
            "transfer-encoding": "chunked",
        },
        body="".join(f"{number}\n" for number in range(1000)),
    ),
    Case(
        "stream-of-a-length",
        "/stream-large",
        headers={"content-length": "2000000", "transfer-encoding": None},
        body=b"".join(bytes([number]) * 10_000 for number in range(200)),
    ),
    Case(
        "events",
        "/events",
        headers={
            "content-type": "text/event-stream; charset=utf-8",
            "cache-control": "no-cache",
        },
        body="".join(f"id: {n}\ndata: event {n}\n\n" for n in range(3)),
    ),
    Case(
        "file",
        "/file",
        headers={
            "content-type": "application/x-bytes",
            "content-length": "1000000",
            "accept-ranges": "bytes",
        },
        body=LARGE[:1_000_000],
    ),
    Case(
        "range",
        "/file",
        send={"headers": {"Range": "bytes=100-199"}},
        status=206,
        headers={
            "content-range": "bytes 100-199/1000000",
            "content-length": "100",
        },
        body=LARGE[100:200],
    ),
    Case(
        "last-bytes",
        "/file",
        send={"headers": {"Range": "bytes=-5"}},
        status=206,
        headers={"content-range": "bytes 999995-999999/1000000"},
        body=LARGE[999_995:1_000_000],
    ),
    Case(
        "no-such-range",
        "/file",
        send={"headers": {"Range": "bytes=1000000-"}},
        status=416,
    ),
    Case(
        "range-of-another-file",
        "/file",
        send={"headers": {"Range": "bytes=0-9", "If-Range": '"other"'}},
        headers={"content-length": "1000000"},
        body=LARGE[:1_000_000],
    ),
    Case(
        "head-of-a-file",
        "/file",
        "HEAD",
        headers={"content-length": "1000000"},
        body=b"",
    ),
    Case(
        "download",
        "/download",
        headers={
            "content-disposition": "attachment; filename*=utf-8''"
            "%C3%9Cbersicht.bin"
        },
    ),
    Case("missing-file", "/missing-file", status=500),
    Case(
        "static",
        "/static/style.css",
        headers={
            "content-type": "text/css; charset=utf-8",
            "content-length": "19",
        },
        body="p { color: green }\n",
    ),
    Case("static-index", "/static/", body="<p>index</p>\n"),
    Case("no-static", "/static/none.css", status=404, body="Not Found"),
    Case("static-outside", "/static/%2e%2e%2fstarlette.bin", status=404),
    Case("static-post", "/static/style.css", "POST", status=405),
    Case(
        "http-exception",
        "/teapot",
        status=418,
        headers={"x-pot": "tea"},
        body="short and stout",
    ),
    Case("handled", "/our-error", status=409, json={"handled": "ours"}),
    Case("crash", "/crash", status=500, body="Internal Server Error"),
    Case("not-found", "/nowhere", status=404, body="Not Found"),
    Case(
        "method",
        "/json",
        status=405,
        headers={"allow": "POST"},
        body="Method Not Allowed",
    ),
    Case("head", "/query", "HEAD", headers={"content-length": "2"}, body=b""),
    Case("options", "/query", "OPTIONS", status=405),
    Case("endpoint", "/endpoint", "PUT", status=201, body="put"),
    Case("no-endpoint", "/endpoint", "DELETE", status=405),
    Case(
        "task-group",
        "/task-group",
        json={str(number): number for number in range(5)},
    ),
    Case("cancel-scope", "/cancelled", json=True),
    Case("threadpool", "/threadpool", body="handler 5"),
    Case("plain-function", "/plain-function", body="<p>thread</p>"),
    Case(
        "template",
        "/template",
        headers={"x-page": "1", "content-type": "text/html; charset=utf-8"},
        body=f"<a href={URL}/file>&lt;you&gt;</a>",
    ),
    Case(
        "no-content",
        "/no-content",
        status=204,
        headers={"x-empty": "yes", "transfer-encoding": None},
        body=b"",
    ),
    Case("large-header", "/large-header", headers={"x-large": "y" * 7000}),
    Case("latin-1", "/latin", headers={"x-latin": "naïve"}, body="naïve ☃"),
]


@each(ANSWERS)
def test_answer(client: httpx.Client, case: Case) -> None:
    case.check(client, AT)


def test_a_chunked_body(client: httpx.Client) -> None:
    answer = client.post(f"{AT}/body", content=pieces(LARGE))
    assert answer.json() == [len(LARGE), digest(LARGE), None]


def test_an_answer_before_the_body_is_read(client: httpx.Client) -> None:
    answer = client.post(f"{AT}/body-ignored", content=b"x" * 1000)
    assert answer.status_code == 413
    assert answer.text == "too large"


def test_several_cookies(client: httpx.Client) -> None:
    answer = client.get(f"{AT}/set-cookies")
    cookies = answer.headers.get_list("set-cookie")
    assert [cookie.partition("=")[0] for cookie in cookies] == [
        "one",
        "two",
        "three",
    ]
    assert "HttpOnly" in cookies[0]
    assert "Max-Age=60" in cookies[1]
    assert client.get(f"{AT}/cookies").json() == {"one": "1", "two": "2"}


def test_not_modified(client: httpx.Client) -> None:
    uri = f"{AT}/static/style.css"
    first = client.get(uri)
    etag, date = first.headers["etag"], first.headers["last-modified"]
    for headers in ({"If-None-Match": etag}, {"If-Modified-Since": date}):
        again = client.get(uri, headers=headers)
        assert again.status_code == 304
        assert again.headers["etag"] == etag
        assert "content-length" not in again.headers
        assert again.content == b""
    other = client.get(uri, headers={"If-None-Match": '"other"'})
    assert (other.status_code, other.content) == (200, first.content)


def test_several_ranges(client: httpx.Client) -> None:
    answer = client.get(f"{AT}/file", headers={"Range": "bytes=0-1,10-12"})
    assert answer.status_code == 206
    kind = answer.headers["content-type"]
    mark = re.fullmatch(r"multipart/byteranges; boundary=(\S+)", kind)
    assert mark
    parts = answer.content.split(b"--" + mark[1].encode())
    bodies = [part.strip(b"\r\n").rpartition(b"\r\n\r\n")[2] for part in parts]
    assert LARGE[0:2] in bodies
    assert len(bodies) == 4


def test_a_background_task_runs_after_the_answer(
    client: httpx.Client,
) -> None:
    assert client.get(f"{AT}/background").text == "answered"
    assert client.get(f"{AT}/seen/background").text == "no"
    wait_seen(client, AT, "first-background")
    client.get(f"{AT}/answer-read")
    wait_seen(client, AT, "background")
    client.get(f"{AT}/one-background")
    wait_seen(client, AT, "one-background")


def test_an_answer_that_breaks(client: httpx.Client) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        client.get(f"{AT}/breaks")


@pytest.mark.parametrize("name", ["endless", "slow"])
def test_a_stream_whose_client_goes(client: httpx.Client, name: str) -> None:
    with client.stream("GET", f"{AT}/{name}") as answer:
        next(answer.iter_raw())
    wait_seen(client, AT, f"{name}-closed")


def test_events_come_one_by_one(client: httpx.Client) -> None:
    with client.stream("GET", f"{AT}/slow") as answer:
        assert next(answer.iter_raw()) == b"part\n"


def test_is_disconnected(site: Web, client: httpx.Client) -> None:
    with site.connect() as sock:
        sock.sendall(
            b"GET /starlette/disconnected HTTP/1.1\r\nHost: x\r\n\r\n"
        )
        wait_seen(client, AT, "asks")
        assert client.get(f"{AT}/seen/disconnected").text == "no"
    wait_seen(client, AT, "disconnected")


def test_an_upload_whose_client_goes(site: Web, client: httpx.Client) -> None:
    with site.connect() as sock:
        sock.sendall(
            b"POST /starlette/body-gone HTTP/1.1\r\nHost: x\r\n"
            b"Content-Length: 1000000\r\n\r\n" + b"x" * 100
        )
        wait_seen(client, AT, "body-part")
    wait_seen(client, AT, "body-gone")


def test_the_address_of_a_client(tcp: httpx.Client) -> None:
    said = tcp.get(f"{AT}/urls").json()
    assert said["client"] == "127.0.0.1"
    assert said["base_url"] == str(tcp.base_url.join(f"{AT}/"))


def test_requests_beside_each_other(client: httpx.Client) -> None:
    def ask(number: int) -> object:
        return client.get(f"{AT}/number/{number}").json()["number"]

    with ThreadPoolExecutor(16) as pool:
        said = list(pool.map(ask, range(200)))
    assert said == [str(number) for number in range(200)]


def test_one_lifespan_for_two_locations(client: httpx.Client) -> None:
    here = client.get(f"{AT}/state").json()
    assert client.get("/bare/state").json() == here
    eventually(lambda: client.get(f"{AT}/seen/startup").text == "yes")
