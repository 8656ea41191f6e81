# SPDX-License-Identifier: BSD-2-Clause
"""What applications send and receive, and what becomes of their mistakes."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import sys
from http.client import IncompleteRead

import pytest

from ..client import eventually, until_end
from ..http2 import Http2, Http2Upload
from .site import Site, parse


def test_answers(site: Site) -> None:
    answer = site.ask("/hello")
    assert answer.status == 200
    assert answer.body == b"hello"
    assert answer.headers["content-type"] == "text/plain"


def test_answers_on_one_connection(site: Site) -> None:
    with site.connect() as sock:
        for _ in range(20):
            sock.sendall(b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n")
            data = b""
            while not data.endswith(b"0\r\n\r\n"):
                data += sock.recv(65536)
            assert b"\r\nhello\r\n" in data


@pytest.mark.valgrind
def test_body_comes_in_messages(site: Site) -> None:
    assert site.ask("/messages").json() == [["http.request", 0, False]]
    assert site.ask("/messages", "POST", b"").json() == [
        ["http.request", 0, False]
    ]
    # what has come as one piece is one message, the last
    assert site.ask("/messages", "POST", b"12345").json() == [
        ["http.request", 5, False]
    ]
    found = site.ask("/messages", "POST", bytes(1_000_000)).json()
    assert sum(size for _, size, _ in found) == 1_000_000
    assert [more for _, _, more in found] == [True] * (len(found) - 1) + [
        False
    ]


@pytest.mark.valgrind
def test_large_bodies_come_in_large_messages(site: Site) -> None:
    """Larger ones than nginx's buffers, of 8 or 16 KiB."""

    def largest() -> int:
        found = site.ask("/messages", "POST", bytes(1_000_000)).json()
        assert sum(size for _, size, _ in found) == 1_000_000
        return max(int(size) for _, size, _ in found)

    eventually(lambda: largest() > 16_384, "a large message")


@pytest.mark.valgrind
def test_echo(site: Site) -> None:
    data = bytes(range(256)) * 2000
    assert site.ask("/echo", "POST", data).body == data


def test_several_tasks_receive(site: Site) -> None:
    data = b"".join(b"%07d\n" % i for i in range(100_000))
    answer = site.ask(f"/receives-in-tasks?{len(data)}", "POST", data)
    assert answer.body == data


def test_cancelled_receive_loses_nothing(site: Site) -> None:
    data = b"".join(b"%07d\n" % i for i in range(100_000))
    assert site.ask("/cancelled-receive", "POST", data).body == data


def test_receive_with_a_timeout(site: Site) -> None:
    assert site.ask("/timed-receive?timed", "POST", b"abc").body == b"ok"
    assert site.notes("timed") == ["timeout"] * 3


@pytest.mark.valgrind
def test_disconnect_behind_the_answer_each_time(site: Site) -> None:
    assert site.ask("/receives-twice?behind", "POST", b"abc").body == b"ok"
    site.wait_notes("behind", "http.request", *["http.disconnect"] * 3)


def test_disconnect_where_the_body_was_not_read(site: Site) -> None:
    site.ask("/answers-unread?unread", "POST", b"abc")
    site.wait_notes("unread", "http.disconnect")


@pytest.mark.parametrize("how", ["raises", "answers", "returns", "amid"])
def test_a_task_in_receive_hears_of_every_end(site: Site, how: str) -> None:
    if how in ("raises", "returns", "amid"):
        site.allow_log("on purpose|has returned")
    with contextlib.suppress(IncompleteRead):
        site.ask(f"/waits-in-task?waits-{how},{how}")
    site.wait_notes(f"waits-{how}", "part", "disconnect")


@pytest.mark.valgrind
def test_parts(site: Site) -> None:
    for size in (1, 511, 512, 70_000):
        part = (bytes(range(256)) * (size // 256 + 1))[:size]
        assert site.ask(f"/parts?20x{size}").body == part * 20
    assert site.ask("/empty-parts").body == b"a"


@pytest.mark.valgrind
def test_what_was_sent_may_change(site: Site) -> None:
    body = site.ask("/kinds").body
    assert body == b"a" * 1000 + b"b" * 1000 + b"ccc" + b"d" * 1000


def test_several_cookies(site: Site) -> None:
    fields = site.ask("/cookies").fields
    assert [
        value for name, value in fields if name.lower() == "set-cookie"
    ] == ["a=1", "b=2", "c=3"]


@pytest.mark.valgrind
def test_headers_large_and_many(site: Site) -> None:
    raw = site.raw(b"GET /headers?1x65536 HTTP/1.0\r\n\r\n")
    assert b"\r\nx-0: " + b"v" * 65_536 + b"\r\n" in raw
    raw = site.raw(b"GET /headers?1000x20 HTTP/1.0\r\n\r\n")
    assert raw.count(b"\r\nx-") == 1000
    assert raw.endswith(b"many")


@pytest.mark.parametrize("status", [204, 304])
def test_no_body_where_there_is_none(site: Site, status: int) -> None:
    raw = site.raw(
        b"GET /status?%d HTTP/1.1\r\nHost: x\r\n\r\n" % status,
        b"GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    )
    first, _, rest = raw.partition(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 %d" % status)
    assert rest.startswith(b"HTTP/1.1 200")


def test_no_body_for_head(site: Site) -> None:
    answer = site.ask("/length?5,5", "HEAD")
    assert answer.headers["content-length"] == "5"
    assert answer.body == b""
    raw = site.raw(
        b"HEAD /parts?10x1000 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    )
    assert raw.count(b"HTTP/1.1 200") == 2
    assert raw.partition(b"\r\n\r\n")[2].startswith(b"HTTP/1.1 200")


# ---- mistakes


@pytest.mark.valgrind
@pytest.mark.parametrize(
    ("case", "logged"),
    [
        ("raises", "ValueError: on purpose"),
        ("raises-after-head", "ValueError: after the head"),
        ("exits", "SystemExit: 3"),
        ("returns", "has returned without an answer"),
        ("returns-after-head", "has returned without an answer"),
    ],
)
def test_no_answer(site: Site, case: str, logged: str) -> None:
    since = len(site.log())
    assert site.ask(f"/{case}").status == 500
    site.wait_log(f"cases:app: .*{logged}", since)
    if "raises" in case:
        site.wait_log(r'File ".*cases\.py", line \d+, in raises', since)
    assert site.ask("/hello").status == 200


def test_a_task_that_cancels_itself(site: Site) -> None:
    assert site.ask("/cancels-itself").status == 500
    assert site.ask("/hello").status == 200


@pytest.mark.parametrize("case", ["raises-amid", "returns-amid"])
def test_no_end(site: Site, case: str) -> None:
    since = len(site.log())
    raw = site.raw(f"GET /{case} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert raw.startswith(b"HTTP/1.1 200")
    # what came together with the failure may not have been sent
    with pytest.raises(IncompleteRead):
        parse(raw)
    site.wait_log("amid its answer|before its answer was complete", since)


def test_raises_behind_its_answer(site: Site) -> None:
    since = len(site.log())

    def told() -> int:
        """Again, where a second had tracebacks enough before."""
        assert site.ask("/raises-behind").body == b"ok"
        return site.count_log("app: ValueError: behind its answer", since)

    eventually(told)


@pytest.mark.parametrize("sizes", ["10,4", "10,4,7", "0,1", "10,20,20"])
def test_not_the_length_that_was_said(site: Site, sizes: str) -> None:
    raw = site.raw(f"GET /length?{sizes} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    begun, _, data = raw.partition(b"\r\n\r\n")
    said, *parts = map(int, sizes.split(","))
    if begun.startswith(b"HTTP/1.1 200"):
        assert len(data) < said or sum(parts) > said >= len(data)
    assert site.ask("/hello").status == 200


@pytest.mark.parametrize(
    ("case", "error"),
    [
        ("two-heads", "RuntimeError: 'http.response.start' was sent, but"),
        ("late-head", "RuntimeError: 'http.response.start' was sent, but"),
        ("body-first", "RuntimeError: 'http.response.body' was sent, but"),
        ("behind", "RuntimeError: .*but the answer was complete"),
        ("unknown", "RuntimeError: 'http.response.wrong' was sent, but"),
        ("no-type", "KeyError: 'type'"),
        ("no-status", "KeyError: 'status'"),
        ("str-body", "TypeError: the body of .* is str, not bytes"),
        ("none-body", "TypeError: the body of .* is NoneType, not bytes"),
        ("str-status", "TypeError: the status of an answer is str, not int"),
        ("float-status", "TypeError: the status of .* is float, not int"),
        ("none-status", "TypeError: the status of .* is NoneType, not int"),
        ("status-99", "ValueError: the status 99 is not of 200 to 999"),
        ("status-103", "ValueError: the status 103 is not of 200 to 999"),
        ("status-1000", "ValueError: the status 1000 is not of 200 to 999"),
        ("status-huge", r"ValueError: the status \d+ is not of 200 to 999"),
        ("str-name", "TypeError: the name of header 'x-a' is str, not bytes"),
        ("str-value", "TypeError: the value of header b'x-a' is str, not"),
        ("int-value", "TypeError: .*b'content-length' is int, not bytes"),
        ("none-value", "TypeError: .*b'x-a' is NoneType, not bytes"),
        ("no-pair", "ValueError: a header is no pair of a name and a value"),
        ("three", "ValueError: a header is no pair of a name and a value"),
        ("no-sequence", "TypeError: a header is int, not a pair"),
        ("no-list", "TypeError: the headers of an answer are int, not"),
        ("none", "TypeError: the headers of an answer are NoneType, not"),
        ("newline", "ValueError: the value of header b'x-a' has a line break"),
        ("lf", "ValueError: the value of header b'x-a' has a line break"),
        ("nul", "ValueError: the value of header b'x-a' has .* NUL"),
        ("name-space", "ValueError: the name of header b'x a' is no token"),
        ("name-newline", r"ValueError: the name .* b'x\\r\\nx-evil' is no"),
        ("name-empty", "ValueError: the name of header b'' is no token"),
        ("name-colon", "ValueError: the name of header b':status' is no"),
        ("too-large", "ValueError: the headers .* have more than 1 MiB"),
    ],
)
@pytest.mark.valgrind
def test_wrong_messages(site: Site, case: str, error: str) -> None:
    raw = site.raw(f"GET /wrong?{case},{case} HTTP/1.0\r\n\r\n".encode())
    if case == "behind":
        assert raw.endswith(b"\r\n\r\na")
    elif case == "late-head":
        assert not raw.endswith(b"\r\n0\r\n\r\n")
    else:
        assert raw.startswith(b"HTTP/1.1 500")
    assert b"x-evil" not in raw
    (found,) = eventually(lambda: site.notes(case)[-1:])
    assert re.match(error, found), found


# ---- clients that go


@pytest.mark.valgrind
@pytest.mark.parametrize("count", range(3))
def test_client_goes_amid_the_answer(site: Site, count: int) -> None:
    key = f"goes-{count}"
    with site.open(f"/disconnects?{key}") as sock:
        while b"begun" not in sock.recv(1000):
            pass
    site.wait_notes(
        key,
        *("begun", "disconnect", "http.disconnect"),
        *["OSError"] * 3,
        True,
    )
    # nginx's own: what the client has had of it stays
    site.wait_access(f"200 /disconnects?{key}")


@pytest.mark.parametrize("how", ["leaves", "from", "group", "caught"])
def test_oserror_is_a_line_at_info(site: Site, how: str) -> None:
    if how == "group" and sys.version_info < (3, 11):
        pytest.skip("Python has no groups of exceptions")
    since = len(site.log())
    uri = f"/sends-for-ever?leaves,{how}"
    with site.open(uri) as sock:
        sock.recv(1000)
    site.wait_access(f"200 {uri}")
    eventually(lambda: site.tasks() == 0)
    lines = site.log(since)
    # what earlier tests have hidden is told of now
    assert not re.search(r"\[error\](?!.*not shown)", lines)
    assert "Traceback" not in lines
    told = re.findall(r"\[info\] .*ffi_python3: cases:app: (.*)", lines)
    assert len(told) == (0 if how == "caught" else 1), lines


def test_a_bug_of_one_whose_client_has_gone(site: Site) -> None:
    since = len(site.log())

    def told() -> int:
        """Again, where a second had tracebacks enough before."""
        with site.open("/sends-for-ever?bug,bug") as sock:
            sock.recv(1000)
        site.wait_idle()
        return site.count_log(r"\[error\] .*app: KeyError: 'a bug'", since)

    eventually(told)


def test_client_goes_before_the_answer(site: Site) -> None:
    since = len(site.log())
    with site.open("/refuses-head?before"):
        site.wait_notes("before", "begun")
    site.wait_access("499 /refuses-head?before")
    site.wait_log(r"\[info\].*cases:app: .*client has gone", since)
    assert "[error]" not in site.log(since)


def test_client_goes_and_nobody_asks(site: Site) -> None:
    with site.open("/never?asks"):
        site.wait_notes("asks", "begun")
    site.wait_notes("asks", "begun", "disconnect")
    site.wait_access("499 /never?asks")


@pytest.mark.valgrind
def test_upload_ends_early(site: Site) -> None:
    fields = {"Content-Length": "1000000"}
    with site.open("/upload?early", "POST", fields) as sock:
        sock.sendall(b"x" * 10_000)
        site.wait_notes("early", "begun")
    site.wait_notes("early", "begun", "disconnect")
    fields = {"Transfer-Encoding": "chunked"}
    with site.open("/upload?chunked", "POST", fields) as sock:
        sock.sendall(b"5\r\nabcde\r\n")
        site.wait_notes("chunked", "begun")
        sock.shutdown(socket.SHUT_WR)
        site.wait_notes("chunked", "begun", "disconnect")


def test_never_answers(site: Site) -> None:
    with Site(server="python_read_timeout 500ms;") as other:
        assert other.ask("/never?never").status == 504
        other.wait_notes("never", "begun", "disconnect")
        assert other.ask("/hello").status == 200


@pytest.mark.valgrind
@pytest.mark.parametrize("how", ["parts", "trailers"])
def test_head_goes_with_an_empty_part(site: Site, how: str) -> None:
    with site.connect() as sock:
        sock.sendall(b"GET /head-alone?%b HTTP/1.1\r\n" % how.encode())
        sock.sendall(b"Host: x\r\nConnection: close\r\n\r\n")
        data = b""
        while not data.endswith(b"\r\n\r\n"):
            data += sock.recv(1000)
        assert data.startswith(b"HTTP/1.1 200 ")
        site.ask("/open-gate")
        rest = until_end(sock)
    if how == "parts":
        assert rest == b"5\r\nwhole\r\n0\r\n\r\n"
    else:
        assert rest == b"0\r\nx-sum: 1\r\n\r\n"


def test_json_of_an_error_page(site: Site) -> None:
    with Site(server="error_page 500 /hello;") as other:
        assert other.ask("/raises").text == "hello"


def test_loop_that_blocks_holds_up_no_file(site: Site) -> None:
    gate = site.prefix / "gate"
    with site.open(f"/blocks?{gate}") as sock:
        for _ in range(50):
            assert site.ask("/static/cases.py").status == 200
            assert site.ask("/ping").text == "pong"
        gate.write_text("")
        data = b""
        while not data.endswith(b"0\r\n\r\n"):
            data += sock.recv(1000)
    assert b"went on" in data
    assert json.loads(site.ask("/notes?x").body) == []


# ---- HTTP/2


def test_streams_of_http2(site: Site) -> None:
    client = Http2(site.prefix / "h2.sock")
    streams = [client.get(f"/parts?{n}x3000") for n in range(20)]
    hello = client.get("/hello")
    client.read_all()
    client.close()
    assert [len(stream.body) for stream in streams] == [
        3000 * n for n in range(20)
    ]
    assert hello.body == b"hello"
    assert all(stream.ended for stream in streams)


def test_a_stream_of_http2_that_is_reset(site: Site) -> None:
    client = Http2(site.prefix / "h2.sock")
    client.get("/disconnects?http2")
    site.wait_notes("http2", "begun")
    client.reset()
    site.wait_notes("http2", "begun", "disconnect", "http.disconnect")
    hello = client.get("/hello")
    while not hello.ended:
        client.read()
    assert hello.body == b"hello"
    client.close()


def test_a_failure_in_http2(site: Site) -> None:
    client = Http2(site.prefix / "h2.sock")
    failed = client.get("/raises-amid")
    client.read_all()
    client.close()
    assert failed.error is not None


def test_an_upload_by_http2(site: Site) -> None:
    with Http2Upload(site.prefix / "h2.sock") as client:
        client.request("POST", "/echo", None)
        client.send(b"first")
        assert client.receive_until(5) == b"first"
        client.send(b"second" * 50_000, end=True)
        assert client.answer() == (200, b"first" + b"second" * 50_000)
    with Http2Upload(site.prefix / "h2.sock") as client:
        client.request("POST", "/upload?http2-gone", None)
        client.send(b"first")
        site.wait_notes("http2-gone", "begun")
        client.cancel()
        site.wait_notes("http2-gone", "begun", "disconnect")
