# SPDX-License-Identifier: BSD-2-Clause
"""ffi_pass: connections that become a runtime's in C.

What Python makes of them is in websocket/.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from .client import PATIENCE, eventually, until_end
from .web import Web, head, parse

pytestmark = pytest.mark.valgrind

UPGRADE = "Upgrade: websocket\r\nConnection: Upgrade"
SERVER = 'location /ws { ffi_pass webprobe "upgrades"; }'
LINE = "GET /ws HTTP/1.1"
OPEN = "head=101,Sec-WebSocket-Accept:x,X-One:1"
FLAG = 1


@pytest.fixture(scope="module")
def shared(libs: Path) -> Iterator[Web]:
    with Web(libs, server=SERVER) as web:
        yield web


@pytest.fixture
def web(shared: Web) -> Iterator[Web]:
    with shared.watch():
        yield shared
        eventually(
            lambda: shared.text("head=200;counts", "/ws").split()[1] == "0",
            "all has ended",
        )


def upgrade(web: Web, do: str, more: bytes = b"") -> socket.socket:
    """The answer's head has been read."""
    sock = web.connect()
    sock.settimeout(PATIENCE)
    sock.sendall(head(do, UPGRADE, LINE) + more)
    found = b""
    while not found.endswith(b"\r\n\r\n"):
        found += sock.recv(1)
    status, *fields = found[:-4].split(b"\r\n")
    assert status == b"HTTP/1.1 101 Switching Protocols"
    for field in (
        b"Upgrade: websocket",
        b"Connection: upgrade",
        b"Sec-WebSocket-Accept: x",
        b"X-One: 1",
    ):
        assert fields.count(field) == 1, fields
    for name in (b"content-length", b"transfer-encoding"):
        assert not any(field.lower().startswith(name) for field in fields)
    return sock


def exactly(sock: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        more = sock.recv(size - len(found))
        assert more, found
        found += more
    return found


def test_bytes_go_both_ways(web: Web) -> None:
    """As they are, those that came with the head first."""
    with upgrade(web, f"{OPEN};echo;part=bye", b"\x00early\r\n") as sock:
        assert exactly(sock, 8) == b"\x00early\r\n"
        for size in (1, 100_000, 3):
            data = bytes(i % 251 for i in range(size))
            sock.sendall(data)
            assert exactly(sock, size) == data
        sock.shutdown(socket.SHUT_WR)
        assert until_end(sock) == b"bye"


def test_the_answer_ends_the_connection(web: Web) -> None:
    with upgrade(web, f"{OPEN};read;part=bye", b"x") as sock:
        assert until_end(sock) == b"bye"


def test_a_client_that_goes(web: Web) -> None:
    since = len(web.accesses())
    with upgrade(web, f"{OPEN};endless"):
        pass
    eventually(lambda: "101 /ws" in web.accesses()[since:], "it has ended")


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        (LINE, "Connection: close"),
        (LINE, "Upgrade: websocket\r\nConnection: close"),
        (LINE, "Upgrade: h2c\r\nConnection: upgrade, close"),
        ("POST /ws HTTP/1.1", f"{UPGRADE}, close"),
        ("GET /ws HTTP/1.0", UPGRADE),
        ("GET / HTTP/1.1", f"{UPGRADE}, close"),
    ],
    ids=["plain", "field", "other", "post", "1.0", "not-accepted"],
)
def test_requests_like_any_other(web: Web, line: str, fields: str) -> None:
    """A head of status 101 is refused there."""
    answer = parse(
        web.raw(head(f"{OPEN};head=200;flags;results", fields, line))
    )
    assert answer.status == 200
    flags, results = answer.body[:1], answer.body[1:].split()
    assert int(flags) & FLAG == 0
    assert int(results[0]) == errno.EINVAL


def test_it_may_be_refused(web: Web) -> None:
    """The answer is one like any other; and read has the end."""
    do = "head=403;body;flags;part=no %0a;results"
    more = f"{UPGRADE}, close"
    answer = parse(web.raw(head(do, more, LINE)))
    assert answer.status == 403
    assert answer.headers["Connection"] == "close"
    assert "Upgrade" not in answer.headers
    assert answer.body == b"0%dno \n0 0 0 0 " % FLAG


def test_it_is_told_that_the_worker_leaves(libs: Path) -> None:
    main = "worker_shutdown_timeout 1200ms;"
    with (
        Web(libs, main=main, server=SERVER) as web,
        upgrade(web, f"{OPEN};part=here;leaving;part=told") as sock,
    ):
        assert exactly(sock, 4) == b"here"
        web.reload()
        assert until_end(sock) == b"told"


def test_a_worker_that_ends_at_once(libs: Path) -> None:
    with (
        Web(libs, server=SERVER) as web,
        upgrade(web, f"{OPEN};part=here;leaving") as sock,
    ):
        assert exactly(sock, 4) == b"here"
        web.stop()
        assert until_end(sock) == b""
