# SPDX-License-Identifier: BSD-2-Clause
"""The extensions of http.response: pathsend, trailers, early_hint."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

import pytest

from ..client import eventually
from .site import HAS_HINTS, Site


@pytest.mark.valgrind
@pytest.mark.parametrize("size", [0, 1, 5_000_000])
def test_path(site: Site, tmp_path: Path, size: int) -> None:
    file = tmp_path / "file"
    data = os.urandom(size)
    file.write_bytes(data)
    assert site.ask(f"/path-send?{file}").body == data
    assert site.ask(f"/path-send?{file}", "HEAD").body == b""


def test_many_paths(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "file"
    data = os.urandom(1000)
    file.write_bytes(data)
    request = f"GET /path-send?{file} HTTP/1.0\r\n\r\n".encode()
    before = descriptors(site)
    socks = [site.connect() for _ in range(300)]
    for sock in socks:
        sock.sendall(request)
    for sock in socks:
        answer = b""
        while piece := sock.recv(65536):
            answer += piece
        assert answer.endswith(data)
        sock.close()
    eventually(lambda: descriptors(site) <= before + 5)


def descriptors(site: Site) -> int:
    """Of nginx, and of Python, whose threads share a table of their own."""
    counts = {"nginx": 0, "python": 0}
    for thread in Path(f"/proc/{site.worker()}/task").iterdir():
        with contextlib.suppress(FileNotFoundError):  # it has ended
            name = (thread / "comm").read_text().strip()
            whose = "nginx" if name == "nginx" else "python"
            number = len(list((thread / "fd").iterdir()))
            counts[whose] = max(counts[whose], number)
    return sum(counts.values())


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/no/such/file", "FileNotFoundError"),
        ("relative", "ValueError: 'relative' of .* is relative"),
        ("/tmp", "ValueError: '/tmp' is no regular file"),
        ("/dev/null", "ValueError: '/dev/null' is no regular file"),
    ],
)
def test_wrong_paths(site: Site, path: str, error: str) -> None:
    assert site.ask(f"/path-send?{path},{path}").status == 500
    (found,) = site.notes(path)
    assert re.match(error, found), found


def test_path_twice(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * 1000)
    site.raw(f"GET /path-send?{file},twice HTTP/1.0\r\n\r\n".encode())
    assert "RuntimeError" in site.notes("twice")[-1]


@pytest.mark.valgrind
def test_trailers(site: Site, tmp_path: Path) -> None:
    raw = site.raw(b"GET /trailers? HTTP/1.1\r\nHost: x\r\n\r\n" + LAST)
    assert b"5\r\nwhole\r\n0\r\nX-Sum: 2\r\nx-sum: 3\r\n\r\nHTTP" in raw
    site.wait_notes("", "http.disconnect", "http.disconnect")
    raw = site.raw(b"GET /trailers?more HTTP/1.1\r\nHost: x\r\n\r\n" + LAST)
    assert b"0\r\nx-first: 1\r\nX-Sum: 2\r\nx-sum: 3\r\n\r\nHTTP" in raw
    raw = site.raw(b"GET /trailers?empty HTTP/1.1\r\nHost: x\r\n\r\n" + LAST)
    assert b"\r\n\r\n0\r\nX-Sum: 2\r\n" in raw
    # where there is no place for them
    raw = site.raw(b"GET /trailers?old HTTP/1.0\r\n\r\n")
    assert raw.endswith(b"\r\n\r\nwhole")
    file = tmp_path / "file"
    file.write_bytes(b"x" * 1000)
    uri = f"GET /path-send?{file},trailers HTTP/1.1\r\nHost: x\r\n\r\n"
    raw = site.raw(uri.encode() + LAST)
    assert b"x" * 1000 + b"\r\n0\r\nx-sum: 1\r\n\r\nHTTP" in raw


@pytest.mark.valgrind
def test_early_hints(site: Site) -> None:
    raw = site.raw(b"GET /hints? HTTP/1.1\r\nHost: x\r\n\r\n" + LAST)
    hints = b"".join(
        b"HTTP/1.1 103 Early Hints\r\n" + links + b"\r\n"
        for links in (
            b"link: </a.css>; rel=preload\r\nlink: </b>\r\n",
            b"link: </c>\r\n",
        )
    )
    assert raw.startswith(hints * HAS_HINTS + b"HTTP/1.1 200 OK\r\n")
    assert raw.count(b"link:") == 3 * HAS_HINTS
    assert b"5\r\nwhole\r\n0\r\n\r\nHTTP" in raw
    assert site.notes("")[-1] == str(HAS_HINTS)
    raw = site.raw(b"GET /hints? HTTP/1.0\r\n\r\n")
    assert raw.startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize(
    ("how", "error"),
    [("late", "RuntimeError: .*body' has to come"), ("newline", "ValueError")],
)
def test_wrong_hints(site: Site, how: str, error: str) -> None:
    since = len(site.log())
    assert site.ask(f"/hints?{how}").status == 500
    site.wait_log(error, since)


LAST = b"GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize("how", ["none", "body"])
def test_no_trailers_where_they_were_said(site: Site, how: str) -> None:
    since = len(site.log())
    uri = f"/trailers?{how}"
    raw = site.raw(f"GET {uri} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert not raw.endswith(b"0\r\n\r\n")
    site.wait_log("before its answer was complete|trailers' has to", since)
