# SPDX-License-Identifier: BSD-2-Clause
"""ffi_pass: fields behind the body."""

from __future__ import annotations

import errno
import socket

import pytest
from h2.connection import H2Connection
from h2.events import Event, StreamEnded, TrailersReceived

from .client import PATIENCE
from .web import Web, head

pytestmark = pytest.mark.valgrind

SERVER = """
location /hiding { ffi_hide_header X-Secret; ffi_pass webprobe; }
location /whole { chunked_transfer_encoding off; ffi_pass webprobe; }
location /ssi { ssi on; ssi_types *; ffi_pass webprobe; }
"""


def ask(web: Web, do: str, line: str = "GET / HTTP/1.1") -> bytes:
    """The answer's end, from the last part on."""
    raw = web.raw(head(do, "Connection: close", line))
    return raw[raw.index(b"body") :]


@pytest.mark.parametrize(
    "do",
    [
        "part=body;trailers=X-One:1,x-two:2",
        "trailers=X-One:1;part=body;trailers=x-two:2",
        "part=bo;trailers=X-One:1;trailers=x-two:2;part=dy",
        "trailers=X-One:1;sleep=20;part=body;sleep=20;trailers=x-two:2",
    ],
)
def test_trailers(web: Web, do: str) -> None:
    raw = web.raw(head(f"head=200;{do}", "Connection: close"))
    end = b"\r\n0\r\nX-One: 1\r\nx-two: 2\r\n\r\n"
    assert raw.endswith(end)


def test_the_next_answer_has_none(web: Web) -> None:
    raw = web.raw(
        head("head=200;part=body;trailers=A:1"),
        head("head=200;part=next", "Connection: close"),
    )
    assert raw.count(b"A: 1") == 1
    assert raw.endswith(b"next\r\n0\r\n\r\n")


def test_of_an_answer_with_a_length(web: Web) -> None:
    """They are left out, unless the head has said that there will be some."""
    do = "head=200,Content-Length:4;part=body;trailers=A:1"
    assert ask(web, do) == b"body"
    do = "head=200,Content-Length:4,Trailer:A;part=body;trailers=A:1"
    raw = web.raw(head(do, "Connection: close"))
    assert b"\r\nTrailer: A\r\n" in raw
    assert b"Content-Length" not in raw
    assert raw.endswith(b"\r\n4\r\nbody\r\n0\r\nA: 1\r\n\r\n")


def test_a_wrong_length_is_one_all_the_same(web: Web) -> None:
    since = len(web.log())
    do = "head=200,Content-Length:5,Trailer:A;part=body;trailers=A:1"
    raw = web.raw(head(do, "Connection: close"))
    assert b"A: 1" not in raw
    assert b"\r\n0\r\n" not in raw
    web.wait_log('"webprobe" has sent 4 bytes after', since)


@pytest.mark.parametrize(
    "line", ["GET / HTTP/1.0", "GET /whole HTTP/1.1", "GET /whole HTTP/1.0"]
)
def test_where_nothing_is_chunked(web: Web, line: str) -> None:
    do = "head=200,Trailer:A;part=body;trailers=A:1"
    assert ask(web, do, line) == b"body"


@pytest.mark.parametrize(
    ("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)]
)
def test_without_a_body(web: Web, method: str, status: int) -> None:
    do = f"head={status},Trailer:A;part=body;trailers=A:1"
    raw = web.raw(
        head(do, line=f"{method} / HTTP/1.1"),
        head("head=200;part=next", "Connection: close"),
    )
    assert raw.count(b"HTTP/1.1 ") == 2
    assert b"A: 1" not in raw


def test_of_an_include(web: Web) -> None:
    """They are of no response."""
    tag = '<!--# include virtual="/inner" -->'.replace('"', "%22")
    do = f"head=200,Trailer:A;part=body{tag};trailers=A:1"
    raw = ask(web, do, "GET /ssi HTTP/1.1")
    assert raw.count(b"A: 1") == 1
    assert raw.endswith(b"\r\n0\r\nA: 1\r\n\r\n")


def test_which_are_left_out(web: Web) -> None:
    do = (
        "head=200;part=body;trailers=A:1,Content-Length:9"
        ",Transfer-Encoding:chunked,Connection:close,Trailer:B,X-Secret:1"
    )
    raw = ask(web, do, "GET /hiding HTTP/1.1")
    assert raw == b"body\r\n0\r\nA: 1\r\n\r\n"


def test_many(web: Web) -> None:
    names = ",".join(f"X-{n}:{n}" for n in range(300))
    raw = ask(web, f"head=200;part=body;trailers={names}")
    assert raw.count(b"\r\nX-") == 300


@pytest.mark.parametrize(
    "bad", ["a:b%0d%0ac: d", "a:%00", "a%20:b", ":b", "a%3a:b", "%e9:b"]
)
def test_bad_ones(web: Web, bad: str) -> None:
    do = f"head=200;trailers={bad};trailers=a:b"
    assert web.results(do) == [0, errno.EINVAL, 0]


def test_before_the_head(web: Web) -> None:
    assert web.results("trailers=a:b;head=200") == [errno.EINVAL, 0]


def test_a_failure(web: Web) -> None:
    """What has not ended well has no trailers."""
    web.allow_log("has failed with status 3")
    raw = ask(web, "head=200;part=body;trailers=A:1;sleep=20;end=3")
    assert b"A: 1" not in raw


@pytest.mark.parametrize("length", ["", ",Content-Length:4"])
def test_by_http_2(web: Web, length: str) -> None:
    """With a length, too."""
    do = f"head=200{length};part=body;trailers=X-One:1,x-two:2"
    fields = [(":method", "GET"), (":scheme", "http"), (":authority", "x")]
    fields += [(":path", "/"), ("do", do)]
    connection = H2Connection()
    connection.initiate_connection()
    connection.send_headers(1, fields, end_stream=True)
    events: list[Event] = []
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(PATIENCE)
        sock.connect(str(web.prefix / "h2.sock"))
        sock.sendall(connection.data_to_send())
        while not any(isinstance(event, StreamEnded) for event in events):
            events += connection.receive_data(sock.recv(65536))
    (trailers,) = [e for e in events if isinstance(e, TrailersReceived)]
    assert trailers.headers == [(b"x-one", b"1"), (b"x-two", b"2")]


def test_a_redirect_has_none(web: Web) -> None:
    do = "head=200,X-Accel-Redirect:/ping,Trailer:A;trailers=A:1"
    answer = web.do(do)
    assert answer.body == b"pong"
    assert "Trailer" not in answer.headers
