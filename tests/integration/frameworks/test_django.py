# SPDX-License-Identifier: BSD-2-Clause
"""Django: one project, each case by ASGI and by WSGI."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from ..client import eventually
from ..web import Web
from .case import LARGE, Case, digest, each, pieces, wait_seen

LINES = "".join(f"{number}\n" for number in range(1000))


@pytest.fixture(params=["asgi", "wsgi"])
def at(request: pytest.FixtureRequest) -> str:
    return f"/django/{request.param}"


CASES = [
    Case(
        "form",
        "/form",
        "POST",
        {"data": {"a": ["1", "2"], "b": "x y&ü"}},
        json={"a": ["1", "2"], "b": ["x y&ü"]},
    ),
    Case("empty-form", "/form", "POST", json={}),
    Case(
        "upload-in-memory",
        "/upload",
        "POST",
        {
            "files": {"file": ("ü.txt", b"small\x00", "text/x-small")},
            "data": {"field": "value"},
        },
        json={
            "file": ["ü.txt", "text/x-small", 6, digest(b"small\x00"), False],
            "field": "value",
        },
    ),
    Case(
        "upload-to-a-file",
        "/upload",
        "POST",
        {"files": {"file": ("large.bin", LARGE, "application/x-large")}},
        json={
            "file": [
                "large.bin",
                "application/x-large",
                len(LARGE),
                digest(LARGE),
                True,
            ]
        },
    ),
    Case("no-body", "/body", json=[0, digest(b"")]),
    Case(
        "body",
        "/body",
        "PUT",
        {"content": b"a\x00b"},
        json=[3, digest(b"a\x00b")],
    ),
    Case(
        "large-body",
        "/body",
        "POST",
        {"content": LARGE},
        json=[len(LARGE), digest(LARGE)],
    ),
    Case("over-the-limit", "/body", "POST", {"content": LARGE + LARGE}, 400),
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
                ("Content-Type", "text/x-none"),
            ]
        },
        json=["bear,cat", "1", "me", "text/x-none"],
    ),
    Case("int", "/number/42", json={"number": "42"}),
    Case("no-int", "/number/x", status=404, body="none here"),
    Case("space", "/name/a%20b+c", json={"name": "a b+c"}),
    Case("utf-8", "/name/%E2%98%83", json={"name": "☃"}),
    Case("percent", "/name/100%25", json={"name": "100%"}),
    Case("slug", "/slug/a-b_c", json={"slug": "a-b_c"}),
    Case("slash", "/name/a%2Fb", status=404),
    Case("path", "/path/a/b%2Fc", json={"rest": "a/b/c"}),
    Case("regex", "/year/2024/", json={"year": "2024"}),
    Case("set-cookies", "/set-cookies", headers={"x-counted": "yes"}),
    Case("stream", "/stream", headers={"content-length": None}, body=LINES),
    Case("async-stream", "/async-stream", body=LINES),
    Case(
        "file",
        "/file",
        headers={
            "content-type": "application/octet-stream",
            "content-length": "1000000",
            "content-disposition": 'inline; filename="django.bin"',
        },
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
    Case("file-in-memory", "/memory", body="from memory"),
    Case("async-view", "/in-a-loop", json=[0, 2, 4, 6, 8]),
    Case("view", "/view", body="got"),
    Case(
        "method-of-a-view",
        "/view",
        "DELETE",
        status=403,
    ),
    Case(
        "options-of-a-view",
        "/view",
        "OPTIONS",
        headers={"allow": "GET, HEAD, OPTIONS"},
    ),
    Case(
        "async-class",
        "/async-view",
        "PUT",
        {"content": b"given"},
        201,
        body="given",
    ),
    Case("no-method-of-an-async-class", "/async-view", "PATCH", status=405),
    Case("only-post", "/only-post", "POST", body="posted"),
    Case("not-get", "/only-post", status=405, headers={"allow": "POST"}),
    Case(
        "head", "/query?a=1", "HEAD", headers={"content-length": "5"}, body=b""
    ),
    Case("no-content", "/no-content", status=204, body=b""),
    Case("missing", "/error/missing", status=404, body="none here"),
    Case("denied", "/error/denied", status=403),
    Case("suspicious", "/error/suspicious", status=400),
    Case("crash", "/error/crash", status=500, body="broken"),
    Case("async-crash", "/async-error", status=500, body="broken"),
    Case(
        "unknown-host", "/query", send={"headers": {"Host": "x"}}, status=400
    ),
    Case(
        "not-modified",
        "/conditional",
        send={"headers": {"If-None-Match": '"v1"'}},
        status=304,
        headers={"etag": '"v1"'},
        body=b"",
    ),
    Case(
        "not-modified-since",
        "/conditional",
        send={
            "headers": {"If-Modified-Since": "Wed, 01 Jan 2020 00:00:00 GMT"}
        },
        status=304,
        headers={"last-modified": "Wed, 01 Jan 2020 00:00:00 GMT"},
        body=b"",
    ),
    Case(
        "modified",
        "/conditional",
        send={"headers": {"If-None-Match": '"v0"'}},
        headers={"etag": '"v1"'},
        body="version 1",
    ),
    Case(
        "match",
        "/guarded",
        "PUT",
        {"headers": {"If-Match": '"v1"'}},
        body="written",
    ),
    Case(
        "match-of-what-it-was",
        "/guarded?ETag=%22v2%22",
        "PUT",
        {"headers": {"If-Match": '"v1"'}},
        headers={"etag": '"v2"'},
        body="written",
    ),
    Case(
        "no-match", "/guarded", "PUT", {"headers": {"If-Match": '"v0"'}}, 412
    ),
    Case(
        "cache-control",
        "/cached-by-clients",
        headers={
            "cache-control": "max-age=60, public",
            "vary": "X-Animal",
        },
    ),
    Case(
        "never-cached",
        "/never",
        headers={
            "cache-control": "max-age=0, no-cache, no-store, "
            "must-revalidate, private"
        },
    ),
    Case(
        "gzip",
        "/gzipped",
        headers={"content-encoding": "gzip", "vary": "Accept-Encoding"},
        body="text " * 1000,
    ),
    Case(
        "security-headers",
        "/query",
        headers={
            "x-content-type-options": "nosniff",
            "x-frame-options": "DENY",
            "referrer-policy": "same-origin",
        },
    ),
    Case("rolled-back", "/rolled-back", json=[False, False]),
    Case("not-found", "/none", status=404, body="none here"),
]


@each(CASES)
def test_django(client: httpx.Client, at: str, case: Case) -> None:
    case.check(client, at)


def test_urls(client: httpx.Client, at: str) -> None:
    for inner in ("", "/inner"):
        said = client.get(f"{at}{inner}/urls?q=1").json()
        client_said = said.pop("client")
        assert client_said in (None, "unix:")
        assert said == {
            "path": f"{at}{inner}/urls",
            "path_info": f"{inner}/urls",
            "full": f"{at}{inner}/urls?q=1",
            "absolute": f"http://site.test{at}{inner}/urls?q=1",
            "number": f"{at}/number/7",
            "inner": f"{at}/inner/urls",
            "secure": False,
        }
    answer = client.get(f"{at}/redirect")
    assert answer.status_code == 302
    assert answer.headers["location"] == f"{at}/number/3"
    assert client.get(f"{at}/template").text == (
        f"<a href={at}/number/1>&lt;you&gt;</a>"
    )


def test_the_address_of_a_client(tcp: httpx.Client, at: str) -> None:
    assert tcp.get(f"{at}/urls").json()["client"] == "127.0.0.1"


@pytest.mark.parametrize("uri", ["/body", "/upload"])
def test_a_chunked_body(client: httpx.Client, at: str, uri: str) -> None:
    if (at, uri) == ("/django/asgi", "/upload"):
        pytest.skip("Django's ASGI takes no form without a Content-Length")
    made = client.build_request("POST", "/", files={"file": LARGE})
    headers = {"Content-Type": made.headers["content-type"]}
    content = made.read()
    answer = client.post(at + uri, content=pieces(content), headers=headers)
    expected = digest(LARGE if uri == "/upload" else content)
    assert expected in answer.text


def test_cookies(client: httpx.Client, at: str) -> None:
    answer = client.get(f"{at}/set-cookies")
    cookies = answer.headers.get_list("set-cookie")
    names = [cookie.partition("=")[0] for cookie in cookies]
    assert names == ["one", "two", "three"]
    assert client.get(f"{at}/signed").text == "2"


def test_a_session(client: httpx.Client, at: str) -> None:
    counts = [client.get(f"{at}/session").json() for _ in range(3)]
    assert counts == [1, 2, 3]
    assert client.get(f"{at}/async-session").json() == 3
    client.cookies.clear()
    assert client.get(f"{at}/session").json() == 1


def test_a_session_by_the_other_interface(client: httpx.Client) -> None:
    assert client.get("/django/asgi/session").json() == 1
    # Django has the cookie for the path of SCRIPT_NAME or for all: /
    assert client.get("/django/wsgi/session").json() == 2


def test_csrf(client: httpx.Client, at: str) -> None:
    assert client.post(f"{at}/protected").status_code == 403
    token = client.get(f"{at}/token").text
    header = {"X-CSRFToken": token}
    assert client.post(f"{at}/protected", headers=header).text == "allowed"
    form = {"csrfmiddlewaretoken": token}
    assert client.post(f"{at}/protected", data=form).text == "allowed"
    foreign = {**header, "Origin": "http://foe.test"}
    answer = client.post(f"{at}/protected", headers=foreign)
    assert answer.status_code == 403
    ours = {**header, "Origin": "http://site.test"}
    assert client.post(f"{at}/protected", headers=ours).text == "allowed"


def test_messages(client: httpx.Client, at: str) -> None:
    answer = client.get(f"{at}/leave-message?text=h%C3%A9")
    assert answer.headers["location"] == f"{at}/messages"
    assert client.get(f"{at}/messages").json() == ["hé"]
    assert client.get(f"{at}/messages").json() == []


def test_the_admin(client: httpx.Client, at: str) -> None:
    answer = client.get(f"{at}/admin/")
    assert answer.headers["location"] == f"{at}/admin/login/?next={at}/admin/"
    page = client.get(answer.headers["location"])
    assert "Django administration" in page.text
    found = re.search('csrfmiddlewaretoken" value="([^"]+)', page.text)
    assert found
    form = {
        "csrfmiddlewaretoken": found[1],
        "username": "root",
        "password": "toor",
        "next": f"{at}/admin/",
    }
    wrong = client.post(
        f"{at}/admin/login/", data={**form, "password": "root"}
    )
    assert "Please enter the correct username" in wrong.text
    answer = client.post(f"{at}/admin/login/", data=form)
    assert answer.status_code == 302
    assert client.get(f"{at}/private").text == "root"
    index = client.get(f"{at}/admin/")
    assert f"{at}/admin/shop/order/" in index.text


def test_a_page_for_users(client: httpx.Client, at: str) -> None:
    answer = client.get(f"{at}/private")
    assert answer.status_code == 302
    assert answer.headers["location"] == f"/in?next={at}/private"


def test_signals(client: httpx.Client, at: str) -> None:
    """Each request that has begun ends, but for the one that asks."""
    client.get(f"{at}/stream")
    client.get(f"{at}/query")
    with client.stream("GET", f"{at}/file") as answer:
        next(answer.iter_raw(10))

    def all_ended() -> bool:
        started, finished = client.get(f"{at}/signals").json()
        return bool(started == finished + 1)

    eventually(all_ended, "each request has ended")


def test_a_cached_page(client: httpx.Client, at: str) -> None:
    first = client.get(f"{at}/cached").text
    assert client.get(f"{at}/cached").text == first


@pytest.mark.parametrize("kind", ["order", "async-order"])
def test_a_database_of_threads(
    client: httpx.Client, at: str, kind: str
) -> None:
    begin = 1000 * ["asgi", "wsgi"].index(at[-4:]) + 100 * len(kind)

    def ask(number: int) -> object:
        return client.get(f"{at}/{kind}/{number}").json()

    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(ask, range(begin, begin + 40)))
    if kind == "order":
        assert said == [1] * 40
    else:
        assert said == [[number] for number in range(begin, begin + 40)]


def test_an_answer_that_breaks(
    site: Web, client: httpx.Client, at: str
) -> None:
    """Django's ASGI runs such a generator before it sends anything."""
    since = len(site.log())
    if at == "/django/asgi":
        assert client.get(f"{at}/breaks").status_code == 500
    else:
        with pytest.raises(httpx.RemoteProtocolError):
            client.get(f"{at}/breaks")
    site.wait_log("RuntimeError: in the middle", since)


@pytest.mark.parametrize("kind", ["slow", "async-slow"])
def test_a_stream_whose_client_goes(
    client: httpx.Client, at: str, kind: str
) -> None:
    if (at, kind) in [
        ("/django/asgi", "slow"),
        ("/django/wsgi", "async-slow"),
    ]:
        pytest.skip("Django takes an endless one of this kind as a whole")
    by = at[-4:]
    with client.stream("GET", f"{at}/{kind}?by={by}") as answer:
        assert next(answer.iter_raw()) == b"part\n"
    wait_seen(client, at, f"{kind}-closed-{by}")


def test_a_view_whose_client_goes(site: Web, client: httpx.Client) -> None:
    with site.connect() as sock:
        sock.sendall(
            b"GET /django/asgi/waits HTTP/1.1\r\nHost: site.test\r\n\r\n"
        )
        wait_seen(client, "/django/asgi", "waits")
    wait_seen(client, "/django/asgi", "cancelled")
