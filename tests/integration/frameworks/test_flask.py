# SPDX-License-Identifier: BSD-2-Clause
"""Flask, by WSGI, below /flask."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from ..web import Web
from .case import LARGE, Case, digest, each, pieces, wait_seen

AT = "/flask"
URL = "http://site.test/flask"

CASES = [
    Case(
        "json",
        "/json",
        "POST",
        {"json": {"a": [1, "ü", None]}},
        json={"said": {"a": [1, "ü", None]}},
    ),
    Case(
        "no-json",
        "/json",
        "POST",
        {"content": b"{", "headers": {"Content-Type": "application/json"}},
        400,
    ),
    Case("not-json", "/json", "POST", {"content": b"x"}, 415),
    Case(
        "form",
        "/form",
        "POST",
        {"data": {"a": ["1", "2"], "b": "x y&ü"}},
        json=[["a", "1"], ["a", "2"], ["b", "x y&ü"]],
    ),
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
            "field": "value",
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
    Case("no-body", "/body", json=[0, digest(b""), None]),
    Case("empty-body", "/body", "POST", json=[0, digest(b""), 0]),
    Case(
        "body",
        "/body",
        "PUT",
        {"content": b"a\x00b"},
        json=[3, digest(b"a\x00b"), 3],
    ),
    Case(
        "large-body",
        "/body",
        "PUT",
        {"content": LARGE},
        json=[len(LARGE), digest(LARGE), len(LARGE)],
    ),
    Case(
        "streamed-body",
        "/body-stream",
        "POST",
        {"content": LARGE},
        body=digest(LARGE),
    ),
    Case(
        "lines-of-a-body",
        "/body-lines",
        "POST",
        {"content": b"a\n\nbcd\nlast"},
        json=[2, 1, 4, 4],
    ),
    Case(
        "body-ignored",
        "/body-ignored",
        "POST",
        {"content": b"x" * 1000},
        413,
        body="too large",
    ),
    Case("limit", "/limited", "POST", {"content": b"x" * 1000}, json=1000),
    Case("over-limit", "/limited", "POST", {"content": b"x" * 1001}, 413),
    Case("query", "/query?a=1&a=%26%C3%BC&b=3", json=["1", "&ü"]),
    Case(
        "headers-and-cookies",
        "/headers",
        send={
            "headers": [
                ("X-Animal", "bear"),
                ("X-Animal", "cat"),
                ("Cookie", "a=1"),
                ("User-Agent", "me"),
            ]
        },
        json=["bear,cat", "1", "me"],
    ),
    Case("int", "/number/42", json=42),
    Case("no-int", "/number/x", status=404),
    Case("space", "/name/a%20b+c", json="a b+c"),
    Case("utf-8", "/name/%E2%98%83", json="☃"),
    Case("percent", "/name/100%25", json="100%"),
    Case("slash", "/name/a%2Fb", status=404),
    Case("path", "/path/a/b%2Fc", json="a/b/c"),
    Case(
        "added-slash",
        "/folder",
        status=308,
        headers={"location": f"{URL}/folder/"},
    ),
    Case(
        "urls",
        "/urls?q=1",
        json={
            "url": f"{URL}/urls?q=1",
            "root": f"{URL}/",
            "script_root": "/flask",
            "path": "/urls",
            "number": "/flask/number/7",
            "outside": f"{URL}/api/who",
            "client": "unix:",
            "secure": False,
        },
    ),
    Case(
        "environ",
        "/environ?a=%20",
        json={
            "REQUEST_METHOD": "GET",
            "SCRIPT_NAME": "/flask",
            "PATH_INFO": "/environ",
            "QUERY_STRING": "a=%20",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.url_scheme": "http",
            "wsgi.multithread": True,
        },
    ),
    Case(
        "text",
        "/text",
        status=201,
        headers={
            "x-more": "yes",
            "content-type": "text/html; charset=utf-8",
            "content-length": "10",
        },
        body="naïve ☃",
    ),
    Case(
        "no-content",
        "/no-content",
        status=204,
        headers={"transfer-encoding": None},
        body=b"",
    ),
    Case(
        "redirect",
        "/redirect",
        status=303,
        headers={"location": "/flask/number/3"},
    ),
    Case(
        "stream",
        "/stream",
        headers={"transfer-encoding": "chunked", "content-length": None},
        body="".join(f"{number}\n" for number in range(1000)),
    ),
    Case(
        "stream-of-a-length",
        "/stream-large",
        headers={"content-length": "2000000"},
        body=b"".join(bytes([number]) * 10_000 for number in range(200)),
    ),
    Case("stream-with-context", "/stream-context?a=b-", body="b-kept"),
    Case(
        "file",
        "/file",
        headers={
            "content-type": "application/x-bytes",
            "content-length": "1000000",
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
        body=LARGE[999_995:1_000_000],
    ),
    Case(
        "no-such-range",
        "/file",
        send={"headers": {"Range": "bytes=1000000-"}},
        status=416,
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
            "content-disposition": "attachment; filename=Ubersicht.bin; "
            "filename*=UTF-8''%C3%9Cbersicht.bin"
        },
    ),
    Case("file-in-memory", "/memory", body="from memory"),
    Case("directory", "/directory/flask.bin", body=LARGE[:1_000_000]),
    Case("not-in-the-directory", "/directory/none", status=404),
    Case("outside-it", "/directory/%2e%2e/passwd", status=404),
    Case("template", "/template", body="<a href=/flask/file>&lt;you&gt;</a>"),
    Case("async", "/async", body="async"),
    Case("view", "/view", body="got"),
    Case("delete-of-a-view", "/view", "DELETE", status=204),
    Case("method", "/view", "POST", status=405),
    Case("head", "/text", "HEAD", status=201, body=b""),
    Case("options", "/json", "OPTIONS", body=b""),
    Case(
        "around",
        "/api/who",
        headers={"x-after": "yes", "x-this": "yes"},
        json=["before"],
    ),
    Case(
        "stopped-before",
        "/api/who?stop=1",
        status=403,
        headers={"x-after": "yes"},
        body="stopped",
    ),
    Case("handled", "/api/ours", status=409, json={"handled": "ours"}),
    Case("crash", "/api/crash", status=500, headers={"x-after": "yes"}),
    Case("abort", "/abort/409", status=409),
    Case(
        "handled-abort",
        "/abort/418",
        status=418,
        headers={"x-pot": "tea"},
        body="pot: because",
    ),
    Case("not-found", "/none", status=404),
]


@each(CASES)
def test_flask(client: httpx.Client, case: Case) -> None:
    case.check(client, AT)


@pytest.mark.parametrize("uri", ["/body", "/body-stream", "/upload"])
def test_a_chunked_body(client: httpx.Client, uri: str) -> None:
    if uri == "/upload":
        made = client.build_request("POST", "/", files={"file": LARGE})
        headers = {"Content-Type": made.headers["content-type"]}
        answer = client.post(
            AT + uri, content=pieces(made.read()), headers=headers
        )
        assert answer.json()["file"][2:] == [len(LARGE), digest(LARGE)]
        return
    answer = client.post(AT + uri, content=pieces(LARGE))
    assert digest(LARGE) in answer.text


def test_not_modified(client: httpx.Client) -> None:
    for uri in ("/file", "/etag"):
        first = client.get(AT + uri)
        etag = {"If-None-Match": first.headers["etag"]}
        again = client.get(AT + uri, headers=etag)
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
    date = {"If-Modified-Since": client.get(f"{AT}/file").headers["date"]}
    assert client.get(f"{AT}/file", headers=date).status_code == 304


def test_several_cookies(client: httpx.Client) -> None:
    answer = client.get(f"{AT}/set-cookies")
    cookies = answer.headers.get_list("set-cookie")
    assert [cookie.partition(";")[0] for cookie in cookies] == [
        "one=1",
        "two=2",
        "three=",
    ]


def test_a_session(client: httpx.Client) -> None:
    assert [client.get(f"{AT}/session").json() for _ in range(3)] == [1, 2, 3]
    client.cookies.clear()
    assert client.get(f"{AT}/session").json() == 1


def test_a_flashed_message(client: httpx.Client) -> None:
    answer = client.post(
        f"{AT}/flash", data={"message": "hé"}, follow_redirects=True
    )
    assert answer.json() == ["hé"]
    assert client.get(f"{AT}/flashed").json() == []


def test_teardown(client: httpx.Client) -> None:
    client.get(f"{AT}/api/who")
    wait_seen(client, AT, "teardown-NoneType")
    client.get(f"{AT}/api/crash")
    wait_seen(client, AT, "teardown-ZeroDivisionError")


def test_a_crash_is_logged(site: Web, client: httpx.Client) -> None:
    """By Flask, to wsgi.errors."""
    since = len(site.log())
    client.get(f"{AT}/api/crash")
    site.wait_log("ZeroDivisionError: by nothing", since)


def test_an_answer_that_breaks(client: httpx.Client) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        client.get(f"{AT}/breaks")


def test_a_stream_whose_client_goes(client: httpx.Client) -> None:
    with client.stream("GET", f"{AT}/slow") as answer:
        assert next(answer.iter_raw()) == b"part\n"
    wait_seen(client, AT, "slow-closed")
    wait_seen(client, AT, "slow-called")


def test_requests_have_threads(client: httpx.Client) -> None:
    def ask(name: str) -> object:
        return client.get(f"{AT}/two", params={"a": name}).json()

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(ask, ["x", "y"])) == ["x", "y"]
