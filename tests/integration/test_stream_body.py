# SPDX-License-Identifier: BSD-2-Clause
"""A client's request body that is fed to a runtime as it arrives."""

from __future__ import annotations

import contextlib
import http.client
import random
import re
import socket
import ssl
import subprocess
import threading
import time
import zlib
from collections.abc import Iterator

import pytest

from .checker import CHECKED
from .client import PATIENCE, Response, eventually
from .conftest import NewNginx
from .http2 import ClosedError, Http2Upload
from .nginx import LuaError, Nginx

HTTP = """
    lua_socket_log_errors off;
    init_worker_by_lua_block { require "bodies" }
"""

SERVER = """
    listen unix:{prefix}/h2.sock http2;
    listen unix:{prefix}/tls.sock ssl;
    ssl_certificate {prefix}/cert.pem;
    ssl_certificate_key {prefix}/key.pem;
    client_body_buffer_size 16k;

    location /sum {
        content_by_lua_block {
            require("bodies").answer("sum", ngx.var.args)
        }
    }

    location /echo {
        content_by_lua_block { require("bodies").pass("echo") }
    }

    location /pipe {
        content_by_lua_block {
            local s = assert(require("bodies").open("echo"))
            ngx.send_headers()
            local bytes, err = s:pipe()
            ngx.log(ngx.NOTICE, "pipe: ", bytes, " ", err)
        }
    }

    location /python {
        content_by_lua_block {
            local rt = assert(ngx.load_ffi("ffi_python3",
                                           "uploads," .. ngx.var.args))
            local s = assert(require("resty.ffi").stream(rt, nil, nil,
                                                         { body = true }))
            ngx.print(require("bodies").all(s))
        }
    }

    location /ignore {
        content_by_lua_block {
            require("bodies").answer("ignore", ngx.var.args)
        }
    }

    # bodies that were read before
    location /read {
        content_by_lua_block {
            ngx.req.read_body()
            require("bodies").answer("sum")
            require("bodies").answer("sum")
        }
    }
    location /needed {
        lua_need_request_body on;
        content_by_lua_block { require("bodies").answer("sum") }
    }
    location /file {
        client_body_in_file_only clean;
        content_by_lua_block {
            ngx.req.read_body()
            assert(ngx.req.get_body_file())
            require("bodies").answer("sum")
        }
    }
    location /set {
        content_by_lua_block {
            ngx.req.read_body()
            ngx.req.set_body_data("another")
            require("bodies").answer("sum")
        }
    }
    location /mirrored {
        mirror /mirror;
        content_by_lua_block { require("bodies").answer("sum") }
    }
    location = /mirror {
        internal;
        content_by_lua_block {
            ngx.log(ngx.NOTICE, "mirror: ", require("bodies").feed("sum"))
        }
    }

    # limits
    location /small {
        client_max_body_size 100k;
        content_by_lua_block { require("bodies").answer("sum") }
    }
    location /hasty {
        client_body_timeout 300ms;
        content_by_lua_block {
            require("bodies").answer("sum", ngx.var.args)
        }
    }

    location /impatient {
        content_by_lua_block {
            local s = assert(require("bodies").open(
                ngx.var.arg_method, nil,
                { first_timeout = 200, read_timeout = 200 }))
            local text, err
            if ngx.var.arg_pipe then
                ngx.send_headers()
                text, err = s:pipe()
            else
                text, err = s:read()
            end
            ngx.log(ngx.NOTICE, "impatient: ", text, " ", err)
            ngx.print(text or err)
        }
    }

    # other code that wants the body
    location /other {
        client_body_timeout 2s;
        content_by_lua_block {
            local bodies = require "bodies"

            local function try(f, ...)
                local ok, res, err = pcall(f, ...)
                return ok and tostring(res or err) or "raised " .. res
            end

            local s = assert(bodies.open("sum"))
            ngx.say(try(ngx.req.socket))
            ngx.say(try(ngx.req.discard_body))
            ngx.say(try(ngx.req.get_body_data))
            ngx.say(tostring(select(2, bodies.open("sum"))))
            if ngx.var.args == "read" then
                ngx.say(try(ngx.req.read_body))
            elseif ngx.var.args == "set" then
                ngx.say(try(ngx.req.set_body_data, ""))
            end
            ngx.flush(true)
            local text, err = bodies.all(s)
            ngx.say(text, " ", err)
            ngx.req.read_body()
            ngx.say(try(ngx.req.get_body_data))
            ngx.say(tostring(select(2, bodies.open("sum"))))
        }
    }
    location /discarded {
        content_by_lua_block {
            ngx.req.discard_body()
            require("bodies").answer("sum")
        }
    }
    location /socket {
        content_by_lua_block {
            local sock = assert(ngx.req.socket())
            local bodies = require "bodies"
            ngx.say(select(2, bodies.open("sum")))
            local data = assert(sock:receive(tonumber(ngx.var.http_length)))
            ngx.say(#data, " ", select(2, bodies.open("sum")))
        }
    }
    location /changed {
        content_by_lua_block {
            ngx.req.read_body()
            local bodies = require "bodies"
            local s = assert(bodies.open("sum", "sleep=100"))
            ngx.req.set_body_data("another")
            ngx.say(select(2, bodies.all(s)))
        }
    }

    # what happens beside it
    location /phases {
        access_by_lua_block {
            ngx.ctx.stream = assert(require("bodies").open("sum"))
        }
        content_by_lua_block {
            ngx.say(require("bodies").all(ngx.ctx.stream))
        }
    }
    location /exec {
        content_by_lua_block {
            assert(require("bodies").open("sum"))
            ngx.exec("/again")
        }
    }
    location /again {
        content_by_lua_block { require("bodies").answer("sum") }
    }
    location /beside {
        content_by_lua_block {
            local s = assert(require("bodies").open("sum"))
            ngx.print("begun ")
            ngx.flush(true)
            ngx.thread.spawn(function()
                for _ = 1, 3 do
                    ngx.print(ngx.location.capture("/missing").status, " ")
                    ngx.print(ngx.location.capture("/slow").status, " ")
                    ngx.flush(true)
                end
            end)
            ngx.say(require("bodies").all(s))
        }
    }
    location /missing { return 404; }
    location /slow { content_by_lua_block { ngx.sleep(0.1) } }
    location /capture {
        content_by_lua_block {
            local uri = ngx.var.args
            local opts = { method = ngx.HTTP_POST }
            if uri == "/sum" then
                opts.method = ngx.HTTP_GET
            elseif uri == "/own" then
                opts.body, uri = ("own "):rep(1000), "/sum"
            elseif uri == "/forwarded" then
                ngx.req.read_body()
                opts.always_forward_body, uri = true, "/sum"
            elseif uri == "/unread" then
                opts.always_forward_body, uri = true, "/sum"
            elseif uri == "/taken" then
                require("bodies").feed("sum")
                opts.always_forward_body, uri = true, "/sum"
            end
            ngx.print(ngx.location.capture(uri, opts).body)
        }
    }
    location /close {
        content_by_lua_block {
            local s = assert(require("bodies").open("sum", "sleep=1000"))
            s:close()
            ngx.say("closed")
        }
    }
    location /exit {
        content_by_lua_block {
            local s = assert(require("bodies").open("sum", "sleep=1000"))
            ngx.exit(tonumber(ngx.var.args))
        }
    }
    location /abort {
        lua_check_client_abort on;
        content_by_lua_block {
            ngx.on_abort(function()
                ngx.log(ngx.NOTICE, "abort: seen")
                ngx.exit(499)
            end)
            local text, err = require("bodies").feed("sum")
            ngx.log(ngx.NOTICE, "abort: ", text or err)
            ngx.say(text or err)
            ngx.flush(true)
            ngx.sleep(10)
            ngx.log(ngx.NOTICE, "abort: slept")
        }
    }
    location /timer {
        content_by_lua_block {
            local done
            ngx.timer.at(0, function()
                done = select(2, require("bodies").open("sum")) or "fed"
            end)
            while not done do
                ngx.sleep(0.01)
            end
            ngx.say(done)
        }
    }
    location /count {
        content_by_lua_block { ngx.say(require("bodies")[ngx.var.args]()) }
    }
"""

UPLOADS = """
import zlib
from resty_ffi import AsyncBodyReader, BodyReader, serve

@serve
def plain(body: BodyReader) -> str:
    size, adler = 0, 1
    for part in body:
        size += len(part)
        adler = zlib.adler32(part, adler)
    return f"{size} {adler}\\n"

@serve
async def loop(body: AsyncBodyReader) -> str:
    size, adler = 0, 1
    async for part in body:
        size += len(part)
        adler = zlib.adler32(part, adler)
    return f"{size} {adler}\\n"

@serve
def whole(body: bytes) -> str:
    return f"{len(body)} {zlib.adler32(body)}\\n"

@serve
def tokens(body: BodyReader):
    for part in body:
        yield part.upper()
"""
SIZES = [1, 100, 16384, 16385, 100_000, 5_000_000]
GONE = "client closed the connection"


def prepare(nginx: Nginx) -> Nginx:
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-nodes", "-subj", "/CN=localhost"),
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-keyout", "key.pem", "-out", "cert.pem"),
        ],
        cwd=nginx.prefix,
        check=True,
        capture_output=True,
    )
    return nginx


@pytest.fixture(scope="module")
def server(new_nginx: NewNginx) -> Iterator[Nginx]:
    with prepare(new_nginx(http=HTTP, server=SERVER)) as nginx:
        yield nginx


@pytest.fixture
def alone(new_nginx: NewNginx) -> Iterator[Nginx]:
    main = "worker_shutdown_timeout 1s;"
    with prepare(new_nginx(main=main, http=HTTP, server=SERVER)) as nginx:
        yield nginx


def body_of(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def sum_of(body: bytes) -> str:
    return f"{len(body)} {zlib.adler32(body)}\n"


class Upload:
    """A request whose body the test sends bit by bit."""

    def __init__(
        self,
        nginx: Nginx,
        uri: str,
        length: int | None = None,
        headers: str = "",
        version: str = "1.1",
        tls: bool = False,
    ) -> None:
        self.chunked = length is None
        kind = (
            "Transfer-Encoding: chunked"
            if length is None
            else f"Content-Length: {length}"
        )
        self.sock = connect_tls(nginx) if tls else nginx.connect()
        self.sock.sendall(
            f"POST {uri} HTTP/{version}\r\nHost: localhost\r\n{headers}"
            f"{kind}\r\n\r\n".encode()
        )

    def __enter__(self) -> Upload:
        return self

    def __exit__(self, *exception: object) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        if self.chunked:
            data = b"%x\r\n%s\r\n" % (len(data), data)
        self.sock.sendall(data)

    def finish(self) -> None:
        if self.chunked:
            self.sock.sendall(b"0\r\n\r\n")

    def fill(self, patience: float = 0.5) -> int:
        """Sends zeros until the server has taken none for so long."""
        assert not self.chunked
        self.sock.settimeout(patience)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while True:
                sent += self.sock.send(bytes(65536))
        self.sock.settimeout(PATIENCE)
        return sent

    def begin_answer(self) -> http.client.HTTPResponse:
        answer = http.client.HTTPResponse(self.sock)
        answer.begin()
        return answer

    def answer(self) -> Response:
        answer = self.begin_answer()
        return Response(
            answer.status, dict(answer.getheaders()), answer.read()
        )


def connect_tls(nginx: Nginx) -> socket.socket:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(PATIENCE)
    sock.connect(str(nginx.prefix / "tls.sock"))
    return context.wrap_socket(sock)


class Reader:
    """Answers that stand one behind the other."""

    def __init__(self, sock: socket.socket) -> None:
        self.file = sock.makefile("rb")

    def answer(self) -> bytes:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.file.readline()
        length = re.search(rb"Content-Length: (\d+)", head)
        if length:
            return self.file.read(int(length[1]))
        body = b""
        while size := int(self.file.readline(), 16):
            body += self.file.read(size)
            self.file.readline()
        self.file.readline()
        return body


def http2(nginx: Nginx) -> Http2Upload:
    return Http2Upload(nginx.prefix / "h2.sock")


def count(nginx: Nginx, name: str) -> int:
    return int(nginx.get(f"/count?{name}").text)


def wait_idle(nginx: Nginx) -> None:
    eventually(lambda: count(nginx, "running") == 0, "all calls end")


def wait_taken(nginx: Nginx) -> None:
    eventually(lambda: count(nginx, "running") == 1, "a call begins")


@contextlib.contextmanager
def one_gone(nginx: Nginx) -> Iterator[None]:
    """The runtime is told that nobody waits, if it has taken the call."""
    wait_idle(nginx)
    gone, taken = count(nginx, "gone"), count(nginx, "taken")
    yield
    wait_idle(nginx)
    assert count(nginx, "gone") - gone == count(nginx, "taken") - taken
    assert count(nginx, "faults") == 0


# -- whole and right ------------------------------------------------------


@pytest.mark.valgrind
@pytest.mark.parametrize("size", SIZES)
def test_length(nginx: Nginx, size: int) -> None:
    body = body_of(size)
    assert nginx.post("/sum", body).text == sum_of(body)


@pytest.mark.valgrind
@pytest.mark.parametrize("size", SIZES)
def test_chunked(nginx: Nginx, size: int) -> None:
    body = body_of(size)
    rand = random.Random(1)
    with Upload(nginx, "/sum") as upload:
        at = 0
        while at < size:
            n = rand.choice([1, 7, 130, 1000, 20000, 100_000])
            upload.send(body[at : at + n])
            at += n
        upload.finish()
        assert upload.answer().text == sum_of(body)


@pytest.mark.valgrind
@pytest.mark.parametrize("declared", [True, False], ids=["length", "none"])
@pytest.mark.parametrize("size", SIZES)
def test_http2(nginx: Nginx, size: int, declared: bool) -> None:
    body = body_of(size)
    with http2(nginx) as client:
        client.request("POST", "/sum", size if declared else None)
        client.send(body, end=True)
        assert client.answer() == (200, sum_of(body).encode())


@pytest.mark.valgrind
def test_http2_at_once(nginx: Nginx) -> None:
    """The whole body stands behind the head in one packet."""
    body = body_of(60000)
    for length in len(body), None:
        with http2(nginx) as client:
            client.cork()
            client.request("POST", "/sum", length)
            client.send(body, end=True)
            client.uncork()
            assert client.answer() == (200, sum_of(body).encode())


@pytest.mark.valgrind
def test_http_1_0(nginx: Nginx) -> None:
    body = body_of(100_000)
    with Upload(nginx, "/sum", len(body), version="1.0") as upload:
        upload.send(body)
        assert upload.answer().text == sum_of(body)


@pytest.mark.valgrind
def test_expect(nginx: Nginx) -> None:
    body = body_of(100_000)
    expect = "Expect: 100-continue\r\n"
    with Upload(nginx, "/sum", len(body), expect) as upload:
        go_on = b"HTTP/1.1 100 Continue\r\n\r\n"
        assert upload.sock.recv(len(go_on)) == go_on
        upload.send(body)
        assert upload.answer().text == sum_of(body)


@pytest.mark.valgrind
@pytest.mark.parametrize("uri", ["/sum", "/sum?sleep=5"])
@pytest.mark.parametrize("size", SIZES[:5])
def test_tls(nginx: Nginx, size: int, uri: str) -> None:
    """OpenSSL has read more than it gives; none of it is forgotten."""
    body = body_of(size)
    for length in size, None:
        with Upload(nginx, uri, length, tls=True) as upload:
            upload.send(body)
            upload.finish()
            assert upload.answer().text == sum_of(body)


@pytest.mark.valgrind
def test_none(nginx: Nginx) -> None:
    assert nginx.get("/sum").text == sum_of(b"")
    assert nginx.post("/sum", b"").text == sum_of(b"")
    with Upload(nginx, "/sum") as upload:
        upload.finish()
        assert upload.answer().text == sum_of(b"")
    with http2(nginx) as client:
        client.request("POST", "/sum", None, end=True)
        assert client.answer() == (200, sum_of(b"").encode())
    with http2(nginx) as client:
        client.request("POST", "/sum", 0)
        client.send(b"", end=True)
        assert client.answer() == (200, sum_of(b"").encode())
    assert "no request body" in nginx.get("/timer").text


def test_arguments(nginx: Nginx) -> None:
    with pytest.raises(LuaError, match=r"exclude each other"):
        nginx.lua(
            """
            return require("bodies").open("sum", nil, { input = true })
            """
        )


# -- as it arrives --------------------------------------------------------


BOTH_WAYS = pytest.mark.parametrize("uri", ["/echo", "/pipe"])


@pytest.mark.valgrind
@BOTH_WAYS
def test_both_ways(nginx: Nginx, uri: str) -> None:
    """What comes back of a body that has not ended."""
    parts = [bytes([i]) * size for i, size in enumerate(SIZES[:5])]
    with Upload(nginx, uri) as upload:
        upload.send(parts[0])
        answer = upload.begin_answer()
        assert answer.read(len(parts[0])) == parts[0]
        for part in parts[1:]:
            upload.send(part)
            assert answer.read(len(part)) == part
        upload.finish()
        assert answer.read() == b""


@pytest.mark.valgrind
@BOTH_WAYS
def test_both_ways_http2(nginx: Nginx, uri: str) -> None:
    whole = b""
    with http2(nginx) as client:
        client.request("POST", uri, None)
        for i, size in enumerate(SIZES[:5]):
            part = bytes([i]) * size
            whole += part
            client.send(part)
            assert client.receive_until(len(whole)) == whole
        client.send(b"", end=True)
        assert client.answer() == (200, whole)


@BOTH_WAYS
def test_both_ways_at_once(nginx: Nginx, uri: str) -> None:
    """The client sends and receives 20 MB at the same time."""
    body = body_of(20_000_000)
    with Upload(nginx, uri, len(body)) as upload:
        sender = threading.Thread(target=upload.send, args=(body,))
        sender.start()
        answer = upload.answer()
        sender.join()
    assert answer.status == 200
    assert zlib.adler32(answer.body) == zlib.adler32(body)


@pytest.mark.valgrind
@BOTH_WAYS
def test_back_pressure_both_ways(nginx: Nginx, uri: str) -> None:
    """A client that reads nothing can send no more at last."""
    size = 3_000_000
    with Upload(nginx, uri, size) as upload:
        sent = upload.fill(0.3)
        assert sent < size
        sender = threading.Thread(
            target=upload.send, args=(bytes(size - sent),)
        )
        sender.start()
        assert upload.answer().body == bytes(size)
        sender.join()


@pytest.mark.valgrind
def test_pipe_of_client_gone(nginx: Nginx) -> None:
    for length in 10**6, None:
        since = len(nginx.log())
        with one_gone(nginx), Upload(nginx, "/pipe", length) as upload:
            upload.send(b"hello")
            answer = upload.begin_answer()
            assert answer.read(5) == b"hello"
            answer.close()
            upload.sock.close()
            nginx.wait_log("pipe: nil the client has gone", since)


@pytest.mark.valgrind
def test_back_pressure(nginx: Nginx) -> None:
    """A runtime that reads nothing has a bound on what is taken."""
    uri = "/sum?sleep=2000"
    with one_gone(nginx), Upload(nginx, uri, 10**9) as upload:
        # 64 KiB and a part of the runtime, a buffer, and the socket's
        assert upload.fill() < 1_500_000
    with one_gone(nginx), http2(nginx) as client:
        client.request("POST", uri, 10**9)
        assert 65536 < client.fill(0.5) < 300_000


@pytest.mark.valgrind
def test_slow_runtime(nginx: Nginx) -> None:
    """It goes on whenever there is room again."""
    body = body_of(1_000_000)
    assert nginx.post("/sum?sleep=5", body).text == sum_of(body)
    with http2(nginx) as client:
        client.request("POST", "/sum?sleep=5", len(body))
        client.send(body, end=True)
        assert client.answer() == (200, sum_of(body).encode())


@pytest.mark.skipif(CHECKED, reason="memory is the checker's there")
def test_memory_of_endless_upload(nginx: Nginx) -> None:
    """To a runtime that reads 1 MiB/s; and the rest of nginx serves on."""
    stop = threading.Event()
    with Upload(nginx, "/sum?sleep=31", 10**12) as upload:
        upload.sock.settimeout(0.1)

        def send() -> None:
            while not stop.is_set():
                with contextlib.suppress(TimeoutError):
                    upload.sock.send(bytes(65536))

        sender = threading.Thread(target=send)
        sender.start()
        try:
            time.sleep(1)
            before = nginx.resident()
            for _ in range(8):
                time.sleep(1)
                assert nginx.get("/ping").text == "pong"
            assert nginx.resident() - before < 1024
        finally:
            stop.set()
            sender.join()
    wait_idle(nginx)


@pytest.mark.skipif(CHECKED, reason="takes long there")
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_gibibyte(nginx: Nginx, chunked: bool) -> None:
    """At full speed, whole and right, and others have their turn."""
    piece = body_of(1 << 20)
    pieces = 1024
    adler = 1
    for _ in range(pieces):
        adler = zlib.adler32(piece, adler)
    length = None if chunked else pieces << 20
    before = nginx.resident()
    with Upload(nginx, "/sum", length) as upload:

        def send() -> None:
            for _ in range(pieces):
                upload.send(piece)
            upload.finish()

        sender = threading.Thread(target=send)
        sender.start()
        while sender.is_alive():
            assert nginx.get("/ping").text == "pong"
            time.sleep(0.05)
        sender.join()
        assert upload.answer().text == f"{pieces << 20} {adler}\n"
    assert nginx.resident() - before < 2048


@pytest.mark.parametrize("name", ["plain", "loop", "whole"])
@pytest.mark.parametrize("size", [0, *SIZES])
def test_python(nginx: Nginx, name: str, size: int) -> None:
    nginx.write_python("uploads.py", UPLOADS)
    body = body_of(size)
    assert nginx.post(f"/python?{name}", body).text == sum_of(body)
    with http2(nginx) as client:
        client.request("POST", f"/python?{name}", None)
        client.send(body, end=True)
        assert client.answer() == (200, sum_of(body).encode())


def test_python_generator(nginx: Nginx) -> None:
    nginx.write_python("uploads.py", UPLOADS)
    body = b"abc" * 100_000
    assert nginx.post("/python?tokens", body).body == body.upper()


# -- clients that do what they should not ---------------------------------


@pytest.mark.valgrind
def test_too_large(nginx: Nginx) -> None:
    """Of a chunked body that is known only on the way."""
    with one_gone(nginx), Upload(nginx, "/small") as upload:
        with contextlib.suppress(OSError):
            for _ in range(20):
                upload.send(bytes(10_000))
        answer = upload.answer()
        assert answer.status == 413
        assert answer.text == "failed: request body too large\n"
        assert answer.headers["Connection"] == "close"
    with one_gone(nginx), http2(nginx) as client:
        client.request("POST", "/small", None)
        with contextlib.suppress(ClosedError):
            client.send(bytes(200_000))
        assert client.answer() == (413, b"failed: request body too large\n")


def test_too_large_at_once(nginx: Nginx) -> None:
    """Known before the runtime has heard of it."""
    taken = count(nginx, "taken")
    sock = nginx.connect()
    with sock:
        sock.sendall(
            b"POST /small HTTP/1.1\r\nHost: a\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
            b"fffff\r\nx"
        )
        answer = http.client.HTTPResponse(sock)
        answer.begin()
        assert answer.status == 413
        assert answer.read() == b"failed: refused: request body too large\n"
        assert answer.getheader("Connection") == "close"
    assert count(nginx, "taken") == taken


@pytest.mark.valgrind
@pytest.mark.parametrize("before", [b"", b"5\r\nhello\r\n"])
@pytest.mark.parametrize("late", [False, True])
def test_invalid(nginx: Nginx, before: bytes, late: bool) -> None:
    """And what follows is not taken for another request."""
    smuggled = b"GET /ping HTTP/1.1\r\nHost: a\r\n\r\n"
    with Upload(nginx, "/sum") as upload:
        upload.sock.sendall(before)
        if late:
            time.sleep(0.1)
        upload.sock.sendall(b"nonsense\r\n" + smuggled)
        answer = upload.answer()
        assert "invalid request body" in answer.text
        assert answer.headers["Connection"] == "close"
        assert upload.sock.recv(1000) == b""
    wait_idle(nginx)


@pytest.mark.valgrind
def test_http2_of_another_length(nginx: Nginx) -> None:
    for length in 100, 10000:
        with one_gone(nginx), http2(nginx) as client:
            client.request("POST", "/sum", length)
            wait_taken(nginx)
            client.send(bytes(1000))
            client.receive_for(0.1)
            if not client.ended:
                client.send(bytes(1000), end=True)
            assert client.answer() == (400, b"failed: invalid request body\n")


@pytest.mark.valgrind
def test_client_timeout(nginx: Nginx) -> None:
    with one_gone(nginx), Upload(nginx, "/hasty", 10**6) as upload:
        upload.send(bytes(1000))
        answer = upload.answer()
        assert (answer.status, answer.text) == (
            408,
            "failed: client timed out\n",
        )
        assert answer.headers["Connection"] == "close"
    with one_gone(nginx), http2(nginx) as client:
        client.request("POST", "/hasty", 10**6)
        client.send(bytes(1000))
        assert client.answer() == (408, b"failed: client timed out\n")


@pytest.mark.valgrind
def test_no_timeout_while_held(nginx: Nginx) -> None:
    """A client that may not send is not late."""
    body = body_of(300_000)
    assert nginx.post("/hasty?sleep=100", body).text == sum_of(body)
    with http2(nginx) as client:
        client.request("POST", "/hasty?sleep=100", len(body))
        client.send(body, end=True)
        assert client.answer() == (200, sum_of(body).encode())


@pytest.mark.valgrind
@pytest.mark.parametrize("pipe", ["", "&pipe=1"])
def test_deadlines(nginx: Nginx, pipe: str) -> None:
    """The client may take its time, but not the runtime."""
    body = body_of(3000)
    uri = "/impatient?method="
    with Upload(nginx, f"{uri}sum{pipe}", len(body)) as upload:
        for at in range(0, 3000, 1000):
            time.sleep(0.3)
            upload.send(body[at : at + 1000])
        assert sum_of(body).strip() in upload.answer().text
    since = len(nginx.log())
    with one_gone(nginx), Upload(nginx, f"{uri}wait{pipe}", 10**9) as upload:
        with contextlib.suppress(OSError):
            upload.fill(1)
        nginx.wait_log("impatient: nil timeout", since)


@pytest.mark.valgrind
@pytest.mark.parametrize("size", [0, 10, 100_000])
def test_client_gone(nginx: Nginx, size: int) -> None:
    for length in 10**6, None:
        since = len(nginx.log())
        with one_gone(nginx), Upload(nginx, "/sum", length) as upload:
            if size:
                upload.send(bytes(size))
            wait_taken(nginx)
            upload.sock.close()
            nginx.wait_log(f"body failed: {GONE}", since)
    since = len(nginx.log())
    with one_gone(nginx), http2(nginx) as client:
        client.request("POST", "/sum", None)
        client.send(bytes(size))
        wait_taken(nginx)
        client.cancel()
        nginx.wait_log(f"body failed: {GONE}", since)


@pytest.mark.valgrind
def test_client_gone_while_held(nginx: Nginx) -> None:
    """Known at once: it has not sent all, and nothing of it waits."""
    since = len(nginx.log())
    uri = "/sum?sleep=1000"
    with one_gone(nginx), Upload(nginx, uri, 10**6) as upload:
        upload.send(bytes(16384 * 5))
        time.sleep(0.2)
        upload.sock.close()
        nginx.wait_log(f"body failed: {GONE}", since)
    since = len(nginx.log())
    with one_gone(nginx), http2(nginx) as client:
        client.request("POST", uri, None)
        client.fill(0.3)
        client.cancel()
        nginx.wait_log(f"body failed: {GONE}", since)


@pytest.mark.valgrind
def test_check_client_abort(nginx: Nginx) -> None:
    """Lua's handler is called while the body comes, and after that."""
    since = len(nginx.log())
    with one_gone(nginx), Upload(nginx, "/abort", 10**6) as upload:
        upload.send(bytes(1000))
        wait_taken(nginx)
        upload.sock.close()
        nginx.wait_log("abort: seen", since)

    for body in bytes(10), bytes(10**6):
        since = len(nginx.log())
        with Upload(nginx, "/abort", len(body)) as upload:
            upload.send(body)
            nginx.wait_log(f"abort: {len(body)} ", since)
            time.sleep(0.1)
            assert not nginx.count_log("abort: seen", since)
            upload.sock.close()
            nginx.wait_log("abort: seen", since)


# -- bodies that others have, or want -------------------------------------


@pytest.mark.valgrind
@pytest.mark.parametrize("size", [0, *SIZES])
@pytest.mark.parametrize("uri", ["/read", "/needed", "/file"])
def test_read_before(nginx: Nginx, uri: str, size: int) -> None:
    if uri == "/file" and size == 0:
        pytest.skip("nginx makes no file of nothing")
    body = body_of(size)
    text = sum_of(body)
    if uri == "/read":
        text += text
    assert nginx.post(uri, body).text == text
    with http2(nginx) as client:
        client.request("POST", uri, size)
        client.send(body, end=True)
        assert client.answer() == (200, text.encode())


@pytest.mark.valgrind
def test_set_before(nginx: Nginx) -> None:
    assert nginx.post("/set", b"one").text == sum_of(b"another")


@pytest.mark.valgrind
@pytest.mark.parametrize("size", SIZES)
def test_mirrored(nginx: Nginx, size: int) -> None:
    since = len(nginx.log())
    body = body_of(size)
    assert nginx.post("/mirrored", body).text == sum_of(body)
    nginx.wait_log(f"mirror: {sum_of(body).strip()}", since)


@pytest.mark.valgrind
def test_subrequests(nginx: Nginx) -> None:
    own = b"own " * 1000
    body = body_of(100_000)
    refused = "failed: refused: the request body was "
    for uri, text in {
        "/own": sum_of(own),
        "/sum": sum_of(b""),
        "/forwarded": sum_of(body),
        "/unread": f"{refused}not read before the subrequest\n",
        "/taken": f"{refused}given to a stream before\n",
    }.items():
        assert nginx.post(f"/capture?{uri}", body).text == text, uri


@pytest.mark.valgrind
def test_others_are_refused(nginx: Nginx) -> None:
    given = "the request body was given to a stream before"
    body = body_of(1000)
    refused = ["request body already exists", "nil", "nil", given]
    for length in len(body), None:
        with Upload(nginx, "/other", length) as upload:
            upload.send(body)
            upload.finish()
            lines = upload.answer().text.splitlines()
        if length is None:
            refused[0] = "chunked request bodies not supported yet"
        text = sum_of(body).strip()
        assert lines == [*refused, f"{text} nil", "nil", given]


@pytest.mark.valgrind
def test_others_read_in_the_middle(nginx: Nginx) -> None:
    """The stream fails, whatever becomes of the body."""
    used = "nil the request body was used by other code"
    with one_gone(nginx), Upload(nginx, "/other?read", 10**6) as upload:
        upload.send(bytes(1000))
        answer = upload.begin_answer()
        for _ in range(5):
            answer.readline()
        upload.send(bytes(1000))
        assert answer.readline().decode().strip() == used
        answer.read()
    with one_gone(nginx), http2(nginx) as client:
        client.request("POST", "/other?read", 3000)
        client.send(bytes(1000))
        client.receive_until(30)
        client.send(bytes(2000), end=True)
        assert used in client.answer()[1].decode()


@pytest.mark.valgrind
def test_others_set_in_the_middle(nginx: Nginx) -> None:
    """They get an error, and the stream goes on."""
    refused = "the request body is on its way to a stream"
    whole = sum_of(bytes(3000)).strip()
    with Upload(nginx, "/other?set", 3000) as upload:
        upload.send(bytes(1000))
        answer = upload.begin_answer()
        lines = [answer.readline().decode() for _ in range(5)]
        assert refused in lines[4]
        upload.send(bytes(2000))
        assert whole in answer.readline().decode()
        answer.read()
    with http2(nginx) as client:
        client.request("POST", "/other?set", 3000)
        client.send(bytes(1000))
        client.receive_until(30)
        client.send(bytes(2000), end=True)
        text = client.answer()[1].decode()
        assert refused in text
        assert whole in text


@pytest.mark.valgrind
def test_used_before(nginx: Nginx) -> None:
    with nginx.connect() as sock:
        sock.sendall(
            b"POST /discarded HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello"
        )
        answer = http.client.HTTPResponse(sock)
        answer.begin()
        assert answer.read().decode() == sum_of(b"")
    with Upload(nginx, "/discarded", 10**6) as upload:
        upload.send(bytes(1000))
        assert "body was discarded" in upload.answer().text
    with http2(nginx) as client:
        client.request("POST", "/discarded", None)
        assert b"body was discarded" in client.answer()[1]
    with Upload(nginx, "/socket", 20000, "Length: 20000\r\n") as upload:
        upload.send(bytes(20000))
        assert upload.answer().text.splitlines() == [
            "the request body is being read by other code",
            "20000 the request body was read by other code",
        ]


@pytest.mark.valgrind
@pytest.mark.parametrize("size", [200_000, 16000])
def test_set_meanwhile(nginx: Nginx, size: int) -> None:
    used = "the request body was used by other code\n"
    if size < 32768:
        used = "\n"  # it has been given to the runtime by then
    assert nginx.post("/changed", bytes(size)).text == used


# -- what happens meanwhile -----------------------------------------------


@pytest.mark.valgrind
@pytest.mark.parametrize("size", SIZES)
def test_next_phase(nginx: Nginx, size: int) -> None:
    body = body_of(size)
    assert nginx.post("/phases", body).text.strip() == sum_of(body).strip()


@pytest.mark.valgrind
def test_exec(nginx: Nginx) -> None:
    for size in 10, 200_000:
        text = nginx.post("/exec", bytes(size)).text
        assert "given to a stream before" in text
    with one_gone(nginx), Upload(nginx, "/exec", 10**6) as upload:
        upload.send(bytes(1000))
        assert "given to a stream before" in upload.answer().text


@pytest.mark.valgrind
def test_beside_subrequests(nginx: Nginx) -> None:
    """They take events of the connection; nothing is lost by that."""
    body = body_of(300_000)
    with Upload(nginx, "/beside", len(body)) as upload:
        answer = upload.begin_answer()
        for at in range(0, len(body), 3000):
            upload.send(body[at : at + 3000])
            time.sleep(0.002)
        text = answer.read().decode()
    assert re.sub("404 |200 ", "", text) == f"begun {sum_of(body)}"


@pytest.mark.valgrind
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("size", [10, 20000, 200_000])
def test_keepalive(nginx: Nginx, size: int, chunked: bool) -> None:
    """The next request stands where the body ends, whenever it comes."""
    ping = b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n"
    body = body_of(size)
    raw = b"%x\r\n%s\r\n0\r\n\r\n" % (size, body) if chunked else body
    with Upload(nginx, "/sum", None if chunked else size) as upload:
        upload.sock.sendall(raw)
        assert upload.answer().text == sum_of(body)
        upload.sock.sendall(ping)
        assert upload.answer().text == "pong"
    with Upload(nginx, "/sum", None if chunked else size) as upload:
        upload.sock.sendall(raw + ping + ping)
        reader = Reader(upload.sock)
        assert reader.answer() == sum_of(body).encode()
        assert reader.answer() == reader.answer() == b"pong"


@pytest.mark.valgrind
@pytest.mark.parametrize("uri", ["/close", "/ignore", "/exit?200"])
def test_unread(nginx: Nginx, uri: str) -> None:
    """The client gets its answer, and the connection ends."""
    with Upload(nginx, uri, 10**7) as upload:
        upload.send(bytes(1000))
        answer = upload.begin_answer()
        upload.sock.settimeout(0.3)
        with contextlib.suppress(OSError):
            for _ in range(100):
                upload.sock.send(bytes(65536))
        upload.sock.settimeout(PATIENCE)
        assert answer.status == 200
        if uri != "/exit?200":
            assert answer.getheader("Connection") == "close"
        answer.read()
    wait_idle(nginx)
    with http2(nginx) as client:
        client.request("POST", uri, 10**7)
        client.send(bytes(1000))
        assert client.answer()[0] == 200
    wait_idle(nginx)


@pytest.mark.valgrind
@pytest.mark.parametrize("code", [404, 413, 444, 500])
def test_exit(nginx: Nginx, code: int) -> None:
    with one_gone(nginx), Upload(nginx, f"/exit?{code}", 10**7) as upload:
        with contextlib.suppress(OSError):
            upload.send(bytes(100_000))
        if code == 444:
            with contextlib.suppress(ConnectionResetError):
                assert upload.sock.recv(100) == b""
        else:
            assert upload.answer().status == code


@pytest.mark.valgrind
def test_quit(alone: Nginx) -> None:
    """An upload ends in the worker where it began."""
    body = body_of(1_000_000)
    nginx = alone
    old = nginx.worker()
    with Upload(nginx, "/sum", len(body)) as upload:
        upload.send(body[:500_000])
        wait_taken(nginx)
        nginx.reload()
        upload.send(body[500_000:])
        assert upload.answer().text == sum_of(body)
    nginx.wait_gone(old)


@pytest.mark.valgrind
@pytest.mark.parametrize("held", [False, True])
def test_quit_too_late(alone: Nginx, held: bool) -> None:
    """One that takes longer than a worker may ends with it."""
    nginx = alone
    uri = "/sum?sleep=1000" if held else "/sum"
    old = nginx.worker()
    with Upload(nginx, uri, 10**9) as upload:
        if held:
            upload.fill(0.2)
        else:
            upload.send(bytes(1000))
        wait_taken(nginx)
        nginx.reload()
        nginx.wait_gone(old)
        with contextlib.suppress(ConnectionResetError):
            assert upload.sock.recv(100) == b""
    old = nginx.worker()
    with http2(nginx) as client:
        client.request("POST", uri, 10**9)
        client.send(bytes(70000 if held else 1000))
        wait_taken(nginx)
        nginx.reload()
        nginx.wait_gone(old)


URIS = (
    *(
        "/sum",
        "/sum?sleep=3",
        "/echo",
        "/pipe",
        "/ignore",
        "/close",
        "/phases",
    ),
    *("/small", "/beside", "/abort", "/exit?404", "/exit?444", "/exec"),
)


@pytest.mark.valgrind
def test_anything(nginx: Nginx) -> None:
    """Clients that do anything, at any time, beside each other."""
    wait_idle(nginx)
    threads = [
        threading.Thread(target=do_anything, args=(nginx, seed))
        for seed in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_idle(nginx)
    assert count(nginx, "faults") == 0
    body = body_of(200_000)
    assert nginx.post("/sum", body).text == sum_of(body)


def do_anything(nginx: Nginx, seed: int) -> None:
    rand = random.Random(seed)
    for _ in range(15):
        uri = rand.choice(URIS)
        size = rand.choice([0, 1, 5000, 17000, 150_000, 600_000])
        sent = size if rand.random() < 0.5 else rand.randrange(size + 1)
        length = rand.choice([size, None])
        with contextlib.suppress(
            OSError, ClosedError, http.client.HTTPException
        ):
            if rand.random() < 0.3:
                with http2(nginx) as client:
                    client.request("POST", uri, length)
                    client.send(bytes(sent), end=sent == size)
                    if rand.random() < 0.5:
                        client.cancel()
                    client.receive_for(rand.random() / 10)
                continue
            tls = rand.random() < 0.3
            with Upload(nginx, uri, length, tls=tls) as upload:
                upload.sock.settimeout(2)
                while sent:
                    part = min(sent, rand.choice([1, 300, 20000, 100_000]))
                    upload.send(bytes(part))
                    sent -= part
                    if rand.random() < 0.1:
                        time.sleep(0.01)
                if rand.random() < 0.8:
                    upload.finish()
                upload.sock.settimeout(rand.random() / 10)
                if rand.random() < 0.7:
                    upload.answer()
