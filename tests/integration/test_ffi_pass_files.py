# SPDX-License-Identifier: BSD-2-Clause
"""ffi_pass: parts of an answer that are ranges of files."""

from __future__ import annotations

import errno
import functools
import gzip
import os
import random
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from .checker import SLOWNESS
from .client import Response, eventually, until_end
from .web import Web, head

pytestmark = pytest.mark.valgrind

HTTP = "sendfile on;"

# a runtime of each kind: its threads share nginx's descriptors, or do not
SERVER = """
location /shared {
    ffi_pass webprobe;
    location /shared/read { sendfile off; ffi_pass webprobe; }
    location /shared/gzip {
        gzip on; gzip_min_length 1; gzip_types text/x; ffi_pass webprobe;
    }
    location /shared/small { ffi_stream_buffer 1k; ffi_pass webprobe; }
    location /shared/slow { limit_rate 200k; ffi_pass webprobe; }
}
location /parted {
    ffi_pass webprobe parted;
    location /parted/read { sendfile off; ffi_pass webprobe parted; }
    location /parted/gzip {
        gzip on; gzip_min_length 1; gzip_types text/x;
        ffi_pass webprobe parted;
    }
    location /parted/small {
        ffi_stream_buffer 1k; ffi_pass webprobe parted;
    }
    location /parted/slow { limit_rate 200k; ffi_pass webprobe parted; }
}
"""

KINDS = ["/shared", "/parted"]
SIZE = 3_000_000


@pytest.fixture(scope="module")
def shared(libs: Path) -> Iterator[Web]:
    with Web(libs, http=HTTP, server=SERVER) as web:
        path(web).write_bytes(blob(SIZE))
        path(web).chmod(0o644)
        for kind in KINDS:
            web.text("head=200;part=x", kind)
        yield web


@pytest.fixture
def web(shared: Web) -> Iterator[Web]:
    """No descriptor is left open."""
    before = fds(shared)
    with shared.watch():
        yield shared

        def quiet() -> bool:
            return shared.counts()["live"] == 0 and fds(shared) == before

        eventually(quiet, f"as many descriptors as before: {before}")


def fds(web: Web) -> list[int]:
    """Of nginx, and of threads that have parted from it."""
    text = web.text("head=200;fds", "/parted")
    return [len(os.listdir(f"/proc/{web.worker()}/fd")), int(text)]


@functools.cache
def blob(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def path(web: Web) -> Path:
    return web.prefix / "some file"


def file(web: Web, offset: int, length: int, more: str = "") -> str:
    return f"file={path(web)},{offset},{length}{more}".replace(" ", "%20")


def get(web: Web, do: str, uri: str) -> Response:
    return web.do(f"head=200,Content-Type:text/x;{do}", uri)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["", "/read", "/gzip", "/small"])
def uri(kind: str, request: pytest.FixtureRequest) -> str:
    return kind + str(request.param)


@pytest.mark.parametrize(
    ("offset", "length"),
    [(0, SIZE), (0, 1), (1, 1), (SIZE - 1, 1), (100, 70_000), (5, 0)],
)
def test_a_file(web: Web, uri: str, offset: int, length: int) -> None:
    answer = get(web, file(web, offset, length), uri)
    assert answer.body == blob(SIZE)[offset : offset + length]


def test_between_other_parts(web: Web, uri: str) -> None:
    do = (
        f"part=<;{file(web, 10, 20_000)};part=|;{file(web, 0, 3)}"
        f";sleep=20;{file(web, 7, 1)};fill=2000;end=0,>"
    )
    data = blob(SIZE)
    want = b"<" + data[10:20_010] + b"|" + data[:3] + data[7:8]
    assert get(web, do, uri).body == want + b"x" * 2000 + b">"


def test_with_gzip(web: Web, kind: str) -> None:
    answer = web.do(
        f"head=200,Content-Type:text/x;{file(web, 0, SIZE)}",
        f"{kind}/gzip",
        headers={"Accept-Encoding": "gzip"},
    )
    assert answer.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(answer.body) == blob(SIZE)


def test_by_http_2(web: Web, uri: str) -> None:
    do = f"head=200,Content-Length:{SIZE + 1};{file(web, 0, SIZE)};part=x"
    command = ["curl", "-sS", "--http2-prior-knowledge", "--max-time", "60"]
    command += ["--unix-socket", str(web.prefix / "h2.sock")]
    command += ["-H", f"do: {do}", f"http://x{uri}"]
    run = subprocess.run(command, capture_output=True, check=True)
    assert run.stdout == blob(SIZE) + b"x"


def test_content_length(web: Web, kind: str) -> None:
    do = f"head=200,Content-Length:1000;{file(web, 5, 1000)}"
    raw = web.raw(
        head(do, line=f"GET {kind} HTTP/1.1"),
        head("head=200;part=next", "Connection: close"),
    )
    assert blob(SIZE)[5:1005] + b"HTTP/1.1 200 OK" in raw
    assert b"next" in raw


@pytest.mark.parametrize("length", [999, 1001])
def test_a_wrong_content_length(web: Web, kind: str, length: int) -> None:
    since = len(web.log())
    do = f"head=200,Content-Length:{length};{file(web, 5, 1000)}"
    web.raw(head(do, line=f"GET {kind} HTTP/1.1"))
    web.wait_log('"webprobe" has sent 1000 bytes', since)


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_no_body_is_wanted(web: Web, kind: str, method: str) -> None:
    status = 200 if method == "HEAD" else 304
    do = f"head={status};{file(web, 0, SIZE)};{file(web, 0, SIZE)}"
    raw = web.raw(
        head(do, line=f"{method} {kind} HTTP/1.1"),
        head("head=200;part=next", "Connection: close"),
    )
    assert raw.count(b"HTTP/1.1 ") == 2
    assert len(raw) < 1000


def test_no_answer_is_wanted(web: Web, kind: str) -> None:
    do = f"head=200,X-Accel-Redirect:/ping;{file(web, 0, SIZE)}"
    assert web.do(do, kind).body == b"pong"


@pytest.mark.parametrize("mode", ["w", "p", "|"])
def test_what_is_no_file(web: Web, kind: str, mode: str) -> None:
    do = f"head=200;{file(web, 0, 10, f',{mode}')};results"
    assert get(web, do, kind).text.endswith(f"0 {errno.EINVAL} ") or (
        web.text(do, kind) == f"0 {errno.EINVAL} "
    )


@pytest.mark.parametrize(
    "bad",
    [
        "file=/proc/self,0,10",
        "file=/nowhere,0,10",
        "file=/dev/null,0,10",
        "file={path},-1,10",
        "file={path},0,-1",
        "file={path},9223372036854775807,10",
    ],
)
def test_bad_ones(web: Web, kind: str, bad: str) -> None:
    do = bad.replace("{path}", str(path(web)).replace(" ", "%20"))
    assert web.text(f"head=200;{do};results", kind) == f"0 {errno.EINVAL} "


def test_before_the_head(web: Web, kind: str) -> None:
    do = f"{file(web, 0, 10)};head=200;results"
    assert web.text(do, kind) == f"{errno.EINVAL} 0 "


def test_many(web: Web, uri: str) -> None:
    """More than there is room for, and so never many at once."""
    do = file(web, 3, 5, ",r,500")
    assert get(web, do, uri).body == blob(SIZE)[3:8] * 500


def test_a_file_counts_as_little(web: Web, kind: str) -> None:
    """One that is large does not hold up what comes behind it."""
    do = f"head=200;{file(web, 0, SIZE)};fill=20000;{file(web, 0, SIZE)}"
    before = web.counts()
    with web.connect() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.sendall(head(do, "Connection: close", f"GET {kind} HTTP/1.1"))
        eventually(lambda: web.counts()["live"] == 0, "it has ended")
        assert web.counts()["requests"] > before["requests"]
        data = until_end(sock)
    assert data.endswith(b"\r\n0\r\n\r\n")
    assert len(data) > 2 * SIZE


def test_a_client_that_goes(web: Web, kind: str) -> None:
    do = f"head=200;{file(web, 0, SIZE, ',r,1000')}"
    before = web.counts()["gone"]
    with web.connect() as sock:
        sock.sendall(head(do, line=f"GET {kind} HTTP/1.1"))
        assert sock.recv(1000)
    eventually(lambda: web.counts()["gone"] == before + 1, "it is told")


@pytest.mark.parametrize("how", ["", "/read"])
@pytest.mark.parametrize("line", ["GET {} HTTP/1.1", "GET {} HTTP/1.0"])
def test_a_file_that_is_shorter(
    web: Web, kind: str, how: str, line: str
) -> None:
    """Nothing tells the client that this was all."""
    web.allow_log("was truncated|has less than|read only")
    since = len(web.log())
    before = web.counts()["gone"]
    do = f"head=200;{file(web, SIZE - 100, 200)};gone"
    try:
        raw = web.raw(head(do, line=line.format(kind + how)))
    except ConnectionResetError:
        raw = b""
    assert not raw.endswith(b"\r\n0\r\n\r\n")
    eventually(lambda: web.counts()["gone"] == before + 1, "it is told")
    assert web.count_log("some file", since) == 1


def test_a_file_is_closed_for_the_application(web: Web) -> None:
    """fd is taken over, in its threads' table, too."""
    before = fds(web)
    for _ in range(20):
        assert get(web, file(web, 0, 10), "/parted").body == blob(SIZE)[:10]
    eventually(lambda: fds(web) == before, "closed")


def test_a_file_that_is_gone(web: Web, kind: str) -> None:
    other = web.prefix / "other"
    other.write_bytes(b"z" * 100_000)
    other.chmod(0o644)
    with web.connect() as sock:
        do = f"head=200;file={other},0,100000"
        sock.sendall(
            head(do, "Connection: close", f"GET {kind}/slow HTTP/1.1")
        )
        data = sock.recv(1000)
        other.unlink()
        data += until_end(sock)
    assert data.count(b"z") == 100_000


def test_from_many_threads(web: Web, kind: str) -> None:
    """Each answer has its own file."""

    def ask(n: int) -> bool:
        do = f"head=200;{file(web, n, n * 100)};part=-;{file(web, n * 7, 9)}"
        body = web.do(do, kind).body
        data = blob(SIZE)
        return body == data[n : n * 101] + b"-" + data[n * 7 : n * 7 + 9]

    with ThreadPoolExecutor(20) as pool:
        assert all(pool.map(ask, range(1, 300 // SLOWNESS)))


@pytest.mark.skipif(SLOWNESS > 1, reason="valgrind has more open itself")
@pytest.mark.parametrize("count", [40])
def test_no_descriptors_are_left(libs: Path, count: int) -> None:
    """Then it fails, and others are served."""
    conf = f"worker_rlimit_nofile {count};"
    with Web(libs, main=conf, server=SERVER) as web:
        path(web).write_bytes(blob(SIZE))
        path(web).chmod(0o644)
        web.allow_log("got lost on its way|Too many open files|accept4")
        socks = []
        do = f"head=200;{file(web, 0, SIZE)};never"
        for _ in range(count):
            sock = web.connect()
            socks.append(sock)
            sock.settimeout(0.3)
            sock.sendall(head(do, line="GET /parted HTTP/1.1"))
        for sock in socks:
            sock.close()
        eventually(lambda: web.counts()["live"] == 0, "all are told")
        answer = get(web, file(web, 0, 100), "/parted")
        assert answer.body == blob(SIZE)[:100]
