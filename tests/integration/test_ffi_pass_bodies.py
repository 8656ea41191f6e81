# SPDX-License-Identifier: BSD-2-Clause
"""ffi_pass: bodies both ways, who waits for whom, and who goes."""

from __future__ import annotations

import contextlib
import random
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from .checker import SLOWNESS
from .client import eventually, until_end
from .web import Web, head, parse

pytestmark = pytest.mark.valgrind

SERVER = """
location /small {
    client_body_buffer_size 1k;
    ffi_stream_buffer 4k;
    ffi_pass webprobe;
}
location /slow { client_body_timeout 200ms; ffi_pass webprobe; }
location /stalled { send_timeout 200ms; ffi_pass webprobe; }
location /limited { limit_rate 100k; ffi_pass webprobe; }
location /bounded { client_max_body_size 1k; ffi_pass webprobe; }
location /gzip {
    gzip on;
    gzip_min_length 1;
    gzip_types text/x;
    ffi_pass webprobe;
}
location /sub {
    sub_filter_types *;
    sub_filter_once off;
    sub_filter hello goodbye;
    ffi_pass webprobe;
}
location /ssi { ssi on; ssi_types *; ffi_pass webprobe; }
location /auth { auth_request /check; ffi_pass webprobe; }
location /check { internal; ffi_pass webprobe; }
location /mirrored { mirror /check; ffi_pass webprobe; }
location /later { error_page 502 = /app; ffi_pass webprobe; }
"""


def blob(size: int) -> bytes:
    return random.Random(size).randbytes(size)


# -- the request's body ------------------------------------------------------

SIZES = [0, 1, 100, 1023, 1024, 5_000, 100_000, 1_000_000]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("uri", ["/", "/small"])
@pytest.mark.parametrize("chunked", [False, True])
def test_echo(web: Web, size: int, uri: str, chunked: bool) -> None:
    data = blob(size)
    answer = web.do(
        "head=200;echo", uri, method="POST", body=data, chunked=chunked
    )
    assert answer.body == data


def test_a_body_with_the_head(web: Web) -> None:
    """It is there when the request is."""
    ask = head("head=200;dump;echo", "Content-Length: 4\r\nConnection: close")
    answer = web.raw(ask + b"body")
    assert b"has_parts=1" in answer
    assert b"body\r\n" in answer


def test_parts_as_they_arrive(web: Web) -> None:
    with web.open("head=200;echo", "Content-Length: 9") as sock:
        for word in (b"one", b"two", b"six"):
            sock.sendall(word)
            data = b""
            while word not in data:
                data += sock.recv(1000)


def test_expect_100(web: Web) -> None:
    more = "Content-Length: 4\r\nExpect: 100-continue\r\nConnection: close"
    with web.open("head=200;echo", more) as sock:
        assert sock.recv(100).startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
        sock.sendall(b"body")
        assert b"\r\nbody\r\n" in until_end(sock)


def test_an_answer_before_the_end_of_the_body(web: Web) -> None:
    """The connection ends; what is left of the body is no request."""
    with web.open("head=200;part=done", "Content-Length: 10000000") as sock:
        with contextlib.suppress(OSError):
            for _ in range(100):
                sock.sendall(b"x" * 100_000)
        assert b"done" in until_end(sock)


@pytest.mark.parametrize("do", ["gone", "head=200;read;gone", "head=200;gone"])
def test_a_body_that_nobody_reads(web: Web, do: str) -> None:
    """Its client has to wait, and nginx keeps little."""
    before = web.counts()["gone"]
    more = "Content-Length: 100000000"
    with web.open(do, more) as sock:
        taken = fill(sock)
        spent = web.cpu()
        assert 64_000 < taken < 8_000_000
        time.sleep(0.1)
        assert web.cpu() - spent < 0.1 * SLOWNESS
        assert web.counts()["live"] == 1
    eventually(lambda: web.counts()["gone"] == before + 1, "it is told")


def fill(sock: socket.socket) -> int:
    """Sends as much as is taken."""
    sock.settimeout(0.5 * SLOWNESS)
    taken = 0
    with contextlib.suppress(TimeoutError):
        while taken < 50_000_000:
            taken += sock.send(b"x" * 65536)
    return taken


def test_who_waits_may_take_longer_than_the_timeout(web: Web) -> None:
    """client_body_timeout is for clients that are slow."""
    answer = web.do(
        "head=200;sleep=600;body",
        "/slow",
        method="POST",
        body=blob(2_000_000),
    )
    assert answer.body == b"2000000"


def test_a_client_that_is_too_slow(web: Web) -> None:
    before = web.counts()["gone"]
    ask = head("body", "Content-Length: 9", "POST /slow HTTP/1.1")
    with web.connect() as sock:
        sock.sendall(ask + b"some")
        assert until_end(sock) == b""
    eventually(lambda: web.counts()["gone"] == before + 1, "it is told")
    eventually(lambda: "408 /slow" in web.accesses(), "it is logged")


@pytest.mark.parametrize("do", ["body", "head=200;body", "head=200;echo"])
def test_a_client_that_goes_in_its_body(web: Web, do: str) -> None:
    before = web.counts()["gone"]
    with web.open(do, "Content-Length: 100000") as sock:
        sock.sendall(b"x" * 1000)
        eventually(lambda: web.counts()["live"] == 1, "it is there")
    eventually(lambda: web.counts()["gone"] == before + 1, "it is told")


def test_chunks_that_are_none(web: Web) -> None:
    ask = head("body", "Transfer-Encoding: chunked")
    answer = web.raw(ask + b"3\r\nabc\r\nxyz")
    assert b" 400 " in answer.splitlines()[0]


def test_more_than_a_body_may_have(web: Web) -> None:
    assert (
        web.do("body", "/bounded", method="POST", body="x" * 2000).status
        == 413
    )
    ask = head("body", "Transfer-Encoding: chunked", "POST /bounded HTTP/1.1")
    answer = web.raw(ask + b"1000\r\n" + b"x" * 0x1000 + b"\r\n")
    assert b" 413 " in answer.splitlines()[0]


def test_requests_in_a_pipeline(web: Web) -> None:
    asks = []
    for n in range(20):
        body = b"%d" % n * 50
        more = f"Content-Length: {len(body)}"
        if n == 19:
            more += "\r\nConnection: close"
        asks.append(head(f"head=200;echo;part=<{n}>", more) + body)
    answer = web.raw(*asks)
    assert answer.count(b"HTTP/1.1 200 OK") == 20
    found = [answer.index(b"<%d>" % n) for n in range(20)]
    assert found == sorted(found)


# -- the answer's body -------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 1000, 65_536, 300_000, 5_000_000])
def test_fill(web: Web, size: int) -> None:
    assert web.do(f"head=200;fill={size}").body == b"x" * size


@pytest.mark.parametrize("size", [0, 1, 1000, 65_536, 5_000_000])
def test_one_part(web: Web, size: int) -> None:
    answer = web.do(f"head=200;ref={size};end=0,.")
    assert answer.body == b"y" * size + b"."


def test_parts_come_at_once(web: Web) -> None:
    with web.open("head=200;part=first;gone") as sock:
        data = b""
        while b"first" not in data:
            data += sock.recv(1000)


def test_the_head_comes_with_the_first_part(web: Web) -> None:
    with web.open("head=200;sleep=50;part=first;gone") as sock:
        data = b""
        while b"first" not in data:
            data += sock.recv(1000)
        assert data.startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_client_that_does_not_read(web: Web) -> None:
    """What is on its way is bounded."""
    before = web.counts()
    with web.open("head=200;endless"):
        eventually(lambda: web.counts()["unreleased"] > 10, "it is full")
        spent = web.cpu()
        for _ in range(10):
            assert web.counts()["unreleased"] < 80
            time.sleep(0.02)
        assert web.cpu() - spent < 0.3 * SLOWNESS
    eventually(lambda: web.counts()["gone"] > before["gone"], "it is told")


def test_a_client_that_reads_too_slowly(web: Web) -> None:
    before = web.counts()["gone"]
    ask = head("head=200;endless", line="GET /stalled HTTP/1.1")
    with web.connect() as sock:
        sock.sendall(ask)
        eventually(lambda: web.counts()["gone"] == before + 1, "it is told")


def test_a_client_that_reads_slowly(web: Web) -> None:
    size = 1_000_000
    with web.open(f"head=200;fill={size}", "Connection: close") as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        data = bytearray()
        while piece := sock.recv(20_000):
            data += piece
            time.sleep(0.001)
    assert parse(bytes(data)).body == b"x" * size


def test_limit_rate(web: Web) -> None:
    start = time.monotonic()
    size = 150_000
    answer = web.do(f"head=200;fill={size}", "/limited")
    assert answer.body == b"x" * size
    assert time.monotonic() - start > 0.4


@pytest.mark.parametrize(
    "do", ["gone", "head=200;gone", "head=200;part=x;gone", "head=200;endless"]
)
def test_a_client_that_goes(web: Web, do: str) -> None:
    before = web.counts()["gone"]
    lines = len(web.accesses())
    with web.open(do):
        eventually(lambda: web.counts()["live"] == 1, "it is there")
    eventually(lambda: web.counts()["gone"] == before + 1, "it is told")
    if do == "gone":
        eventually(
            lambda: any(line == "499 /" for line in web.accesses()[lines:]),
            "it is logged",
        )


def test_many_at_once(web: Web) -> None:
    def ask(n: int) -> bool:
        data = blob(n * 997 % 200_000)
        sleep = f"sleep={n % 7};" if n % 3 else ""
        do = f"head=200;{sleep}echo;part=<{n}>"
        answer = web.do(do, method="POST", body=data)
        return answer.body == data + b"<%d>" % n

    with ThreadPoolExecutor(20) as pool:
        assert all(pool.map(ask, range(200 // SLOWNESS)))


# -- beside other modules ----------------------------------------------------


def curl(web: Web, *arguments: str) -> bytes:
    command = ["curl", "-sS", "--unix-socket", str(web.prefix / "h2.sock")]
    command += ["--http2-prior-knowledge", "--max-time", "60", *arguments]
    return subprocess.run(command, capture_output=True, check=True).stdout


def test_http_2(web: Web) -> None:
    text = curl(web, "http://x/a?b", "-H", "do: head=200;dump").decode()
    assert "protocol=2\n" in text
    assert "- host=x\n" in text
    assert "path=/a\nraw_path=/a\nquery=b" in text


@pytest.mark.parametrize("uri", ["/", "/small"])
@pytest.mark.parametrize("size", SIZES)
def test_echo_by_http_2(web: Web, size: int, uri: str) -> None:
    data = blob(size)
    path = web.prefix / "body.bin"
    path.write_bytes(data)
    post = ["--data-binary", f"@{path}", "-H", "do: head=200;echo"]
    assert curl(web, f"http://x{uri}", *post) == data


def test_an_error_by_http_2(web: Web) -> None:
    """The stream is reset."""
    since = len(web.log())
    with pytest.raises(subprocess.CalledProcessError) as error:
        curl(web, "http://x/", "-H", "do: head=200;part=some;sleep=50;end=3")
    assert error.value.returncode == 92
    web.wait_log("has failed with status 3", since)


def test_a_stream_of_http_2_that_is_reset(web: Web) -> None:
    before = web.counts()["gone"]
    do = ["-H", "do: head=200;gone", "--max-time", "1"]
    with pytest.raises(subprocess.CalledProcessError):
        curl(web, "http://x/", *do)
    eventually(lambda: web.counts()["gone"] == before + 1, "it is told")


def test_gzip(web: Web) -> None:
    accept = {"Accept-Encoding": "gzip"}
    answer = web.do(
        "head=200,Content-Type:text/x;fill=100000", "/gzip", headers=accept
    )
    assert answer.headers["Content-Encoding"] == "gzip"
    assert len(answer.body) < 10_000
    do = "head=200,Content-Type:text/x,Content-Encoding:br;part=abc"
    answer = web.do(do, "/gzip", headers=accept)
    assert answer.headers["Content-Encoding"] == "br"
    assert answer.body == b"abc"


def test_sub_filter(web: Web) -> None:
    do = "head=200,Content-Type:text/x;part=hel;sleep=20;part=lo;ref=100000"
    assert web.text(do, "/sub") == "goodbye" + "y" * 100_000


def test_includes(web: Web) -> None:
    tag = '<!--# include virtual="/inner" -->'.replace('"', "%22")
    do = f"head=200;part=[;part={tag};part=]"
    text = web.text(do, "/ssi", method="GET")
    # the inner one does the same, with its tag as it is
    assert text == '[[<!--# include virtual="/inner" -->]]'


def test_an_application_that_permits(web: Web) -> None:
    assert web.text("head=200;part=yes", "/auth") == "yes"
    assert web.do("head=403;part=no", "/auth").status == 403
    do = "head=401,WWW-Authenticate:Basic;part=no"
    answer = web.do(do, "/auth")
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == "Basic"


def test_an_application_that_permits_a_body(web: Web) -> None:
    do = "head=200;dump;echo"
    text = web.text(do, "/auth", method="POST", body=b"the body")
    assert text.endswith("the body")
    assert text.count("content-length") == 1


def test_mirror(web: Web) -> None:
    before = web.counts()["requests"]
    do = "head=200;echo"
    assert web.text(do, "/mirrored", method="POST", body="abc") == "abc"
    # this one, and the one that counts
    eventually(lambda: web.counts()["requests"] >= before + 3, "a copy")


def test_a_redirect_after_some_of_the_body(web: Web) -> None:
    """The second one does not get what the first one has had."""
    since = len(web.log())
    with web.connect() as sock:
        sock.sendall(
            head("read;end=3", "Content-Length: 9", "POST /later HTTP/1.1")
            + b"some"
        )
        answer = until_end(sock)
    assert b" 502 " in answer.splitlines()[0]
    assert web.count_log("has failed with status 3", since) == 2
