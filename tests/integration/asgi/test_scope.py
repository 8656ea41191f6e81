# SPDX-License-Identifier: BSD-2-Clause
"""What nginx's request is in ASGI's scope."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from ..http2 import Http2
from .site import Site, head, parse

SERVER = """

location /api/ { python_pass scopes:app root_path=/api; }
location = /api { python_pass scopes:app root_path=/api; }
location /old/ { rewrite ^/old/(.*)$ /new/$1?added=1; }
location /escaped/ { rewrite ^ "/an é+b%20?" break; python_pass scopes:app; }
location /internal/ { error_page 404 /shown; return 404; }
location /changes { python_pass scopes:changes; }
location /params {
    python_param DEBUG yes;
    python_param uri $uri;
    python_param empty "";
    python_pass scopes:changes;
}
location /real {
    set_real_ip_from unix:;
    real_ip_header X-Forwarded-For;
    python_pass scopes:app;
}
"""

EXTENSIONS: dict[str, Any] = {
    "http.response.pathsend": {},
    "http.response.trailers": {},
}


@pytest.fixture(scope="module")
def server() -> Iterator[Site]:
    with Site("scopes:app", server=SERVER) as site:
        yield site


def scope_of(site: Site, uri: str, **more: Any) -> dict[str, Any]:
    answer = site.ask(uri, **more)
    assert answer.status == 200, answer
    found = answer.json()
    assert isinstance(found, dict)
    return found


@pytest.mark.valgrind
def test_all_of_it(site: Site) -> None:
    fields = {"X-A": "1", "x-b": "caf\u00e9"}
    scope = scope_of(site, "/a/b?c=%41&d", method="PUT", headers=fields)
    assert scope == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "method": "PUT",
        "scheme": "http",
        "path": "/a/b",
        "raw_path": ["/a/b"],
        "query_string": ["c=%41&d"],
        "root_path": "",
        "headers": [
            [["host"], ["x"]],
            [["connection"], ["close"]],
            [["x-a"], ["1"]],
            [["x-b"], ["caf\u00e9"]],
        ],
        "client": None,
        "server": [str(site.socket), None],
        "extensions": EXTENSIONS,
    }


@pytest.mark.parametrize(
    ("uri", "path", "raw"),
    [
        ("/", "/", "/"),
        ("/a%2Fb", "/a/b", "/a%2Fb"),
        ("/a%20b+c", "/a b+c", "/a%20b+c"),
        ("/caf%C3%A9", "/caf\u00e9", "/caf%C3%A9"),
        ("/caf\u00e9", "/caf\ufffd", "/caf\u00e9"),
        ("/%FF%FE", "/\ufffd\ufffd", "/%FF%FE"),
        ("/%C3%28", "/\ufffd(", "/%C3%28"),
        ("//a///b", "/a/b", "//a///b"),
        ("/a/../b", "/b", "/a/../b"),
        ("/a/./b/.", "/a/b/", "/a/./b/."),
        ("/a/%2E%2E/b", "/b", "/a/%2E%2E/b"),
        ("/a%3Fb?c", "/a?b", "/a%3Fb"),
        ("/a%23b", "/a#b", "/a%23b"),
        ("/a%25b", "/a%b", "/a%25b"),
        ("/%0A%09", "/\n\t", "/%0A%09"),
        ("http://x/abs?q", "/abs", "/abs"),
        ("/old/x%20y", "/new/x y", "/new/x%20y"),
        ("/escaped/", "/an \u00e9+b%20", "/an%20%C3%A9+b%2520"),
        ("/internal/x", "/shown", "/shown"),
    ],
)
@pytest.mark.valgrind
def test_paths(site: Site, uri: str, path: str, raw: str) -> None:
    answer = site.ask(uri)
    scope = answer.json()
    assert scope["path"] == path
    assert scope["raw_path"] == [raw]


def test_query_of_a_rewrite(site: Site) -> None:
    assert scope_of(site, "/old/x?y=1")["query_string"] == ["added=1&y=1"]
    assert scope_of(site, "/a?")["query_string"] == [""]
    assert scope_of(site, "/a?%FF?x")["query_string"] == ["%FF?x"]


@pytest.mark.parametrize("uri", ["/%00", "/a%00b", "/%zz", "/../.."])
def test_paths_that_nginx_refuses(site: Site, uri: str) -> None:
    assert site.ask(uri).status == 400


def test_slashes_that_are_not_merged() -> None:
    with Site("scopes:app", server="merge_slashes off;") as site:
        scope = scope_of(site, "//a///b")
        assert scope["path"] == "//a///b"
        assert scope["raw_path"] == ["//a///b"]
        assert scope_of(site, "/a//../b")["path"] == "/a/b"


def test_root_path(site: Site) -> None:
    for uri in ("/api/users", "/api", "/api/", "/x/../api/y"):
        scope = scope_of(site, uri)
        assert scope["root_path"] == "/api"
        assert scope["path"].startswith("/api")
    assert scope_of(site, "/apis")["root_path"] == ""


@pytest.mark.valgrind
def test_scopes_share_nothing(site: Site) -> None:
    for count in range(3):
        scope = scope_of(site, "/changes")
        assert scope["asgi"]["version"] == "3.0"
        assert scope["extensions"] == EXTENSIONS
        assert [["host"], ["x"]] in scope["headers"]
        # the state is a copy, what is in it is not
        assert scope["state"] == {"shared": [1] * count}


@pytest.mark.valgrind
def test_params(site: Site) -> None:
    state = scope_of(site, "/params/x")["state"]
    assert state["params"] == {"DEBUG": "yes", "uri": "/params/x", "empty": ""}
    assert "shared" in state


def test_versions(site: Site) -> None:
    raw = site.raw(b"GET / HTTP/1.0\r\n\r\n")
    assert json.loads(parse(raw).body)["http_version"] == "1.0"
    client = Http2(site.prefix / "h2.sock")
    stream = client.get("/two?q=%20")
    client.read_all()
    client.close()
    scope = json.loads(stream.body)
    assert scope["http_version"] == "2"
    assert scope["path"] == "/two"
    assert [["host"], ["here"]] in scope["headers"]
    assert not any(name[0].startswith(":") for name, _ in scope["headers"])


@pytest.mark.valgrind
def test_addresses() -> None:
    """In turns: what was in the last scope is not in the next one."""
    listen = ""
    places = []
    for address in ("127.0.0.1", "127.0.0.1", "127.0.0.22"):
        with socket.socket() as free:
            free.bind((address, 0))
            places.append(free.getsockname())
        listen += "listen {}:{};".format(*places[-1])
    methods = ["GET", "POST", "GE", "PUT", "QUERY"]
    with Site("scopes:app", server=listen) as site:
        for turn in range(15):
            place, method = places[turn % 3], methods[turn % 5]
            with socket.socket() as sock:
                sock.connect(place)
                sock.sendall(head(f"/{turn}", method))
                data = b""
                while piece := sock.recv(65536):
                    data += piece
                scope = json.loads(parse(data).body)
                assert scope["server"] == list(place)
                assert scope["client"] == list(sock.getsockname())
                assert scope["method"] == method
            assert scope_of(site, "/")["server"][1] is None


def test_realip(site: Site) -> None:
    fields = {"X-Forwarded-For": "2001:db8::1"}
    scope = scope_of(site, "/real", headers=fields)
    assert scope["client"] == ["2001:db8::1", 0]


@pytest.mark.valgrind
def test_headers_of_all_kinds(site: Site) -> None:
    lines = [b"X-%d: %s" % (i, b"v" * i) for i in range(600)]
    long = b"x-" + b"n" * 300
    raw = b"\r\n".join(
        [
            *(b"GET / HTTP/1.1", b"Host: x", b"Connection: close"),
            *(b"Cookie: a=1", b"Cookie: b=2", b"X-Empty:", b"a_b: dropped"),
            *(long + b": \xff\xfe", *lines[:20], b"", b""),
        ]
    )
    for _ in range(2):
        headers = json.loads(parse(site.raw(raw)).body)["headers"]
        names = [name for (name,), _ in headers]
        assert names == [
            *("host", "connection", "cookie", "cookie", "x-empty"),
            *(long.decode(), *(f"x-{i}" for i in range(20))),
        ]
        assert [long.decode()] in [name for name, _ in headers]
        assert headers[5][1] == ["\xff\xfe"]
        assert headers[4][1] == [""]


def test_more_names_than_are_kept(site: Site) -> None:
    """Clients choose them."""
    for begin in range(0, 1000, 50):
        fields = {f"x-{begin + i}": str(i) for i in range(50)}
        headers = scope_of(site, "/", headers=fields)["headers"]
        assert headers[2:] == [[[n], [v]] for n, v in fields.items()]


def test_a_header_of_many_bytes() -> None:
    buffers = "large_client_header_buffers 4 128k;"
    with Site("scopes:app", http=buffers) as site:
        scope = scope_of(site, "/", headers={"x-long": "v" * 65_536})
        assert scope["headers"][-1] == [["x-long"], ["v" * 65_536]]
    with Site("scopes:app") as site:
        fields = {"x-long": "v" * 65_536}
        assert site.ask("/", headers=fields).status == 400
