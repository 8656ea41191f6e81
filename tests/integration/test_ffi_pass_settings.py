# SPDX-License-Identifier: BSD-2-Clause
"""ffi_pass: buffered requests, timeouts, and clients that may go."""

from __future__ import annotations

import contextlib
import random
import socket
import time

import pytest

from .checker import SLOWNESS
from .client import eventually, until_end
from .web import Web, head, parse

pytestmark = pytest.mark.valgrind

SERVER = """
location /buffered {
    client_body_buffer_size 1k;
    ffi_request_buffering on;
    ffi_stream_buffer 4k;
    ffi_pass webprobe;
    location /buffered/not { python_request_buffering off; ffi_pass webprobe; }
}
location /reading {
    ffi_read_timeout 400ms;
    ffi_pass webprobe;
}
location /reading_small {
    python_read_timeout 400ms;
    python_stream_buffer 4k;
    ffi_pass webprobe;
}
location /for_ever { ffi_read_timeout 0; ffi_pass webprobe; }
location /sending { send_timeout 60s; ffi_send_timeout 300ms;
                    ffi_pass webprobe; }
location /sends { send_timeout 300ms; ffi_send_timeout 60s;
                  ffi_pass webprobe; }
location /sending/inner { python_send_timeout 60s; ffi_pass webprobe; }
location /ignoring {
    client_body_buffer_size 1k;
    ffi_stream_buffer 4k;
    ffi_ignore_client_abort on;
    ffi_read_timeout 2s;
    ffi_pass webprobe;
    location /ignoring/buffered {
        ffi_request_buffering on; ffi_pass webprobe;
    }
    location /ignoring/sending { ffi_send_timeout 200ms; ffi_pass webprobe; }
}
"""


def blob(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def post(do: str, uri: str, length: int) -> bytes:
    return head(do, f"Content-Length: {length}", f"POST {uri} HTTP/1.1")


# -- request_buffering ------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 1000, 1024, 5_000, 1_000_000])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_buffered_body(web: Web, size: int, chunked: bool) -> None:
    """In memory or a file, and more than the application takes at once."""
    web.allow_log("is buffered to a temporary file")
    data = blob(size)
    answer = web.do(
        "head=200;sleep=20;echo",
        "/buffered",
        method="POST",
        body=data,
        chunked=chunked,
    )
    assert answer.body == data


def test_the_application_sees_no_part_of_a_body(web: Web) -> None:
    before = web.counts()["requests"]
    with web.connect() as sock:
        sock.sendall(post("head=200;echo", "/buffered", 8) + b"some")
        time.sleep(0.1)
        assert web.counts()["requests"] == before + 1
        sock.sendall(b"more")
        data = b""
        while not data.endswith(b"\r\n0\r\n\r\n"):
            data += sock.recv(1000)
        assert parse(data).body == b"somemore"


def test_an_inner_location_does_not_buffer(web: Web) -> None:
    with web.connect() as sock:
        sock.sendall(post("head=200;echo", "/buffered/not", 8) + b"some")
        data = b""
        while b"some" not in data:
            data += sock.recv(1000)


def test_a_client_that_goes_before_its_body_is_there(web: Web) -> None:
    before = web.counts()["requests"]
    with web.connect() as sock:
        sock.sendall(post("head=200;echo", "/buffered", 8) + b"some")
    eventually(lambda: "400 /buffered" in web.accesses(), "it is logged")
    assert web.counts()["requests"] == before + 1


def test_a_client_that_goes_while_its_body_is_fed(web: Web) -> None:
    web.allow_log("is buffered to a temporary file")
    before = web.counts()["gone"]
    with web.connect() as sock:
        sock.sendall(post("head=200;gone", "/buffered", 100_000))
        sock.sendall(blob(100_000))
        eventually(lambda: web.counts()["live"] == 1, "it runs")
    eventually(lambda: web.counts()["gone"] == before + 1, "it is told")


# -- read_timeout -----------------------------------------------------------


def test_no_part_in_time(web: Web) -> None:
    """The connection ends, and the application is told."""
    before = web.counts()["gone"]
    since = len(web.log())
    data = web.raw(
        head("head=200;part=some;gone", line="GET /reading HTTP/1.1")
    )
    assert b"some" in data
    assert not data.endswith(b"0\r\n\r\n")
    eventually(lambda: web.counts()["gone"] == before + 1, "it is told")
    assert web.count_log("has sent nothing more in time", since) == 1


def test_no_head_in_time(web: Web) -> None:
    before = web.counts()["gone"]
    since = len(web.log())
    assert web.do("gone", "/reading").status == 504
    eventually(lambda: web.counts()["gone"] == before + 1, "it is told")
    assert web.count_log('"webprobe" has sent no head in time', since) == 1


def test_head_without_an_end(web: Web) -> None:
    """It has what it wants, and is not held for ever."""
    before = web.counts()["gone"]
    line = "HEAD /reading HTTP/1.1"
    data = web.raw(
        head("head=200;gone", line=line),
        head("head=200;part=second", "Connection: close"),
    )
    assert data.count(b"HTTP/1.1 200") == 2
    assert b"second" in data
    eventually(lambda: web.counts()["gone"] == before + 1, "it is told")


def test_parts_that_come_in_time(web: Web) -> None:
    do = "head=200" + ";part=x;sleep=100" * 8
    assert web.do(do, "/reading").body == b"x" * 8


def test_for_ever(web: Web) -> None:
    do = "sleep=100;head=200;part=a;sleep=100;part=b"
    assert web.do(do, "/for_ever").body == b"ab"


@pytest.mark.parametrize("uri", ["/reading", "/reading_small"])
def test_a_slow_client_counts_not(web: Web, uri: str) -> None:
    """It is not the application that is slow."""
    size = 3_000_000
    ask = head(
        f"head=200;fill={size}", "Connection: close", f"GET {uri} HTTP/1.1"
    )
    with web.connect() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.sendall(ask)
        time.sleep(1)
        data = until_end(sock)
    assert data.count(b"x" * 1000) == size // 1000
    assert data.endswith(b"\r\n0\r\n\r\n")


@pytest.mark.parametrize("do", ["body", "head=200;part=y;body"])
def test_an_upload_counts_not(web: Web, do: str) -> None:
    """Neither one that goes on, nor one that pauses."""
    with web.connect() as sock:
        ask = post(f"{do};head=200;part=.", "/reading", 12)
        sock.sendall(ask.replace(b"do:", b"Connection: close\r\ndo:"))
        for _ in range(10):
            time.sleep(0.1)
            sock.sendall(b"x")
        time.sleep(0.7)
        sock.sendall(b"xx")
        data = until_end(sock)
    assert b" 200 " in data.splitlines()[0] or do == "body"
    assert b" 504 " not in data.splitlines()[0]


def test_an_application_that_does_not_read(web: Web) -> None:
    """Then it is the application that is slow."""
    since = len(web.log())
    with web.connect() as sock:
        sock.sendall(post("gone", "/reading_small", 1_000_000))
        with contextlib.suppress(OSError):
            sock.sendall(b"x" * 1_000_000)
        assert b" 504 " in until_end(sock).splitlines()[0]
    web.wait_log('"webprobe" has sent no head in time', since)


# -- send_timeout -----------------------------------------------------------


@pytest.mark.parametrize("do", ["head=200;endless", "head=200;ref=9000000"])
def test_a_client_that_does_not_read(web: Web, do: str) -> None:
    """Also of an answer that is complete."""
    lines = len(web.accesses())
    with web.connect() as sock:
        sock.sendall(head(do, line="GET /sending HTTP/1.1"))
        eventually(
            lambda: any("/sending" in x for x in web.accesses()[lines:]),
            "it has ended",
        )


def test_our_send_timeout_is_the_one_that_counts(web: Web) -> None:
    for uri in ("/sends", "/sending/inner"):
        with web.connect() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            more = "Connection: close"
            ask = head("head=200;ref=3000000", more, f"GET {uri} HTTP/1.1")
            sock.sendall(ask)
            time.sleep(0.7)
            assert until_end(sock).count(b"y") == 3_000_000


# -- ignore_client_abort ----------------------------------------------------


def ended(web: Web, before: dict[str, int]) -> None:
    eventually(lambda: web.counts()["live"] == 0, "it has ended")
    assert web.counts()["gone"] == before["gone"]


@pytest.mark.parametrize(
    "do",
    [
        "sleep=150;head=200;fill=200000",
        "head=200;part=x;sleep=150;fill=200000",
        "head=200;sleep=50;fill=500000;sleep=100;fill=500000;end=0,.",
        "head=200;sleep=150;ref=5000000",
    ],
)
def test_a_client_that_goes_is_ignored(web: Web, do: str) -> None:
    """The application sends all it has, and sees nothing."""
    before = web.counts()
    line = "GET /ignoring HTTP/1.1"
    with web.connect() as sock:
        sock.sendall(head(do, line=line))
        eventually(lambda: web.counts()["live"] == 1, "it runs")
    ended(web, before)


def test_a_client_that_resets_is_ignored(web: Web) -> None:
    """In the middle of what it gets."""
    before = web.counts()
    do = "head=200;fill=3000000"
    with web.connect() as sock:
        sock.sendall(head(do, line="GET /ignoring HTTP/1.1"))
        sock.recv(1000)
        sock.recv(100_000)
    ended(web, before)


def test_a_client_that_is_too_slow_is_ignored(web: Web) -> None:
    before = web.counts()
    do = "head=200;fill=3000000"
    with web.connect() as sock:
        sock.sendall(head(do, line="GET /ignoring/sending HTTP/1.1"))
        ended(web, before)


def test_a_body_is_read_to_its_end(web: Web) -> None:
    """It is there, though the client is not."""
    web.allow_log("is buffered to a temporary file")
    before = web.counts()
    do = "head=200;sleep=100;fill=8000;sleep=100;body"
    with web.connect() as sock:
        sock.sendall(post(do, "/ignoring/buffered", 100_000))
        sock.sendall(b"x" * 100_000)
        eventually(lambda: web.counts()["live"] == 1, "it runs")
    ended(web, before)


def test_a_body_that_is_not_whole(web: Web) -> None:
    """Then the application has to be told."""
    before = web.counts()["gone"]
    with web.connect() as sock:
        sock.sendall(post("body", "/ignoring", 100_000) + b"x")
        eventually(lambda: web.counts()["live"] == 1, "it runs")
    eventually(lambda: web.counts()["gone"] == before + 1, "it is told")


def test_a_failure_that_nobody_sees(web: Web) -> None:
    since = len(web.log())
    with web.connect() as sock:
        do = "head=200;sleep=100;fill=100000;sleep=50;end=3,oops"
        sock.sendall(head(do, line="GET /ignoring HTTP/1.1"))
        eventually(lambda: web.counts()["live"] == 1, "it runs")
    web.wait_log('"webprobe" has failed with status 3', since)


def test_an_answer_that_nobody_sees_and_does_not_end(web: Web) -> None:
    """read_timeout is for it, too."""
    before = web.counts()["gone"]
    with web.connect() as sock:
        do = "head=200;sleep=100;fill=100000;gone"
        sock.sendall(head(do, line="GET /ignoring HTTP/1.1"))
        eventually(lambda: web.counts()["live"] == 1, "it runs")
    eventually(lambda: web.counts()["gone"] == before + 1, "it is told")


def test_ignoring_spins_not(web: Web) -> None:
    """A body that nobody reads, of a client that has gone."""
    with web.connect() as sock:
        sock.sendall(post("head=200;sleep=600", "/ignoring", 1_000_000))
        sock.settimeout(0.2)
        with contextlib.suppress(OSError):
            sock.sendall(b"x" * 1_000_000)
    spent = web.cpu()
    time.sleep(0.3)
    assert web.cpu() - spent < 0.1 * SLOWNESS
