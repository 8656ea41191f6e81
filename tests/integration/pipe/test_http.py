# SPDX-License-Identifier: BSD-2-Clause
"""s:pipe() in requests of all kinds, and behind filters."""

from __future__ import annotations

import contextlib
import http.client
import socket
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from h2.errors import ErrorCodes

from ..conftest import NewNginx
from ..http2 import Http2
from ..nginx import Nginx
from ..pipes import (
    HTTP,
    SERVER,
    SSI,
    STREAMS,
    answer_of,
    ask,
    letters,
    rest_of,
    settle,
    take,
    url,
    watch,
)


@pytest.mark.valgrind
def test_head(nginx: Nginx) -> None:
    code = 'ngx.header.x = 1 pipe("endless", "size=10")'
    sock = ask(nginx, "/run", code, method="HEAD")
    answer = answer_of(sock, "HEAD")
    assert (answer.status, answer.headers["x"]) == (200, "1")
    assert take(nginx) == [0]
    sock.sendall(b"GET /ping HTTP/1.1\r\nHost: here\r\n\r\n")
    assert answer_of(sock).read() == b"pong"


def test_no_content(nginx: Nginx) -> None:
    code = 'ngx.status = 204 pipe("endless", "size=10")'
    answer = nginx.get(url("/run", code))
    assert (answer.status, answer.body) == (204, b"")
    assert take(nginx) == [0]


@pytest.mark.valgrind
def test_keepalive_and_pipelined_requests(nginx: Nginx) -> None:
    uri = url("/run", 'pipe("send", "parts=3 size=10000")')
    sock = nginx.connect()
    sock.sendall(f"GET {uri} HTTP/1.1\r\nHost: here\r\n\r\n".encode() * 3)
    with sock.makefile("rb") as stream:
        for _ in range(3):
            while stream.readline() != b"\r\n":
                pass
            body = b""
            while size := int(stream.readline(), 16):
                body += stream.read(size)
                stream.readline()
            stream.readline()
            assert body == letters(3, 10000)
    assert take(nginx, 3) == [[30000]] * 3


@pytest.mark.parametrize("uri", ["/run", "/unbuffered"])
def test_http_1_0(nginx: Nginx, uri: str) -> None:
    code = 'pipe("send", "parts=3 size=10 sleep=5")'
    head, _, body = rest_of(ask(nginx, uri, code, version="1.0")).partition(
        b"\r\n\r\n"
    )
    assert b"Content-Length" not in head
    assert body == letters(3, 10)
    assert take(nginx) == [30]


def test_http_1_0_with_a_length(nginx: Nginx) -> None:
    code = """
        ngx.header.content_length = 30
        pipe("send", "parts=3 size=10")
        """
    sock = ask(
        nginx, "/run", code, version="1.0", more="Connection: keep-alive\r\n"
    )
    assert answer_of(sock).read() == letters(3, 10)
    sock.sendall(b"GET /ping HTTP/1.0\r\n\r\n")
    assert answer_of(sock).read() == b"pong"
    assert take(nginx) == [30]


def test_print_before_a_pipe_in_http_1_0(nginx: Nginx) -> None:
    code = 'ngx.print("x") pipe("send", "parts=3 size=10")'
    text = rest_of(ask(nginx, "/run", code, version="1.0"))
    assert text.endswith(b"\r\n\r\nx")
    assert take(nginx) == [None, "the header is held back in HTTP/1.0"]
    text = rest_of(ask(nginx, "/unbuffered", code, version="1.0"))
    assert text.endswith(b"\r\n\r\nx" + letters(3, 10))
    assert take(nginx) == [30]


@pytest.mark.parametrize(
    "code",
    [
        'ngx.eof() pipe("send", "parts=3 size=10")',
        'ngx.req.socket(true) pipe("send", "parts=3 size=10")',
    ],
)
def test_what_nothing_can_be_sent_to(nginx: Nginx, code: str) -> None:
    sock = ask(nginx, "/run", code)
    bytes_, err = take(nginx)
    assert bytes_ is None
    assert err in ("seen eof", "raw request socket acquired")
    sock.close()


@pytest.fixture(scope="module")
def tcp(new_nginx: NewNginx) -> Iterator[tuple[Nginx, int]]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    listen = f"listen 127.0.0.1:{port} backlog=1024;\n"
    with new_nginx(server=listen + SERVER, http=HTTP) as nginx:
        yield nginx, port


@pytest.mark.valgrind
@pytest.mark.parametrize(
    ("uri", "version"), [("/run", "1.0"), ("/unchunked", "1.1")]
)
def test_an_error_where_the_end_is_that_of_the_connection(
    tcp: tuple[Nginx, int], uri: str, version: str
) -> None:
    """It is reset."""
    nginx, port = tcp
    code = 'pipe("send", "parts=3 size=10 sleep=20 rc={}")'
    for rc in (0, 1):
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.sendall(
                f"GET {url(uri, code.format(rc))} HTTP/{version}\r\n"
                "Host: here\r\n\r\n".encode()
            )
            data = rest_of(sock)
            assert data.endswith(b"RESET") == (rc == 1)
    assert take(nginx, 2) == [[30], [None, "failed", 1]]
    settle(nginx)


@pytest.mark.valgrind
def test_an_include_that_fails_in_a_page_of_http_1_0(
    tcp: tuple[Nginx, int],
) -> None:
    nginx, port = tcp
    code = f"ngx.print('<{SSI.format('/part-wrong')}>')"
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(
            f"GET {url('/ssi', code)} HTTP/1.0\r\nHost: here\r\n\r\n".encode()
        )
        assert rest_of(sock).endswith(b"RESET")
    settle(nginx)


# ---- HTTP/2


@pytest.fixture(scope="module")
def http2_server(new_nginx: NewNginx) -> Iterator[Nginx]:
    listen = "listen unix:{prefix}/http2.sock http2;\n"
    with new_nginx(server=listen + SERVER, http=HTTP) as nginx:
        yield nginx


@pytest.fixture
def http2(http2_server: Nginx) -> Iterator[Nginx]:
    with watch(http2_server):
        yield http2_server


@pytest.fixture
def client(http2: Nginx) -> Iterator[Http2]:
    with contextlib.closing(Http2(http2.prefix / "http2.sock")) as client:
        yield client


@pytest.mark.valgrind
@pytest.mark.parametrize(
    ("code", "body"),
    [
        ('pipe("send", "parts=3 size=10 sleep=5")', letters(3, 10)),
        ('pipe("send", "parts=64 size=65536 last=5")', None),
        ('pipe("lent", "size=3000000")', b"a" * 3_000_000),
        ("", b""),
    ],
)
def test_http_2(
    http2: Nginx, client: Http2, code: str, body: bytes | None
) -> None:
    if body is None:
        body = letters(64, 65536) + b"....."
    stream = client.get(url("/run", code))
    client.read_all()
    assert (stream.ended, stream.body) == (True, body)
    if code:
        assert take(http2) == [len(body)]


@pytest.mark.valgrind
def test_an_error_in_http_2_resets_the_stream(
    http2: Nginx, client: Http2
) -> None:
    """And no other one."""
    wrong = client.get(
        url("/run", 'pipe("send", "parts=3 size=10 sleep=20 rc=1")')
    )
    right = client.get(url("/run", 'pipe("send", "parts=30 size=9 sleep=9")'))
    client.read_all()
    assert (wrong.body, wrong.ended) == (letters(3, 10), False)
    assert wrong.error == ErrorCodes.INTERNAL_ERROR
    assert (right.body, right.ended) == (letters(30, 9), True)
    assert sorted(take(http2, 2), key=len) == [[270], [None, "failed", 1]]


@pytest.mark.valgrind
def test_an_include_that_fails_in_http_2(http2: Nginx, client: Http2) -> None:
    code = f"ngx.print('<{SSI.format('/part-wrong')}>')"
    wrong = client.get(url("/ssi", code))
    right = client.get(url("/run", 'pipe("send", "parts=30 size=9 sleep=9")'))
    client.read_all()
    assert (wrong.ended, wrong.error) == (False, ErrorCodes.INTERNAL_ERROR)
    assert (right.body, right.ended) == (letters(30, 9), True)


@pytest.mark.valgrind
@pytest.mark.parametrize("size", [10, 1_000_000])
@pytest.mark.parametrize("uri", ["/run", "/abort"])
@pytest.mark.parametrize("goes", ["reset", "close"])
def test_an_http_2_client_that_goes(
    http2: Nginx, client: Http2, size: int, uri: str, goes: str
) -> None:
    before = http2.lua(STREAMS + "return streams.gone()")[0]
    for _ in range(3):
        client.get(url(uri, f'pipe("endless", "size={size} sleep=5")'))
    for _ in range(10):
        client.read()
    getattr(client, goes)()
    http2.lua(STREAMS + f'streams.wait("gone", {before + 3})')


def test_an_http_2_client_that_is_slow(http2: Nginx, client: Http2) -> None:
    stream = client.get(
        url("/impatient", 'pipe("send", "parts=60 size=65536")')
    )
    while not stream.over:
        client.read()
        time.sleep(0.005)
    assert (stream.ended, stream.body) == (True, letters(60, 65536))


def test_an_http_2_client_that_reads_nothing(
    http2: Nginx, client: Http2
) -> None:
    client.get(url("/impatient", 'pipe("endless", "size=65536")'))
    assert take(http2) == [None, "client timed out"]


@pytest.mark.valgrind
def test_many_http_2_streams_at_a_time(http2: Nginx, client: Http2) -> None:
    streams = [
        client.get(url("/run", f'pipe("send", "parts=20 size={9000 + i}")'))
        for i in range(60)
    ]
    client.read_all()
    for i, stream in enumerate(streams):
        assert (stream.ended, stream.body) == (True, letters(20, 9000 + i))
    assert len(take(http2, 60)) == 60


# ---- filters

GZIP = "Accept-Encoding: gzip\r\n"


@pytest.mark.valgrind
def test_gzip(whole: Nginx) -> None:
    code = 'pipe("send", "parts=20 size=50000 last=5")'
    sock = ask(whole, "/gzip", code, more=GZIP)
    answer = answer_of(sock)
    assert answer.headers["Content-Encoding"] == "gzip"
    expected = letters(20, 50000) + b"....."
    assert zlib.decompress(answer.read(), wbits=31) == expected
    assert take(whole) == [len(expected)]


@pytest.mark.valgrind
def test_gzip_sends_each_part_when_it_has_come(whole: Nginx) -> None:
    code = 'pipe("send", "parts=3 size=50 sleep=200")'
    answer = answer_of(ask(whole, "/gzip", code, more=GZIP))
    decoder = zlib.decompressobj(wbits=31)
    begun = time.monotonic()
    body = b""
    seen = []
    while chunk := answer.read1(1000):
        body += decoder.decompress(chunk)
        seen.append((len(body), time.monotonic() - begun))
    assert body == letters(3, 50)
    assert decoder.eof
    assert [n for n, _ in seen if n][:3] == [50, 100, 150]
    assert seen[-1][1] > 0.3


@pytest.mark.valgrind
def test_an_error_behind_gzip(nginx: Nginx) -> None:
    code = 'pipe("send", "parts=3 size=50 rc=1")'
    answer = answer_of(ask(nginx, "/gzip", code, more=GZIP))
    with pytest.raises(http.client.IncompleteRead) as raised:
        answer.read()
    decoder = zlib.decompressobj(wbits=31)
    assert decoder.decompress(raised.value.partial) == letters(3, 50)
    assert not decoder.eof


@pytest.mark.valgrind
def test_filters_that_change_the_body(whole: Nginx) -> None:
    code = 'pipe("send", "parts=4 size=3 sleep=5 last=2")'
    assert whole.get(url("/sub", code)).text == "axxxbbcccddd.."
    assert whole.get(url("/body-filter", code)).text == "AAABBBCCCDDD.."
    assert take(whole, 2) == [[14], [14]]


@pytest.mark.valgrind
def test_a_body_filter_that_raises(nginx: Nginx) -> None:
    code = 'pipe("send", "parts=4 size=3 sleep=5")'
    sock = ask(nginx, "/raising-filter", code)
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        answer_of(sock).read()
    assert take(nginx) == [None, "the client has gone"]


def test_limit_rate(whole: Nginx) -> None:
    """It is not the client who is slow."""
    code = 'pipe("send", "parts=5 size=60000")'
    assert whole.get(url("/limited", code)).body == letters(5, 60000)
    assert take(whole) == [300_000]


# ---- subrequests


@pytest.mark.valgrind
def test_a_captured_subrequest(whole: Nginx) -> None:
    answer = whole.get(
        url(
            "/run",
            """
            local res = ngx.location.capture("/part")
            note(res.truncated, #res.body)
            ngx.print(res.body)
            """,
        )
    )
    assert answer.body == letters(50, 4000)
    assert sorted(take(whole, 2), key=len) == [[200_000], [False, 200_000]]


@pytest.mark.valgrind
def test_errors_of_captured_subrequests(nginx: Nginx) -> None:
    """They are truncated, and the request is unharmed."""
    answer = nginx.get(
        url(
            "/run",
            """
            for _, uri in ipairs({ "/part-wrong", "/part-exit" }) do
                local res = ngx.location.capture(uri)
                ngx.print(res.truncated, " ", res.body, "\\n")
            end
            """,
        )
    )
    lines = answer.body.splitlines()
    assert lines[0] == b"true " + letters(3, 10)
    assert lines[1].startswith(b"true aaaaaaaaaa")


@pytest.mark.valgrind
def test_subrequests_without_a_body(nginx: Nginx) -> None:
    assert nginx.get("/guarded").text == "guarded"
    assert nginx.get("/mirrored").text == "mirrored"
    assert take(nginx, 2) == [[0], [0]]


def test_the_request_of_another(nginx: Nginx) -> None:
    answer = nginx.get(
        url(
            "/run",
            """
            local first = ffi.stream(rt, "send", "parts=3 size=10")
            package.loaded.another = first
            ngx.location.capture("/lua", { method = ngx.HTTP_POST, body = [[
                local s = package.loaded.another
                package.loaded.another = nil
                require("pipes").note(s:pipe())
            ]] })
            note(first:read())
            """,
        )
    )
    assert answer.status == 200


def test_phases_in_which_nothing_can_be_sent(nginx: Nginx) -> None:
    answer = nginx.get(
        url(
            "/run",
            """
            local s = ffi.stream(rt, "send", "parts=3 size=10")
            ngx.timer.at(0, function()
                local s = ffi.stream(rt, "send", "parts=3 size=10")
                note(pcall(s.pipe, s))
            end)
            """,
        )
    )
    assert answer.status == 200
    ok, err = take(nginx)
    assert ok is False
    assert "API disabled" in err


# ---- bodies

ECHO = """
local s = assert(ffi.stream(rt, "echo", nil, { body = true }))
note(s:pipe())
"""
BODY = bytes(range(256)) * 20_000


@pytest.mark.valgrind
@pytest.mark.parametrize("chunked", [False, True])
def test_an_upload_that_is_sent_back(whole: Nginx, chunked: bool) -> None:
    """While it comes; and the connection is kept."""
    sock = whole.connect()
    for _ in range(2):
        connection = http.client.HTTPConnection("here")
        connection.sock = sock
        with ThreadPoolExecutor(1) as pool:
            sent = pool.submit(
                connection.request,
                "POST",
                url("/run", ECHO),
                (BODY[i : i + 70_000] for i in range(0, len(BODY), 70_000))
                if chunked
                else BODY,
                encode_chunked=chunked,
                headers=(
                    {"Transfer-Encoding": "chunked"}
                    if chunked
                    else {"Content-Length": str(len(BODY))}
                ),
            )
            answer = answer_of(sock)
            assert answer.read() == BODY
            sent.result()
    assert take(whole, 2) == [[len(BODY)]] * 2
