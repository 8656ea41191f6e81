# SPDX-License-Identifier: BSD-2-Clause
"""wsgi.input; each application is in apps/inputs.py."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from ..client import eventually, until_end
from ..web import parse
from .site import Site, request

SITE = {
    "app": "inputs:application",
    "threads": 2,
    "server": """
        location /valid { python_pass inputs:valid wsgi; }
        location /unbuffered/ {
            rewrite ^/unbuffered(/.*) $1 break;
            python_request_buffering off;
            python_pass inputs:application wsgi;
        }
    """,
}

LINES = b"one\ntwo\n\nthree"


def post(site: Site, path: str, body: bytes, **more: Any) -> Any:
    answer = site.ask(path, method="POST", body=body, **more)
    assert answer.status == 200, answer
    return json.loads(answer.body)


both = pytest.mark.parametrize("chunked", [False, True])
ways = pytest.mark.parametrize("base", ["", "/unbuffered"])


@pytest.mark.valgrind
@both
@ways
@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("read", "one\ntwo\n\nthree"),
        ("sized?size=6", ["one\ntw", "o\n\nthr", "ee"]),
        ("zero", ["", "one\ntwo\n\nthree", ""]),
        ("readline", ["one\n", "two\n", "\n", "three"]),
        ("readline?size=3", ["one", "\n", "two", "\n", "\n", "thr", "ee"]),
        ("readline?size=4", ["one\n", "two\n", "\n", "thre", "e"]),
        ("readlines", [["one\n", "two\n", "\n", "three"], ""]),
        ("readlines?size=5", [["one\n", "two\n"], "\nthree"]),
        ("iterate", ["one\n", "two\n", "\n", "three"]),
        ("mixed", ["on", "e\n", "t", "wo\n", "\nth", "ree"]),
        ("readinto?size=6", ["one\ntw", "o\n\nthr", "ee"]),
        ("wrapped", ["one\n", "two\n", "\n", "three"]),
        ("unread", "unread"),
        ("some?size=2", "on"),
    ],
)
def test_ways_to_read(
    site: Site, base: str, path: str, found: Any, chunked: bool
) -> None:
    assert post(site, f"{base}/{path}", LINES, chunked=chunked) == found


@both
@ways
def test_nothing(site: Site, base: str, chunked: bool) -> None:
    for path, found in [
        ("read", ""),
        ("sized?size=6", []),
        ("readline", []),
        ("readlines", [[], ""]),
        ("iterate", []),
        ("wrapped", []),
    ]:
        assert post(site, f"{base}/{path}", b"", chunked=chunked) == found
    assert site.ask(f"{base}/read").body == b'""'


@ways
def test_lines_across_parts(site: Site, base: str) -> None:
    line = b"x" * 100_000
    got = post(site, f"{base}/iterate", b"\n".join([line] * 5))
    assert [len(line) for line in got] == [100_001] * 4 + [100_000]


@both
@ways
def test_100_mb(site: Site, base: str, chunked: bool) -> None:
    data = bytes(range(256)) * (100_000_000 // 256)
    got = post(site, f"{base}/digest?size=65536", data, chunked=chunked)
    assert got == [len(data), hashlib.sha256(data).hexdigest()]


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Length: 3\r\nContent-Length: 4",
        b"Content-Length: 3\r\nContent-Length: 3",
        b"Content-Length: 3\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nContent-Length: 3",
        b"Content-Length: -3",
        b"Content-Length: 3, 3",
    ],
)
@ways
def test_lengths_that_smuggle(site: Site, base: str, fields: bytes) -> None:
    """nginx refuses them before the application sees anything."""
    line = f"POST {base}/read HTTP/1.1\r\nHost: x\r\n".encode()
    data = site.raw(line + fields + b"\r\n\r\nabc0\r\n\r\n")
    assert parse(data).status == 400
    assert data.count(b"HTTP/1.1 ") == 1


@ways
def test_the_rest_of_a_large_body_is_not_read(site: Site, base: str) -> None:
    data = b"x" * 5_000_000
    with site.connect() as sock:
        try:
            sock.sendall(request(f"{base}/some?size=10", "POST", data))
        except ConnectionError:
            assert base
        assert b"200 OK" in until_end(sock)


def test_wsgiref_is_content(site: Site) -> None:
    answer = site.ask("/valid", method="POST", body=b"abcde\nf\ng\nh")
    assert answer.text == "abc|de\n|f\n|g\n|h"


@pytest.mark.valgrind
def test_an_upload_that_breaks_off(site: Site) -> None:
    for _ in range(4):  # more than there are threads
        with site.connect() as sock:
            sock.sendall(
                b"POST /unbuffered/read HTTP/1.1\r\nHost: x\r\n"
                b"Content-Length: 100\r\n\r\nbegun"
            )
            eventually(lambda: site.ask("/unread").status == 200)
        said = site.prefix / "oserror"
        eventually(said.exists, "the application's OSError")
        assert "BrokenPipeError" in eventually(said.read_text)
        said.unlink()
    assert post(site, "/read", b"after") == "after"


def test_chunks_that_break_off(site: Site) -> None:
    said = site.prefix / "oserror"
    begun = site.prefix / "begun"
    begun.unlink(missing_ok=True)
    with site.connect() as sock:
        sock.sendall(
            b"POST /unbuffered/read HTTP/1.1\r\nHost: x\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\n"
        )
        eventually(begun.exists)
        sock.sendall(b"nonsense\r\n")
        assert until_end(sock).startswith(b"HTTP/1.1 400 ")
    eventually(said.exists, "the application's OSError")
    said.unlink()


def test_an_upload_that_breaks_off_has_no_application() -> None:
    with Site(
        "inputs:application", location="python_request_buffering on;"
    ) as site:
        with site.connect() as sock:
            sock.sendall(
                b"POST /read HTTP/1.1\r\nHost: x\r\n"
                b"Content-Length: 100\r\n\r\nbegun"
            )
        site.wait_log("prematurely closed connection")
        assert post(site, "/read", b"after") == "after"
        assert not (site.prefix / "oserror").exists()
