# SPDX-License-Identifier: BSD-2-Clause
"""wsgi.file_wrapper; each file is opened in apps/files.py."""

from __future__ import annotations

import gzip
import os
from http.client import IncompleteRead
from pathlib import Path

import pytest

from ..client import eventually, until_end
from ..web import parse
from .site import Site, request

SITE = {"app": "files:application", "http": "sendfile on;", "threads": 2}

SIZES = [0, 1, 65535, 65536, 1_000_003]
LARGE = b"0123456789abcdef" * 62_500


@pytest.fixture
def put(site: Site) -> Path:
    """The file, of LARGE."""
    path = site.prefix / "file"
    path.write_bytes(LARGE)
    (site.prefix / "file.gz").write_bytes(gzip.compress(LARGE))
    return path


def descriptors(site: Site) -> int:
    """Those of nginx, and those of Python's threads."""
    pid = site.worker()
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return len(os.listdir(f"/proc/{pid}/fd")) + max(
        len(list((task / "fd").iterdir())) for task in tasks
    )


@pytest.mark.valgrind
@pytest.mark.parametrize("kind", ["buffered", "raw", "both"])
def test_sizes(site: Site, put: Path, kind: str) -> None:
    for size in SIZES:
        put.write_bytes(LARGE[:size].ljust(size, b"x"))
        answer = site.ask(f"/{kind}")
        assert answer.body == put.read_bytes()
        assert answer.headers["Content-Length"] == str(size)


@pytest.mark.valgrind
@pytest.mark.parametrize(
    "kind", ["memory", "closing", "temporary", "spooled", "gzip"]
)
def test_others(site: Site, put: Path, kind: str) -> None:
    assert site.ask(f"/{kind}").body == LARGE
    assert site.ask(f"/{kind}?block=1000").body == LARGE


def test_what_changes_its_bytes_is_read(site: Site, put: Path) -> None:
    assert site.ask("/counted").body == LARGE.upper()


def test_what_is_no_file_is_read(site: Site, put: Path) -> None:
    assert site.ask("/socket").body == LARGE[:1000]


@pytest.mark.parametrize("kind", ["buffered", "raw", "memory", "temporary"])
@pytest.mark.parametrize("how", ["at=123457", "read=123457"])
def test_from_its_position_on(
    site: Site, put: Path, kind: str, how: str
) -> None:
    assert site.ask(f"/{kind}?{how}").body == LARGE[123457:]


@pytest.mark.parametrize("kind", ["buffered", "raw", "memory"])
def test_behind_its_end(site: Site, put: Path, kind: str) -> None:
    assert site.ask(f"/{kind}?at=2000000").body == b""


@pytest.mark.parametrize("kind", ["buffered", "memory"])
@pytest.mark.parametrize("length", [0, 10, 65536, 999_999, 1_000_000])
def test_content_length_is_a_bound(
    site: Site, put: Path, kind: str, length: int
) -> None:
    assert site.ask(f"/{kind}?length={length}").body == LARGE[:length]


@pytest.mark.parametrize("kind", ["buffered", "memory"])
@pytest.mark.parametrize("at", [0, 999_999])
def test_less_than_content_length(
    site: Site, put: Path, kind: str, at: int
) -> None:
    with pytest.raises(IncompleteRead):
        site.ask(f"/{kind}?length=1000001&at={at}")


@pytest.mark.parametrize("kind", ["buffered", "raw"])
def test_head(site: Site, put: Path, kind: str) -> None:
    answer = site.ask(f"/{kind}", method="HEAD")
    assert answer.headers["Content-Length"] == str(len(LARGE))


def test_behind_what_was_written(site: Site, put: Path) -> None:
    assert site.ask("/buffered?write=abc").body == b"abc" + LARGE


def test_304(site: Site, put: Path) -> None:
    answer = site.ask("/buffered?status=304+Not+Modified")
    assert (answer.status, answer.body) == (304, b"")


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("text", "is str, not bytes"),
        ("written", "UnsupportedOperation"),
        ("buffered?closed=1", "ValueError"),
    ],
)
def test_what_cannot_be_read(
    site: Site, put: Path, path: str, what: str
) -> None:
    since = len(site.log())
    assert site.ask(f"/{path}").status == 500
    site.wait_log(what, since)


def test_closed(site: Site, put: Path) -> None:
    site.ask("/closed")
    assert site.ask("/closing").status == 200
    assert site.ask("/closed").text == "closing"


def test_no_descriptor_stays(site: Site, put: Path) -> None:
    def ask() -> None:
        for kind in ["buffered", "raw", "temporary"]:
            assert site.ask(f"/{kind}").body == LARGE
        with site.connect() as sock:
            sock.sendall(request("/buffered"))
            assert sock.recv(1000)

    ask()
    before = descriptors(site)
    for _ in range(20):
        ask()
    eventually(lambda: descriptors(site) <= before, "they are closed")


def test_one_that_is_cut_while_it_is_sent(site: Site, put: Path) -> None:
    with put.open("wb") as file:
        file.truncate(200_000_000)
    since = len(site.log())
    site.allow_log("sendfile\\(\\) reported that .* was truncated")
    with site.connect() as sock:
        sock.sendall(request("/buffered"))
        first = sock.recv(1000)
        os.truncate(put, 1000)
        rest = until_end(sock)
    with pytest.raises(IncompleteRead):
        parse(first + rest)
    site.wait_log("truncated|failed|reported that", since)
    assert site.ask("/ping").status == 200


def test_a_slow_reader_of_a_large_file_holds_no_thread(
    site: Site, put: Path
) -> None:
    with put.open("wb") as file:
        file.truncate(200_000_000)
    socks = [site.connect() for _ in range(10)]
    for sock in socks:
        sock.sendall(request("/buffered"))
        assert sock.recv(1000)
    put.unlink()
    put.write_bytes(LARGE)
    for _ in range(5):
        assert site.ask("/memory").body == LARGE
    for sock in socks:
        sock.close()


def test_wsgiref_is_content(put: Path, site: Site) -> None:
    with Site("files:valid") as other:
        (other.prefix / "file").write_bytes(LARGE)
        assert other.ask("/buffered").body == LARGE
