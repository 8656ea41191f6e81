# SPDX-License-Identifier: BSD-2-Clause
"""s:pipe(): what comes of a stream goes to the client itself."""

from __future__ import annotations

import http.client
import time
from typing import Any

import pytest

from ..nginx import Nginx
from ..pipes import (
    answer_of,
    ask,
    letters,
    rest_of_response,
    take,
    url,
)

# ---- parts


@pytest.mark.valgrind
@pytest.mark.parametrize("uri", ["/run", "/rewrite", "/access", "/proxied"])
@pytest.mark.parametrize(
    ("parts", "size", "more"),
    [
        (0, 0, ""),
        (1, 1, ""),
        (3, 10, "sleep=5"),
        (3, 10, "copy=1 last=5"),
        (0, 0, "last=5"),
        (10, 0, "last=1"),
        (64, 65536, ""),
        (2, 1_000_000, "last=100000"),
        (3000, 100, "copy=1 last=7"),
    ],
)
def test_parts_are_sent(
    whole: Nginx, uri: str, parts: int, size: int, more: str
) -> None:
    request = f"parts={parts} size={size} {more}"
    answer = whole.get(url(uri, f'pipe("send", "{request}")'))
    last = int(more.partition("last=")[2] or 0)
    expected = letters(parts, size) + b"." * last
    assert (answer.status, answer.body) == (200, expected)
    assert take(whole) == [len(expected)]


@pytest.mark.valgrind
@pytest.mark.parametrize("size", [1, 1000, 65536, 3_000_000])
def test_an_answer_in_one_piece(whole: Nginx, size: int) -> None:
    """It need not become a Lua string."""
    answer = whole.get(url("/run", f'pipe("lent", "size={size}")'))
    assert answer.body == b"a" * size
    assert take(whole) == [size]


def test_each_part_arrives_when_it_has_come(nginx: Nginx) -> None:
    sock = ask(nginx, "/run", 'pipe("send", "parts=3 size=5 sleep=300")')
    answer = answer_of(sock)
    begun = time.monotonic()
    for part in (b"aaaaa", b"bbbbb", b"ccccc"):
        assert answer.read1(100) == part
    assert time.monotonic() - begun > 0.4
    assert answer.read1(100) == b""
    assert take(nginx) == [15]


def test_what_is_printed_around_pipes_stays_in_order(whole: Nginx) -> None:
    answer = whole.get(
        url(
            "/run",
            """
            ngx.print("<")
            pipe("send", "parts=3 size=2 last=2")
            ngx.print("|")
            pipe("lent", "size=3")
            ngx.say(">")
            """,
        )
    )
    assert answer.text == "<aabbcc..|aaa>\n"
    assert take(whole, 2) == [[8], [3]]


@pytest.mark.valgrind
def test_what_is_sent_after_a_pipe_is_given_back(whole: Nginx) -> None:
    """By who has sent it, not only when the request ends."""
    code = """
        pipe("send", "parts=3 size=2")
        note(streams.sent() - streams.released())
        ngx.print(".")
        ngx.flush(true)
        note(streams.sent() - streams.released())
        """
    assert whole.get(url("/run", code)).text == "aabbcc."
    assert take(whole, 3)[2] == [0]


@pytest.mark.valgrind
def test_the_header_is_luas(nginx: Nginx) -> None:
    answer = nginx.get(
        url(
            "/run",
            """
            ngx.status = 203
            ngx.header.content_type = "image/png"
            ngx.header.content_length = 15
            pipe("send", "parts=3 size=5")
            """,
        )
    )
    assert (answer.status, answer.body) == (203, b"aaaaabbbbbccccc")
    assert answer.headers["Content-Type"] == "image/png"
    assert "Transfer-Encoding" not in answer.headers


def test_pipe_of_what_was_read_in_part(nginx: Nginx) -> None:
    answer = nginx.get(
        url(
            "/run",
            """
            local s = ffi.stream(rt, "send", "parts=3 size=2")
            ngx.print(s:read():upper())
            note(s:pipe())
            note(s:pipe())
            note(s:read())
            """,
        )
    )
    assert answer.text == "AAbbcc"
    assert take(nginx, 3) == [[4], [0], []]


@pytest.mark.parametrize("uri", ["/run", "/gzip"])
def test_a_million_parts_of_one_byte(whole: Nginx, uri: str) -> None:
    """They cost no memory each."""
    code = 'pipe("send", "parts=1000000 size=1 copy=1")'
    take_all = 'pipe("send", "parts=10000 size=1 copy=1")'
    assert whole.get(url(uri, take_all)).body == letters(10_000, 1)
    before = whole.resident()
    assert whole.get(url(uri, code)).body == letters(1_000_000, 1)
    assert whole.resident() - before < 1000
    assert take(whole, 2) == [[10_000], [1_000_000]]


def test_a_buffer_of_a_few_bytes(whole: Nginx) -> None:
    """One part at a time."""
    answer = whole.get(url("/tight", 'pipe("send", "parts=200 size=3")'))
    assert answer.body == letters(200, 3)
    assert take(whole) == [600]


# ---- errors


@pytest.mark.valgrind
def test_an_error_before_the_header(nginx: Nginx) -> None:
    answer = nginx.get(
        url(
            "/error-page",
            """
            local s = ffi.stream(rt, "send", "rc=7 last=4")
            local bytes, err, status, text = s:pipe()
            note(bytes, err, status, text)
            ngx.exit(502)
            """,
        )
    )
    assert (answer.status, answer.text) == (200, "replaced")
    assert take(nginx) == [None, "failed", 7, "...."]


@pytest.mark.valgrind
@pytest.mark.parametrize("sleep", [0, 20])
@pytest.mark.parametrize("uri", ["/run", "/rewrite", "/access"])
@pytest.mark.parametrize("after", ["", 'note(ngx.print("more"))'])
def test_an_error_after_parts(
    nginx: Nginx, uri: str, sleep: int, after: str
) -> None:
    """What has come arrives, but the response never ends."""
    code = f"""
        pipe("send", "parts=3 size=10 sleep={sleep} rc=7 last=4")
        {after}
        """
    sock = ask(nginx, uri, code)
    answer = answer_of(sock)
    with pytest.raises(http.client.IncompleteRead) as raised:
        answer.read()
    assert raised.value.partial == letters(3, 10)
    notes = take(nginx, 2 if after else 1)
    assert (notes[0] if after else notes) == [None, "failed", 7, "...."]
    if after:
        assert notes[1] == [None, "nginx output filter error"]


def test_an_error_after_parts_with_a_length(nginx: Nginx) -> None:
    code = """
        ngx.header.content_length = 31
        pipe("send", "parts=3 size=10 rc=7 last=4")
        """
    with pytest.raises(http.client.IncompleteRead):
        answer_of(ask(nginx, "/run", code)).read()


def test_a_second_pipe_after_an_error(nginx: Nginx) -> None:
    code = """
        pipe("send", "parts=3 size=10 rc=7")
        pipe("send", "parts=3 size=10")
        """
    with pytest.raises(http.client.IncompleteRead):
        answer_of(ask(nginx, "/run", code)).read()
    assert take(nginx, 2)[1] == [None, "the response is broken"]


GENERATORS = """
from resty_ffi import serve

@serve
def plain(request: bytes):
    for i in range(3):
        yield request + b"%d" % i
    if request == b"wrong":
        raise ValueError("after three")

@serve
async def awaited(request: bytes):
    for i in range(3):
        yield memoryview(request * 100_000)
"""


@pytest.mark.valgrind
def test_generators_of_python(nginx: Nginx) -> None:
    nginx.write_python("generators.py", GENERATORS)
    load = 'rt = assert(ngx.load_ffi("ffi_python3", "generators,{}")) '
    plain = load.format("plain")
    right = nginx.get(url("/run", plain + 'pipe(nil, "right")'))
    assert right.text == "right0right1right2"
    awaited = nginx.get(
        url("/run", load.format("awaited") + 'pipe(nil, "right")')
    )
    assert awaited.body == b"right" * 300_000
    wrong = ask(nginx, "/run", plain + 'pipe(nil, "wrong")')
    with pytest.raises(http.client.IncompleteRead) as raised:
        answer_of(wrong).read()
    assert raised.value.partial == b"wrong0wrong1wrong2"
    *ok, failed = take(nginx, 3)
    assert ok == [[18], [1_500_000]]
    assert failed[:2] == [None, "failed"]
    assert "after three" in failed[3]


# ---- deadlines


@pytest.mark.valgrind
def test_the_first_part_comes_too_late(nginx: Nginx) -> None:
    answer = nginx.get(
        url(
            "/run",
            """
            pipe("endless", "size=10 sleep=1000", { first_timeout = 50 })
            ngx.exit(504)
            """,
        )
    )
    assert answer.status == 504
    assert take(nginx) == [None, "timeout"]


@pytest.mark.valgrind
@pytest.mark.parametrize("timeout", ["read_timeout", "timeout"])
def test_a_part_comes_too_late(nginx: Nginx, timeout: str) -> None:
    code = f"""
        pipe("wait", "parts=2 size=10", {{ {timeout} = 100 }})
        """
    with pytest.raises(http.client.IncompleteRead) as raised:
        answer_of(ask(nginx, "/run", code)).read()
    assert raised.value.partial == letters(2, 10)
    assert take(nginx) == [None, "timeout"]


def test_a_deadline_for_all(nginx: Nginx) -> None:
    code = 'pipe("endless", "size=10 sleep=10", { timeout = 200 })'
    with pytest.raises(http.client.IncompleteRead):
        answer_of(ask(nginx, "/run", code)).read()
    assert take(nginx) == [None, "timeout"]


def test_gaps_may_be_as_long_as_the_read_timeout(nginx: Nginx) -> None:
    code = """
        pipe("send", "parts=8 size=10 sleep=100", { read_timeout = 400 })
        """
    assert nginx.get(url("/run", code)).body == letters(8, 10)
    assert take(nginx) == [80]


def test_a_client_that_reads_nothing(nginx: Nginx) -> None:
    """send_timeout counts, and none of the runtime's deadlines."""
    code = 'pipe("endless", "size=65536", { read_timeout = 50 })'
    sock = ask(nginx, "/impatient", code)
    assert take(nginx) == [None, "client timed out"]
    sock.close()


@pytest.mark.parametrize(
    "request_", ['"send", "parts=30 size=100000"', '"lent", "size=3000000"']
)
def test_a_client_that_reads_slowly(nginx: Nginx, request_: str) -> None:
    """Each read of it is progress."""
    code = f"pipe({request_}, {{ read_timeout = 50 }})"
    sock = ask(nginx, "/impatient", code)
    data = b""
    while not data.endswith(b"0\r\n\r\n"):
        chunk = sock.recv(100_000)
        assert chunk
        data += chunk
        time.sleep(0.02)
    assert take(nginx) == [3_000_000]


# ---- other light threads


MEANWHILE = """
local thread = ngx.thread.spawn(function()
    pipe("send", "parts=10 size=10 sleep=50")
end)
await_header()
"""


@pytest.mark.valgrind
@pytest.mark.parametrize(
    ("code", "says"),
    [
        ('ngx.print("x")', "nginx output filter error"),
        ('ngx.say("x")', "nginx output filter error"),
        ("ngx.flush()", "nothing to flush"),
        ("ngx.flush(true)", "nginx output filter error"),
        ('ffi.stream(rt, "plain", "x"):pipe()', "busy piping"),
    ],
)
@pytest.mark.parametrize("uri", ["/run", "/access"])
def test_what_others_send_meanwhile_is_refused(
    nginx: Nginx, uri: str, code: str, says: str
) -> None:
    answer = nginx.get(
        url(uri, f"{MEANWHILE} note({code}) ngx.thread.wait(thread)")
    )
    assert answer.body == letters(10, 10)
    assert take(nginx, 2) == [[None, says], [100]]


@pytest.mark.valgrind
@pytest.mark.parametrize(
    ("code", "result"),
    [
        ("ngx.eof()", [None, "the response was ended"]),
        ("ngx.exit(200)", None),
        ("ngx.exit(ngx.OK)", None),
        ("ngx.exit(ngx.ERROR)", None),
        ("ngx.exit(500)", None),
        ("ngx.thread.kill(thread)", None),
        ('error("raised")', None),
        ("s:close()", [None, "closed"]),
    ],
)
def test_others_end_it(
    nginx: Nginx, code: str, result: list[Any] | None
) -> None:
    """A response of which not all was sent does not end."""
    sock = ask(
        nginx,
        "/run",
        f"""
        local s = ffi.stream(rt, "send", "parts=10 size=10 sleep=50")
        local thread = ngx.thread.spawn(function() note(s:pipe()) end)
        await_header()
        {code}
        """,
    )
    answer = answer_of(sock)
    with pytest.raises(http.client.IncompleteRead):
        answer.read()
    if result:
        assert take(nginx) == result


@pytest.mark.valgrind
@pytest.mark.parametrize("uri", ["/run", "/access"])
def test_others_wait_meanwhile(nginx: Nginx, uri: str) -> None:
    """The lua module takes the request's write_event_handler."""
    code = """
    local function look()
        local sock = ngx.socket.tcp()
        assert(sock:connect("unix:" .. ngx.config.prefix() .. "http.sock"))
        sock:send("GET /ping HTTP/1.0\\r\\n\\r\\n")
        local data = sock:receive("*a")
        sock:close()
        return data and data:sub(-4)
    end
    local thread = ngx.thread.spawn(function()
        pipe("send", "parts=100 size=50000")
    end)
    local pongs = 0
    for i = 1, 20 do
        local sub = ngx.location.capture("/ping").body
        if look() == "pong" and sub == "pong" then
            pongs = pongs + 1
        end
        ngx.sleep(0.01)
    end
    note("pongs", pongs)
    ngx.thread.wait(thread)
    """
    sock = ask(nginx, uri, code)
    for _ in range(20):
        sock.recv(10_000)
        time.sleep(0.01)
    rest_of_response(sock)
    assert sorted(map(str, take(nginx, 2))) == ["['pongs', 20]", "[5000000]"]


def test_a_flush_that_waits_before_a_pipe(nginx: Nginx) -> None:
    sock = ask(
        nginx,
        "/run",
        """
        local thread = ngx.thread.spawn(function()
            ngx.print(("x"):rep(1000000))
            note(ngx.flush(true))
        end)
        pipe("send", "parts=30 size=50000")
        ngx.thread.wait(thread)
        """,
    )
    time.sleep(0.1)
    assert len(rest_of_response(sock)) > 2_500_000
    assert sorted(take(nginx, 2)) == [[1], [1_500_000]]


@pytest.mark.valgrind
@pytest.mark.parametrize(
    ("method", "result"), [("read", [0]), ("close", [None, "closed"])]
)
def test_a_header_filter_that_takes_it(
    nginx: Nginx, method: str, result: list[Any]
) -> None:
    """It runs between the first look at the stream and the pipe."""
    code = f"""
    local s = ffi.stream(rt, "send", "parts=0 size=0 last=5")
    ngx.ctx.at_header = function()
        s:{method}()
    end
    note(s:pipe())
    """
    assert nginx.get(url("/header-filter", code)).body == b""
    assert take(nginx) == result
