# SPDX-License-Identifier: BSD-2-Clause
"""nginx reads a body before a thread is taken, unless nginx.conf says no."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from ..client import eventually, until_end
from .site import Site, request

SITE: dict[str, Any] = {
    "app": "either:wsgi",
    "server": """
        location /found { python_pass either:wsgi; }
        location /asgi { python_pass either:asgi; }
        location /off {
            python_request_buffering off;
            python_pass either:wsgi wsgi;
        }
        location /on {
            python_request_buffering on;
            python_pass either:asgi;
        }
    """,
}

BODY = b"x" * 100_000


@pytest.fixture
def begun(site: Site) -> Path:
    path = site.prefix / "begun"
    path.unlink(missing_ok=True)
    return path


def begin(site: Site, path: str) -> socket.socket:
    sock = site.connect()
    sock.sendall(request(path, "POST", BODY)[:-1])
    return sock


@pytest.mark.valgrind
@pytest.mark.parametrize("path", ["/", "/found", "/on"])
def test_whole(site: Site, begun: Path, path: str) -> None:
    with begin(site, path) as sock:
        # what comes later is answered before
        for _ in range(20):
            assert site.ask("/ping").status == 200
        assert not begun.exists()
        sock.sendall(b"x")
        assert b"200 OK" in until_end(sock)
    assert begun.exists()


@pytest.mark.parametrize("path", ["/off", "/asgi"])
def test_in_parts(site: Site, begun: Path, path: str) -> None:
    with begin(site, path) as sock:
        eventually(begun.exists, "the application has begun")
        sock.sendall(b"x")
        assert b"200 OK" in until_end(sock)


@pytest.mark.parametrize("path", ["/found", "/asgi"])
def test_whole_while_it_starts(path: str) -> None:
    with Site(**SITE) as site:
        wait = site.prefix / "wait"
        begun = site.prefix / "begun"
        wait.touch()
        site.reload()
        with begin(site, path) as sock:
            assert site.ask("/ping").status == 200
            wait.unlink()
            eventually(lambda: site.ask(path).status == 200)
            begun.unlink()
            for _ in range(20):
                assert site.ask("/ping").status == 200
            assert not begun.exists()
            sock.sendall(b"x")
            assert b"200 OK" in until_end(sock)


@pytest.mark.valgrind
@pytest.mark.parametrize("size", [0, 1, 10, 100_000])
def test_chunks_have_a_length(site: Site, size: int) -> None:
    answer = site.ask("/", method="POST", body=b"x" * size, chunked=True)
    assert answer.text == f"{size} None {size}"


def test_chunks_in_parts_have_none(site: Site, begun: Path) -> None:
    with site.connect() as sock:
        sock.sendall(
            b"POST /off HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
        )
        eventually(begun.exists)
        sock.sendall(b"0\r\n\r\n")
        assert until_end(sock).endswith(b"None chunked 3")


def test_a_body_in_a_file(site: Site) -> None:
    size = 30_000_000
    answer = site.ask("/", method="POST", body=b"x" * size)
    assert answer.text == f"{size} None {size}"


def test_100_slow_uploads_hold_no_thread() -> None:
    with Site("either:wsgi", threads=4) as site:
        socks = [begin(site, "/") for _ in range(100)]
        for _ in range(20):
            assert site.ask("/").text == "None None 0"
        for sock in socks:
            sock.sendall(b"x")
        for sock in socks:
            assert until_end(sock).endswith(b"100000 None 100000")
            sock.close()
