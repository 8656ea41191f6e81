# SPDX-License-Identifier: BSD-2-Clause
"""What allocates fails once, wherever the module or the loader calls it.

Nothing may happen but that who asked is told; afterwards all works again.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import http.client
import re
import shutil
import socket
import ssl
import subprocess
import termios
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import pytest

from . import checker
from .asgi.certificates import make
from .client import Response, until_end
from .conftest import NewNginx
from .nginx import BUILD, HERE, Nginx
from .web import head, parse
from .websocket import frames

MODULE = BUILD / "modules" / "ngx_http_lua_ffi_module.so"
LOADER = BUILD / "lib" / "libffi_python3.so"

APP = """
import asyncio
import ctypes
import decimal
import gc
import sys
import time
import weakref
from resty_ffi import AsyncBodyReader, BodyReader, Error, current, serve

decimal.getcontext().prec = 50  # each call has a copy of it
owed = 0

def tell(delivered):
    global owed
    owed -= 1

def unraisable(what):
    # the call itself had no memory
    if what.object is tell:
        tell(False)

sys.unraisablehook = unraisable

def ask():
    global owed
    current().on_delivered(tell)
    owed += 1

@serve
class Plain:
    def upper(self, request):
        return request.upper()

    def buffer(self, request):
        return bytearray(request)

    def text(self, request):
        return request.decode()

    def nothing(self, request):
        return None

    def told(self, request):
        ask()
        return request

    def owed(self, request):
        return str(owed)

    def traced(self, request):
        return current().trace

    def slow(self, request):
        time.sleep(0.1)
        return request

    def facts(self, request):
        call = current()
        return f"{call.method} {call.deadline > 0} {call.cancelled}"

    def chosen(self, request):
        raise Error(7, b"chosen")

    def error(self, request):
        raise ValueError("raised")

    def wrong(self, request):
        return 5

    def parts(self, request):
        for part in request, request, request:
            ask()
            yield part
        return "."

    def endless(self, request):
        while True:
            yield request

    def wrong_part(self, request):
        yield request
        yield 5

    def count(self, body: BodyReader):
        return str(sum(map(len, body)))

    def stay(self, request):
        open(request, "w").close()
        time.sleep(1000)

    def hold(self, request):
        python = ctypes.PyDLL(None)
        open(request, "w").close()
        python.sleep(1000)

globals()["long_" * 12] = Plain

@serve(view=True)
def view(request):
    return bytes(request)

@serve(threads=2)
class Loop:
    async def upper(self, request):
        await asyncio.sleep(0)
        return request.upper()

    async def told(self, request):
        ask()
        return request

    async def owed(self, request):
        return str(owed)

    async def error(self, request):
        raise ValueError("raised")

    async def forever(self, request):
        await asyncio.sleep(1000)

    async def parts(self, request):
        for part in request, request, request:
            ask()
            yield part

    async def endless(self, request):
        while True:
            yield request

    async def wrong_part(self, request):
        yield request
        yield 5

    async def count(self, body: AsyncBodyReader):
        return str(sum([len(part) async for part in body]))

    def plain_parts(self, request):
        yield from (request, request)

    def plain(self, request):
        return request

@serve
class Later:
    def __init__(self):
        self.loop = asyncio.get_running_loop()
        self.futures = weakref.WeakSet()

    def upper(self, request):
        future = self.never(request)
        self.loop.call_soon(future.set_result, request.upper())
        return future

    def told(self, request):
        ask()
        return self.upper(request)

    def error(self, request):
        future = self.never(request)
        future.set_exception(ValueError("raised"))
        return future

    def parts(self, request):
        async def give():
            ask()
            yield request

        return give()

    def never(self, request):
        future = self.loop.create_future()
        self.futures.add(future)
        return future

    async def owed(self, request):
        gc.collect()
        return str(owed + len(self.futures))
"""

PROBE = """
    faults.load("probe", "no memory", { unpin = true }),
    faults.call("any", "x", "x"),
    faults.call("any", long, long),
    faults.call(long, "x", "x"),
    faults.call("any", "negative"),
    faults.call("any", "twice", "first"),
    faults.call("any", "hold", "timeout", nil, { timeout = 5 }),
    { "release", function()
        require("probe").release()
        return true
    end },
    faults.reload(),
    faults.call("any", "y", "y"),
    faults.unload(),
"""
FAILING = """
    { "load", function()
        local rt, err = ngx.load_ffi("probe", "fail")
        return rt ~= nil, err and "failed"
    end, "failed" },
"""
ASYNC = """
    faults.load("async", "ok /"),
    faults.call("any", "x", "async"),
    faults.reload(),
    faults.unload(),
    { "load", function()
        local rt, err = ngx.load_ffi("async", "bad /")
        return rt ~= nil, err and "failed"
    end, "failed" },
"""
STREAMS = """
    faults.load("streams", "no memory"),
    faults.call("send", "parts=3 size=4 last=1", "aaaabbbbcccc."),
    faults.call("send", "parts=3 size=4 copy=1", "aaaabbbbcccc"),
    { "echo", function(state)
        local s, err = require("resty.ffi").stream(state.rt, "echo", "a",
                                                   { input = true })
        if not s then
            return false, err
        end
        local chunks, ok, why = {}
        for i = 1, 4 do
            chunks[i], why = s:read()
            if why then
                return false, why
            end
            ok, why = s:write("b")
            if not ok then
                return false, why
            end
        end
        return s:finish(), table.concat(chunks)
    end, "abbb" },
    { "count", function(state)
        local s, err = require("resty.ffi").stream(state.rt, "count",
                                                   "sleep=2",
                                                   { input = true })
        if not s then
            return false, err
        end
        for i = 1, 3 do
            local ok, why = s:write(long)
            if not ok then
                return false, why
            end
        end
        s:finish()
        return s:read() == "750000 3", "counted"
    end, "counted" },
    faults.unload(),
"""
BODY = """
location /body {
    client_body_buffer_size 16k;
    content_by_lua_block {
        require "faults"
        local C = require("ffi").C
        local rt = assert(ngx.load_ffi("streams", "body"))
        C.faults_arm(tonumber(ngx.var.args))
        local s, err = require("resty.ffi").stream(rt, "count", nil,
                                                   { body = true })
        local text
        if s then
            text, err = s:read()
        end
        ngx.print(C.faults_disarm(), " ", text and text:match("^%d+") or err)
    }
}
"""
PIPE = """
location /pipe {
    content_by_lua_block {
        local faults = require "faults"
        local rt = assert(ngx.load_ffi("streams", "pipe"))
        local s = assert(require("resty.ffi").stream(rt, "send",
            ngx.unescape_uri(ngx.var.arg_send)))
        faults.pipe(s, tonumber(ngx.var.arg_n))
    }
}
"""
WEB = """
location /begin { rewrite ^ "/web/a b" last; }
location /web { ffi_pass webprobe; }
"""
PYTHON = """
python_path {prefix} python;
python_venv venv;
python_env HOME /;
python_env_file env;
python_param PARAM $uri;
"""
LOCATIONS = """
python_param PARAM "of $uri";
error_page 404 /hidden;
location = /hidden { internal; return 200 hidden; }
location /begin/ { rewrite ^/begin(.*)$ "$1/a b" last; }
location /asgi/ { python_pass website:asgi; python_intercept_errors on; }
location /wsgi/ {
    python_param OTHER "$request_method";
    python_pass website:wsgi wsgi;
    python_intercept_errors on;
}
location /kept/asgi/ {
    python_ignore_client_abort on;
    rewrite ^/kept(.*) $1 break;
    python_pass website:asgi;
}
location /kept/wsgi/ {
    python_ignore_client_abort on;
    rewrite ^/kept(.*) $1 break;
    python_pass website:wsgi wsgi;
}
location /living { python_pass website:living asgi; }
location /bare { python_param HTTPS on; python_pass website:wsgi wsgi; }
"""
TLS = """
server {
    listen unix:{prefix}/tls.sock ssl;
    listen 127.0.0.1:PORT;
    listen 127.0.0.2:PORT;
    ssl_certificate FOLDER/server.pem;
    ssl_certificate_key FOLDER/server.key;
    ssl_client_certificate FOLDER/server.pem;
    ssl_verify_client optional_no_ca;
    LOCATIONS
}
"""
WEBSITE = """
import asyncio
import time

FILE = {file!r}
MANY = [("x-%d" % n, "y") for n in range(40)]
BODY = b"part " * 1000


async def living(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        scope["state"]["alive"] = True
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    await start(send, [])
    await part(send, repr(scope["state"]).encode())
    await part(send)


async def start(send, headers, status=200, **more):
    await send({
        "type": "http.response.start",
        "status": status,
        "headers": [[n.encode(), v.encode()] for n, v in headers],
        **more
    })


async def part(send, body=None):
    await send({
        "type": "http.response.body",
        "body": body or b"",
        "more_body": body is not None,
    })


async def read(receive):
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise OSError("no body")
        body += message["body"]
        more = message["more_body"]
    return body


async def socket(scope, receive, send):
    await receive()
    await send({
        "type": "websocket.accept",
        "subprotocol": scope["subprotocols"][0],
        "headers": [(b"x-scheme", scope["scheme"].encode())],
    })
    while (message := await receive())["type"] != "websocket.disconnect":
        await send({**message, "type": "websocket.send"})
        if message.get("text") == "parts":
            for _ in range(9):
                await send({"type": "websocket.send", "bytes": BODY * 10})
            # behind which there is no room for a close frame
            await send({"type": "websocket.send", "bytes": BODY * 20})
            await send({"type": "websocket.close"})


async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        raise RuntimeError("there is none")
    if scope["type"] == "websocket":
        return await socket(scope, receive, send)
    body = await read(receive)
    what = scope["path"].split("/")[2]
    if what == "echo":
        said = len(body), scope["state"], scope["headers"], scope["path"]
        said += scope["raw_path"], scope["query_string"]
        said += tuple(scope["extensions"].get("tls", ()))
        await start(send, MANY)
        await part(send, repr(said).encode())
        await part(send, body)
    elif what == "parts":
        await start(send, [])
        for _ in range(5):
            await part(send, BODY)
            await asyncio.sleep(0.001)
    elif what == "file":
        await start(send, [])
        return await send({"type": "http.response.pathsend", "path": FILE})
    elif what == "trailers":
        await start(send, [], trailers=True)
        await part(send, BODY)
        await part(send)
        return await send({
            "type": "http.response.trailers",
            "headers": [(b"x-behind", b"z")],
        })
    elif what == "accel":
        await start(send, [("x-accel-redirect", "/hidden"),
                           ("x-accel-charset", "utf-8")])
        for _ in range(3):
            await part(send, BODY)
            await asyncio.sleep(0.001)
    elif what == "error":
        await start(send, [], 404)
        await part(send, BODY)
        await asyncio.sleep(0.001)
    elif what == "looks":
        await look(receive, send)
    await part(send)


async def look(receive, send):
    # into what receive and send return, as one may into a coroutine
    closed = receive()
    closed.cr_frame
    closed.close()
    disconnected = asyncio.create_task(receive())
    await asyncio.sleep(0)
    receive()
    await start(send, [])
    message = {"type": "http.response.body", "body": BODY, "more_body": True}
    awaited = send(message)
    await awaited
    awaited.cr_frame
    awaited = send(message)
    try:
        awaited.throw(ValueError())
    except ValueError:
        pass
    # some of which let others have their turn
    for _ in range(70):
        await part(send, b"")


def wsgi(environ, start_response):
    body = environ["wsgi.input"].read()
    path = environ["SCRIPT_NAME"] + environ["PATH_INFO"]
    what = path.strip("/").split("/")[-1 if path == "/bare" else 1]
    if what in ("echo", "bare"):
        said = {
            name: value for name, value in sorted(environ.items())
            if name[:5] != "wsgi."
        }
        start_response("200 OK", MANY)
        return [repr(said).encode(), body]
    if what == "write":
        write = start_response("200 OK", [])
        write(BODY)
        write(BODY)
        return []
    if what == "file":
        start_response("200 OK", [])
        return environ["wsgi.file_wrapper"](open(FILE, "rb"))
    return parts(what, start_response)


def parts(what, start_response):
    if what == "accel":
        start_response("200 OK", [("X-Accel-Redirect", "/hidden")])
    elif what == "error":
        start_response("404 Not Found", [])
    else:
        start_response("200 OK", [])
    for _ in range(3):
        yield BODY
        time.sleep(0.001)


def never(environ, start_response):
    raise AssertionError("it is not started")


raised = None


def make():
    raise RuntimeError("no start")
"""
PLAIN = """
    faults.load("ffi_python3", "short,Plain"),
    faults.call("upper", "x", "X"),
    faults.call("upper", long, long:upper()),
    faults.call("buffer", "x", "x"),
    faults.call("buffer", long, long),
    faults.call("text", long, long),
    faults.call("nothing", "x"),
    faults.call("told", "x", "x"),
    faults.owed(),
    faults.call("facts", "x", "facts True False"),
    faults.call("traced", "x", trace, nil, { traceparent = trace }),
    faults.call("chosen", "x", 7, "chosen"),
    faults.call("error", "x", 1, "ValueError: raised"),
    faults.call("wrong", "x", 1, "TypeError: short.Plain.wrong: returned "
                .. "int, not bytes, str, a buffer or None"),
    faults.reload(),
    faults.call("upper", "y", "Y"),
    faults.unload(),
"""
MISSING = """
    faults.load("ffi_python3", "short," .. ("long_"):rep(12)),
    { "a method that is not there", function(state)
        local ok, rc, err = state.rt[("m"):rep(100)](state.rt, "x")
        return ok, rc == 404 and (err or ""):sub(1, 14) or err or rc
    end, "AttributeError" },
    faults.unload(),
    { "load", function()
        local rt, err = ngx.load_ffi("ffi_python3", "short,missing")
        return rt ~= nil, err and "failed"
    end, "failed" },
    { "load", function()
        local rt, err = ngx.load_ffi("ffi_python3")
        return rt ~= nil, err and "failed"
    end, "failed" },
"""
VIEW = """
    faults.load("ffi_python3", "short,view"),
    faults.call("any", "x", "x"),
    faults.call("any", long, long),
    faults.unload(),
"""
LOOP = """
    faults.load("ffi_python3", "short,Loop"),
    faults.call("upper", "x", "X"),
    faults.call("upper", long, long:upper()),
    faults.call("told", "x", "x"),
    faults.owed(),
    faults.call("error", "x", 1, "ValueError: raised"),
    faults.call("plain", "x", "x"),
    faults.call("forever", "x", "timeout", nil, { timeout = 5 }),
    faults.call("upper", "y", "Y"),
    faults.unload(),
"""
PLAIN_PARTS = """
    faults.load("ffi_python3", "short,Plain"),
    faults.stream("upper", { "b", "c" }, "ABC"),
    faults.stream("parts", {}, "aaa."),
    faults.call("parts", long, long:rep(3) .. "."),
    faults.owed(),
    faults.call("endless", long, "timeout", nil, { timeout = 5 }),
    faults.call("wrong_part", "x", 1, "TypeError: short.Plain.wrong_part: "
                .. "yielded int, not bytes, str, a buffer or None"),
    faults.call("count", "x", "1"),
    faults.stream("count", { "b", long }, "250002"),
    faults.call("upper", "y", "Y"),
    faults.unload(),
"""
LOOP_PARTS = """
    faults.load("ffi_python3", "short,Loop"),
    faults.stream("upper", { "b", "c" }, "ABC"),
    faults.stream("parts", {}, "aaa"),
    faults.call("parts", long, long:rep(3)),
    faults.call("plain_parts", "x", "xx"),
    faults.owed(),
    faults.call("endless", long, "timeout", nil, { timeout = 5 }),
    faults.call("wrong_part", "x", 1, "TypeError: short.Loop.wrong_part: "
                .. "yielded int, not bytes, str, a buffer or None"),
    faults.call("count", "x", "1"),
    faults.stream("count", { "b", long }, "250002"),
    faults.call("upper", "y", "Y"),
    faults.unload(),
"""
LATER = """
    faults.load("ffi_python3", "short,Later"),
    faults.call("upper", "x", "X"),
    faults.call("upper", long, long:upper()),
    faults.call("told", "x", "X"),
    faults.call("parts", long, long),
    faults.call("error", "x", 1, "ValueError: raised"),
    faults.call("never", "x", "timeout", nil, { timeout = 5 }),
    faults.owed(),
    faults.call("upper", "y", "Y"),
    faults.unload(),
"""
REPORT = """
    faults.load("ffi_python3", "evaluate,init"),
    faults.report(),
    faults.unload(),
"""


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where each failure of this file is noted."""
    path = tmp_path_factory.mktemp("faults") / "sites"
    path.touch()
    path.chmod(0o666)
    path.parent.chmod(0o777)
    return path


@pytest.fixture(scope="module")
def environ(libs: Path, sites: Path) -> dict[str, str]:
    preloaded = checker.environ(libs).get("LD_PRELOAD", "")
    return {
        "LD_PRELOAD": f"{preloaded} {libs}/libfaults.so".strip(),
        "FAULTS_LOG": str(sites),
    }


@pytest.fixture(scope="module")
def server(new_nginx: NewNginx, environ: dict[str, str]) -> Iterator[Nginx]:
    settings = "ffi_exit_timeout 300ms;"
    server = BODY + PIPE + WEB
    with new_nginx(environ=environ, http=settings, server=server) as nginx:
        nginx.write_python("short.py", APP)
        yield nginx


@pytest.mark.parametrize("path", [MODULE, LOADER], ids=["module", "loader"])
def test_threads_have_what_is_their_own(path: Path) -> None:
    """From their start: glibc ends the process where there is no memory."""
    names = subprocess.run(
        ["nm", "-D", "--undefined-only", path],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "__tls_get_addr" not in names


def survive(nginx: Nginx, steps: str, n: int) -> bool:
    """Whether there was an allocation to fail: see faults_arm."""
    failures, said = nginx.lua(
        f"""
        local faults = require "faults"
        local long = ("long "):rep(50000)
        local trace = "00-" .. ("a"):rep(32) .. "-" .. ("b"):rep(16) .. "-01"
        return faults.survive({n}, {{ {steps} }})
        """
    )
    print(n, failures, said)
    return bool(failures)


@pytest.mark.valgrind
@pytest.mark.skipif(
    checker.VALGRIND and not checker.ALL, reason="takes minutes; see ASan"
)
@pytest.mark.parametrize(
    "steps",
    [
        *(PROBE, FAILING, ASYNC, STREAMS, PLAIN, PLAIN_PARTS, MISSING, VIEW),
        *(LOOP, LOOP_PARTS, LATER, REPORT),
    ],
    ids=[
        *("probe", "failing", "async", "streams", "plain", "plain-parts"),
        *("missing", "view", "loop", "loop-parts", "later", "report"),
    ],
)
def test_each_allocation(nginx: Nginx, steps: str) -> None:
    since = len(nginx.log())
    survive(nginx, steps, 0)
    n = 1
    while survive(nginx, steps, n):
        n += 1
    assert n > 3
    # threads take turns: some may have been passed over
    while survive(nginx, steps, -1):
        pass
    # no thread and no turn of a loop has ended halfway
    assert nginx.count_log("Exception in", since) == 0


@pytest.mark.valgrind
def test_each_allocation_of_a_body(nginx: Nginx) -> None:
    """Of one that is read as it arrives."""
    whole, failed = "300000", "no memory"
    assert nginx.post("/body?0", bytes(300_000)).text == f"0 {whole}"
    n = 1
    while True:
        failures, _, text = nginx.post(
            f"/body?{n}", bytes(300_000)
        ).text.partition(" ")
        assert text == (failed if int(failures) else whole)
        if failures == "0":
            break
        n += 1
    assert n > 10


@pytest.mark.valgrind
@pytest.mark.parametrize("send", ["parts=3 size=4", "parts=9 size=40000"])
def test_each_allocation_of_a_pipe(nginx: Nginx, send: str) -> None:
    """The answer is whole and the pipe says so, or it breaks off."""
    first = pipe(nginx, send, 0)
    whole = (first.status, first.body)
    assert first.body
    n = 1
    while n:
        answer = None
        with contextlib.suppress(http.client.HTTPException):
            answer = pipe(nginx, send, n)
        failures, said, size = nginx.lua("return require('faults').piped()")
        print(n, failures, said, size, answer and answer.status)
        if said is None:
            assert answer is not None
            assert (answer.status, answer.body) == whole
            assert size == len(first.body)
        else:
            assert said in ("failed", "no memory", "the client has gone")
            assert answer is None or answer.status == 500
        if failures:
            n += n > 0
        else:
            assert n == -1 or n > 5
            n = -1 if n > 0 else 0  # threads take turns
    last = pipe(nginx, send, 0)
    assert (last.status, last.body) == whole


def pipe(nginx: Nginx, send: str, n: int) -> Response:
    line = f"GET /pipe?send={quote(send)}&n={n} HTTP/1.1"
    return exchange(nginx, head("", "Connection: close", line))


@pytest.mark.valgrind
@pytest.mark.parametrize(
    ("do", "size"),
    [
        ("head=200,Content-Length:5;part=hello", 0),
        ("head=200,Content-Length:5;sleep=2;part=he;sleep=2;end=0,llo", 0),
        ("head=200,Content-Length:300000;echo", 300_000),
        ("head=200,Cache-Control:a,Content-Length:70000,Link:b;fill=70000", 0),
        ("end=3,wrong", 0),
    ],
)
def test_each_allocation_of_a_web_request(
    nginx: Nginx, do: str, size: int
) -> None:
    """The answer is right, or none, or breaks off."""
    arm = "local ffi = require 'ffi'; require 'faults'; return ffi.C.faults_"
    more = f"Content-Length: {size}\r\nConnection: close"
    ask = head(do, more, "POST /begin HTTP/1.1") + b"x" * size
    whole = exchange(nginx, ask)
    assert (whole.status, len(whole.body)) != (200, 0)
    n = 1
    while n:
        nginx.lua(f"{arm}arm({n})")
        with contextlib.suppress(http.client.HTTPException):
            answer = exchange(nginx, ask)
            if answer.status == 200:
                assert answer.body == whole.body
            else:
                assert answer.status in (500, 502)
        if nginx.lua(f"{arm}disarm()") == [1]:
            n += n > 0
        else:
            assert n == -1 or n > 3
            n = -1 if n > 0 else 0  # threads take turns
    assert exchange(nginx, ask).body == whole.body


def exchange(nginx: Nginx, ask: bytes) -> Response:
    with nginx.connect() as sock, ThreadPoolExecutor(1) as pool:
        pool.submit(sock.sendall, ask)
        return parse(until_end(sock))


# What no failure may be.  That the loop alone has a task is told so, too.
IGNORED = r"Exception ignored in: (?!<Task)|SystemError"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    make(folder, "server", "/CN=localhost")
    return folder


def add_website(nginx: Nginx) -> None:
    file = nginx.prefix / "file"
    file.write_bytes(b"of a file." * 10_000)
    nginx.write_python("website.py", WEBSITE.replace("{file!r}", f"'{file}'"))


@pytest.fixture(scope="module")
def website(
    new_nginx: NewNginx, environ: dict[str, str], certificates: Path
) -> Iterator[Nginx]:
    """Of applications that python_pass has."""
    tls = TLS.replace("FOLDER", str(certificates))
    nginx = new_nginx(
        environ=environ,
        http="ffi_exit_timeout 300ms;"
        + tls.replace("LOCATIONS", LOCATIONS).replace("PORT", str(port())),
        server=LOCATIONS,
    )
    add_website(nginx)
    with nginx:
        # all have started: a start that fails is not tried again
        for uri in ("/living", "/asgi/echo", "/wsgi/echo"):
            answer = told(raw_answer(nginx, ask_for(uri)))
            assert answer
            assert answer[0] == 200
        yield nginx


def ask_for(uri: str, size: int = 0) -> bytes:
    """With fields that come twice, and one that nobody knows."""
    fields = [
        *("Host: x", "Connection: close", "Cookie: a=b", "Cookie: c=d"),
        *("X-Twice: a", "X-Twice: b", f"X-{'Long' * 20}: c", "Accept: d"),
    ]
    if size:
        fields.append(f"Content-Length: {size}")
    line = f"{'POST' if size else 'GET'} {uri} HTTP/1.1"
    return "\r\n".join([line, *fields, "", ""]).encode() + b"x" * size


def raw_answer(nginx: Nginx, ask: bytes) -> bytes:
    with nginx.connect() as sock, ThreadPoolExecutor(1) as pool:
        pool.submit(sock.sendall, ask)
        return until_end(sock)


def raw_answer_of_tcp(
    nginx: Nginx, ask: bytes, address: str = "127.0.0.1"
) -> bytes:
    with socket.create_connection((address, port())) as sock:
        sock.sendall(ask)
        return until_end(sock)


@functools.cache
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        found: int = free.getsockname()[1]
        return found


def raw_answer_of_tls(nginx: Nginx, ask: bytes) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    data = b""
    with socket.socket(socket.AF_UNIX) as plain:
        plain.settimeout(30)
        plain.connect(str(nginx.prefix / "tls.sock"))
        with context.wrap_socket(plain) as sock:
            sock.sendall(ask)
            with contextlib.suppress(ConnectionResetError, ssl.SSLEOFError):
                while piece := sock.recv(65536):
                    data += piece
    return data


def told(raw: bytes) -> tuple[int, bytes, bytes] | None:
    """Status, body, and trailers; None: it has broken off, or is none."""
    with contextlib.suppress(http.client.HTTPException):
        answer = parse(raw)
        chunked = "Transfer-Encoding" in answer.headers
        trailers = raw.rpartition(b"\r\n0\r\n")[2] if chunked else b""
        return answer.status, answer.body, trailers
    return None


@contextlib.contextmanager
def failing(nginx: Nginx, n: int) -> Iterator[list[int]]:
    """faults_arm(n); gives a list, which is empty where nothing has failed."""
    of = "local ffi = require 'ffi'; require 'faults'; return ffi.C.faults_"
    failures: list[int] = []
    nginx.lua(f"{of}arm({n})")
    yield failures
    (failed,) = nginx.lua(f"{of}disarm()")
    failures += [n] * failed


@pytest.mark.valgrind
@pytest.mark.skipif(
    checker.VALGRIND and not checker.ALL, reason="takes minutes; see ASan"
)
@pytest.mark.parametrize(
    ("uri", "size"),
    [
        *(("/asgi/echo?a=b", 0), ("/asgi/echo", 300_000)),
        *(("/begin/asgi/echo?a", 5), ("/living", 0)),
        *(("/asgi/parts", 0), ("/asgi/file", 0), ("/asgi/trailers", 0)),
        *(("/asgi/accel", 5), ("/asgi/error", 0), ("/asgi/looks", 0)),
        *(("/wsgi/echo?a=b", 0), ("/wsgi/echo", 300_000), ("/bare", 0)),
        *(("/wsgi/parts", 0), ("/wsgi/write", 0), ("/wsgi/file", 0)),
        *(("/wsgi/accel", 5), ("/wsgi/error", 0)),
        *(("tls:/asgi/echo", 0), ("tls:/wsgi/echo?a", 5)),
        ("tcp:/asgi/echo", 0),
    ],
)
def test_each_allocation_of_an_application(
    website: Nginx, uri: str, size: int
) -> None:
    """The answer is right, or 500, or none, or breaks off."""
    way, _, uri = uri.rpartition(":")
    ask = ask_for(uri, size)
    send = {"tls": raw_answer_of_tls, "tcp": raw_answer_of_tcp}.get(
        way, raw_answer
    )
    with website.watch():
        since = len(website.log())
        whole = told(send(website, ask))
        assert whole is not None
        assert whole[0] == (404 if "error" in uri else 200)
        assert len(whole[1]) > 5
        n = 1
        while n:
            if way == "tcp":
                # so that the server's address is not that of the last one
                raw_answer_of_tcp(website, ask, "127.0.0.2")
            with failing(website, n) as failures:
                got = told(send(website, ask))
            print(n, failures, got and got[0])
            assert got in (None, whole) or got[0] in (500, 502)
            assert failures or got == whole
            if failures:
                n += n > 0
                assert told(send(website, ask)) == whole
            else:
                assert n == -1 or n > 3
                n = -1 if n > 0 else 0  # threads take turns
        assert told(send(website, ask)) == whole
        # no thread and no turn of a loop has ended halfway
        assert website.count_log("Exception in", since) == 0
        assert website.count_log(IGNORED, since) == 0


OFFERS = "permessage-deflate; server_max_window_bits=10, permessage-deflate"


def frames_for(deflate: frames.Deflate | None) -> bytes:
    """Small and large ones, in one frame and in two."""
    text = b"text " * 500
    packed = deflate.compress(text) if deflate else text
    rsv = frames.RSV1 if deflate else 0
    large = b"large" * 20_000
    return frames.encoded(
        [
            frames.Frame(frames.TEXT, b"hi"),
            *(frames.Frame(frames.TEXT, b"%d" % n) for n in range(20)),
            frames.Frame(frames.PING, b"ping"),
            frames.Frame(frames.BINARY, large),
            *frames.message(large, fragment=60_000),
            frames.Frame(frames.TEXT, packed, rsv=rsv),
            frames.Frame(frames.TEXT, b"parts"),
        ]
    )


def decoded(
    deflate: frames.Deflate | None, peer: frames.Peer
) -> frames.Frame | None:
    frame = peer.frame()
    return deflate.decoded(frame) if deflate else frame


def said_by(
    nginx: Nginx, offers: str
) -> list[frames.Frame | None] | int | None:
    """All frames, and None at the end; a status; None: not even that.

    Pongs are left out, as the last one is enough.
    """
    got: list[frames.Frame | None] = []
    with nginx.connect() as sock, frames.Peer(sock) as peer:
        try:
            more = {"Sec-WebSocket-Protocol": "a, b"}
            if offers:
                more["Sec-WebSocket-Extensions"] = offers
            peer.open("/asgi/echo", more)
        except frames.RefusalError as refusal:
            return refusal.status
        except AssertionError:
            return None
        said = peer.fields.get("sec-websocket-extensions")
        deflate = frames.Deflate(said) if said else None
        with ThreadPoolExecutor(1) as pool:
            pool.submit(peer.try_send, frames_for(deflate))
            with contextlib.suppress(AssertionError, OSError):
                while frame := decoded(deflate, peer):
                    if frame.opcode != frames.PONG:
                        got.append(frame)
                    if frame.opcode == frames.CLOSE:
                        peer.try_send(frame.encode())
                got.append(None)
            sock.close()
    return got


@pytest.mark.valgrind
@pytest.mark.skipif(
    checker.VALGRIND and not checker.ALL, reason="takes minutes; see ASan"
)
@pytest.mark.parametrize("offers", [OFFERS, ""], ids=["deflate", "plain"])
def test_each_allocation_of_a_websocket(website: Nginx, offers: str) -> None:
    """Messages are right, up to a close frame that says why, or an end."""
    with website.watch():
        since = len(website.log())
        whole = said_by(website, offers)
        assert isinstance(whole, list)
        assert whole[-2:] == [frames.closing(1000), None]
        assert len(whole) > 30
        n = 1
        while n:
            with failing(website, n) as failures:
                got = said_by(website, offers)
            print(n, failures, f"{got!r:.1000}")
            if isinstance(got, list):
                same = [a for a, b in zip(got, whole, strict=False) if a == b]
                rest = got[len(same) :]
                assert len(rest) < 3
                assert {it.code for it in rest if it} <= {1011}
            else:
                assert got in (None, 500, 502)
            assert failures or got == whole
            if failures:
                n += n > 0
                assert said_by(website, offers) == whole
            else:
                assert n == -1 or n > 20
                n = -1 if n > 0 else 0  # threads take turns
        assert said_by(website, offers) == whole
        assert website.count_log("Exception in", since) == 0
        assert website.count_log(IGNORED, since) == 0


def wait_until_full(sock: socket.socket) -> None:
    """Until no more comes to who does not read; or the end has."""
    waiting, before = b"", b"-"
    while waiting != before:
        before = waiting
        time.sleep(0.1)
        waiting = fcntl.ioctl(sock, termios.FIONREAD, bytes(4))


@pytest.mark.valgrind
def test_each_allocation_of_a_close_without_room(website: Nginx) -> None:
    """The client reads nothing before it; its answer comes with the end."""

    def last() -> frames.Frame | None:
        got = None
        with website.connect() as sock, frames.Peer(sock) as peer:
            with contextlib.suppress(
                AssertionError, OSError, frames.RefusalError
            ):
                peer.open("/asgi/echo", {"Sec-WebSocket-Protocol": "a"})
                peer.send(frames.Frame(frames.TEXT, b"parts"))
                wait_until_full(sock)
                peer.send(frames.closing(1000))
                website.lua("ngx.sleep(0.05)")
                while found := peer.frame():
                    got = found
            sock.close()
        return got

    with website.watch():
        whole = frames.closing(1000)
        assert last() == whole
        n = 1
        while n:
            with failing(website, n) as failures:
                got = last()
            assert failures or got == whole
            assert last() == whole
            if failures:
                n += n > 0
            else:
                assert n == -1 or n > 10
                n = -1 if n > 0 else 0  # threads take turns


@pytest.mark.valgrind
@pytest.mark.parametrize("uri", ["/asgi/file", "/wsgi/file"])
def test_each_allocation_behind_a_file_that_got_lost(
    website: Nginx, uri: str
) -> None:
    """It may be received when another one is wanted."""
    ask = ask_for(uri)
    with website.watch():
        whole = told(raw_answer(website, ask))
        assert whole is not None
        n = 1
        failures = [n]
        while failures:
            with failing(website, n) as failures:
                raw_answer(website, ask)
            with failing(website, -1) as others:
                got = told(raw_answer(website, ask))
            assert others or got == whole
            assert told(raw_answer(website, ask)) == whole
            n += 1
        assert n > 10


@pytest.mark.valgrind
@pytest.mark.parametrize("uri", ["/kept/asgi/parts", "/kept/wsgi/parts"])
def test_each_allocation_for_a_client_that_has_gone(
    website: Nginx, uri: str
) -> None:
    """Its application goes on."""
    ask = ask_for(uri)
    with website.watch():
        since = len(website.log())
        whole = told(raw_answer(website, ask))
        assert whole is not None
        n = 1
        failures = [n]
        while failures:
            with failing(website, n) as failures:
                with website.connect() as sock:
                    sock.sendall(ask)
                    with contextlib.suppress(ConnectionResetError):
                        sock.recv(1)
                website.lua("ngx.sleep(0.02)")
            assert told(raw_answer(website, ask)) == whole
            n += 1
        assert n > 10
        assert website.count_log("Exception in", since) == 0
        assert website.count_log(IGNORED, since) == 0


STATUS = "location /status { ffi_status full; }"


@pytest.mark.parametrize("form", ["prometheus", "openmetrics", "json", "html"])
def test_each_allocation_of_the_status(
    new_nginx: NewNginx, environ: dict[str, str], form: str
) -> None:
    """The page is whole, or 500, or none."""
    http = "ffi_exit_timeout 300ms; ffi_status_zone faults 1m;"
    http += "ffi_slow_time 20ms;"
    with new_nginx(environ=environ, http=http, server=STATUS) as nginx:
        nginx.write_python("short.py", APP)
        survive(nginx, SLOW, 0)
        ask = ask_for(f"/status?format={form}")
        n = 1
        failures = [n]
        while failures:
            with failing(nginx, n) as failures:
                got = told(raw_answer(nginx, ask))
            assert got is None or got[0] in (200, 500)
            assert failures or (got and got[0] == 200)
            n += 1
        assert n > 3


SLOW = """
    faults.load("ffi_python3", "short,Plain"),
    faults.call("slow", "x", "x"),
    { "stats", function()
        local stats, err = require("resty.ffi").stats()
        return stats ~= nil, err
    end },
    faults.unload(),
"""


def test_each_allocation_of_slow_calls_and_stats(
    new_nginx: NewNginx, environ: dict[str, str]
) -> None:
    http = "ffi_exit_timeout 300ms; ffi_status_zone faults 1m;"
    http += "ffi_slow_time 20ms;"
    with new_nginx(environ=environ, http=http) as nginx:
        nginx.write_python("short.py", APP)
        while survive(nginx, SLOW, -1):
            pass
        nginx.wait_log("FFI061")


def test_each_allocation_of_the_first_load(
    new_nginx: NewNginx, environ: dict[str, str]
) -> None:
    """What a worker does once; it does it again where that has failed."""
    steps = """
        faults.load("ffi_python3", "short,Plain"),
        faults.call("upper", "x", "X"),
        faults.unload(),
    """
    settings = "ffi_exit_timeout 300ms; ffi_status_zone faults 1m;"
    with new_nginx(environ=environ, http=settings) as nginx:
        nginx.write_python("short.py", APP)
        while survive(nginx, steps, -1):
            old = nginx.worker()
            nginx.reload()
            nginx.wait_gone(old)


def test_each_allocation_of_the_start_of_applications(
    new_nginx: NewNginx, environ: dict[str, str]
) -> None:
    """In a worker's begin; another worker has them all again."""
    settings = """
        ffi_exit_timeout 300ms;
        python_show_errors on;
        init_worker_by_lua_block {
            require "faults"
            require("ffi").C.faults_arm(-1)
        }
    """
    wrong = "location /wrong { python_pass website:make() wsgi; }"
    uris = ("/living", "/wsgi/echo", "/asgi/echo", "/wsgi/file", "/wrong")
    nginx = new_nginx(environ=environ, http=settings, server=LOCATIONS + wrong)
    nginx.allow_log(r"on_exit\(\) failed")
    add_website(nginx)
    with nginx:
        since = len(nginx.log())
        failed = 1
        while failed:
            answers = [told(raw_answer(nginx, ask_for(uri))) for uri in uris]
            codes = [answer and answer[0] for answer in answers]
            (failed,) = nginx.lua(
                "require 'faults'; return require('ffi').C.faults_disarm()"
            )
            print(failed, codes)
            assert set(codes) <= {None, 200, 500, 502}
            old = nginx.worker()
            nginx.reload()
            nginx.wait_gone(old)
        assert codes == [200, 200, 200, 200, 502]
        assert nginx.count_log(IGNORED, since) == 0


def test_the_worker_goes_on_while_a_load_fails(
    new_nginx: NewNginx, environ: dict[str, str], sites: Path, tmp_path: Path
) -> None:
    """The start waits for what another coroutine does."""
    waiting = re.compile(r" (ngx_calloc|ngx_http_lua_ffi_sema_new) ")
    others = tmp_path / "sites"
    others.write_text(
        "".join(
            line
            for line in sites.read_text().splitlines(keepends=True)
            if not waiting.search(line)
        )
    )
    environ = {**environ, "FAULTS_LOG": str(others)}
    with new_nginx(environ=environ) as nginx:
        go = nginx.prefix / "go"
        steps = f"""
            {{ "load", function(state)
                os.remove("{go}")
                local other = ngx.thread.spawn(function()
                    ngx.sleep(0.01)
                    io.open("{go}", "w"):close()
                end)
                local err
                state.rt, err = ngx.load_ffi("async", "ok {go}")
                ngx.thread.wait(other)
                return state.rt ~= nil, err
            end }},
            faults.call("any", "x", "async"),
            faults.unload(),
        """
        while survive(nginx, steps, -1):
            old = nginx.worker()
            nginx.reload()
            nginx.wait_gone(old)


def test_no_library_of_the_current_directory(
    new_nginx: NewNginx, environ: dict[str, str], libs: Path
) -> None:
    """Is opened where it cannot be told that it is there."""
    environ = {**environ, "LD_LIBRARY_PATH": f"{BUILD}/lib:"}
    with new_nginx(environ=environ) as nginx:
        shutil.copy(libs / "libprobe.so", nginx.prefix / "libhere.so")
        loaded, failures = nginx.lua(
            """
            local C = require("ffi").C
            require "faults"
            local n, failures, loaded = 0, 0, 0
            repeat
                n = n + 1
                C.faults_arm(n)
                if ngx.load_ffi("here") then
                    loaded = loaded + 1
                end
                local failed = C.faults_disarm()
                failures = failures + failed
            until failed == 0
            return loaded, failures
            """
        )
        assert loaded == 0
        assert failures > 3


def test_each_allocation_of_the_exit(
    new_nginx: NewNginx, environ: dict[str, str], sites: Path
) -> None:
    with new_nginx(environ=environ) as nginx:
        nginx.allow_log(r"on_exit\(\) failed")
        nginx.write_python("short.py", APP)
        failed = -1
        n = 0
        while len(found(sites)) != failed:
            failed = len(found(sites))
            n += 1
            old = nginx.worker()
            assert nginx.lua(
                f"""
                local rt = assert(ngx.load_ffi("ffi_python3", "short,Plain"))
                local ok, res = rt:upper("x")
                require("ffi").cdef "void faults_arm(int n);"
                require("ffi").C.faults_arm({n})
                return ok, res
                """
            ) == [True, "X"]
            nginx.reload()
            nginx.wait_gone(old)
            nginx.wait_log(f"process {old} exited with code 0")
        # by an attribute, or by the thread, that could not be had
        assert nginx.count_log(r"\[warn\].*atexit callbacks") == 2


@pytest.mark.parametrize(
    ("method", "all_calls", "told"),
    [
        ("stay", True, "in stay"),
        ("hold", False, "something holds the GIL"),
    ],
)
def test_each_allocation_of_the_exit_beside_a_thread_that_stays(
    new_nginx: NewNginx,
    environ: dict[str, str],
    sites: Path,
    method: str,
    all_calls: bool,
    told: str,
) -> None:
    """One that has the GIL makes many calls, each in its turn."""
    http = "ffi_exit_timeout 1s;"
    with new_nginx(environ=environ, http=http) as nginx:
        nginx.allow_log(r"on_exit\(\) failed")
        nginx.write_python("short.py", APP)
        failed = -1
        n = 0
        while len(found(sites)) != failed:
            failed = len(found(sites))
            since = len(nginx.log())
            n += 1
            old = nginx.worker()
            entered = nginx.prefix / f"entered{n}"
            nginx.lua(
                f"""
                local C = require("ffi").C
                require "faults"
                local rt = assert(ngx.load_ffi("ffi_python3", "short,Plain"))
                local call = ngx.thread.spawn(rt.{method}, rt, "{entered}",
                                              {{ timeout = 0 }})
                while not io.open("{entered}") do
                    ngx.sleep(0.005)
                end
                ngx.thread.kill(call)
                C.faults_arm({n if all_calls else -1})
                """
            )
            nginx.reload()
            nginx.wait_gone(old)
            nginx.wait_log(f"process {old} exited with code 0")
        assert n > 2
        assert nginx.count_log(told, since) == 1


def test_a_report_for_which_nothing_is_left(
    new_nginx: NewNginx, environ: dict[str, str]
) -> None:
    """Is not waited for, and nobody is blamed for it."""
    with new_nginx(environ=environ) as nginx:
        for n in range(1, 6):
            old = nginx.worker()
            assert nginx.lua(
                f"""
                local ffi = require "ffi"
                require "faults"
                local rt = assert(ngx.load_ffi("ffi_python3", "evaluate,init"))
                local _, tq = rt:run("result = f'return {{tq}}ULL'")
                tq = ffi.cast("void *", loadstring(tq)())
                ffi.C.faults_arm({n})
                ffi.load("ffi_python3").resty_ffi_report(tq)
                return ffi.C.faults_disarm()
                """
            ) == [1]
            nginx.reload()
            nginx.wait_gone(old)
        assert not nginx.count_log("something holds the GIL")


def test_each_allocation_of_the_configuration(
    new_nginx: NewNginx, environ: dict[str, str], sites: Path
) -> None:
    n = 1
    while True:
        before = len(found(sites))
        nginx = new_nginx(
            environ={**environ, "FAULTS_ARM": str(n)},
            http=PYTHON + "ffi_status_zone faults 1m; ffi_max_rss 1g;",
            server=WEB + LOCATIONS + STATUS,
        )
        (nginx.prefix / "env").write_text("A=b\nexport C='d'\n")
        ok, said = nginx.test_configuration()
        if len(found(sites)) == before:
            break
        assert not ok
        assert "test failed" in said
        n += 1
    assert ok, said


Site = tuple[str, str, int]


def found(sites: Path) -> list[Site]:
    """Library, function, and the address that a call of it returns to."""
    lines = [line.split() for line in sites.read_text().splitlines()]
    return [(Path(lib).name, f, int(at, 16)) for lib, f, at in lines]


def known() -> set[str]:
    """What c/faults.c can make fail."""
    source = (HERE / "c" / "faults.c").read_text()
    return {*re.findall(r"^    X\((\w+)", source, re.MULTILINE), "dlopen"}


def output_of(*command: str | Path) -> str:
    return subprocess.run(
        command, capture_output=True, text=True, check=True
    ).stdout


def calls(library: Path) -> list[Site]:
    code = output_of("objdump", "-d", "--no-show-raw-insn", library)
    call = re.compile(r"\t(?:callq?|bl)\s.*<(\w+)@plt>\n\s*([0-9a-f]+):")
    return [
        (library.name, name, int(address, 16))
        for name, address in call.findall(code)
        if name in known()
    ]


def lines_of(library: Path, sites: list[Site]) -> set[str]:
    """Where they are: the compiler may have made several of one."""
    ours = [site for site in sites if site[0] == library.name]
    lines = output_of(
        *("addr2line", "-s", "-e", library),
        *(hex(address - 1) for _, _, address in ours),
    ).splitlines()
    assert len(lines) == len(ours)
    return {
        f"{line.split()[0]} {name}"
        for line, (_, name, _) in zip(lines, ours, strict=True)
    }


libraries = pytest.mark.parametrize(
    "library", [MODULE, LOADER], ids=["module", "loader"]
)


@libraries
@pytest.mark.skipif(checker.ASAN, reason="other code")
def test_no_call_was_left_out(
    library: Path, sites: Path, request: pytest.FixtureRequest
) -> None:
    """By the tests above."""
    run = {item.name for item in request.session.items}
    if not {name for name in globals() if "_each_" in name} <= {
        name.partition("[")[0] for name in run
    }:
        pytest.skip("some have not run")
    wanted = lines_of(library, calls(library))
    assert len(wanted) > 20
    left = wanted - lines_of(library, found(sites))
    assert not left, "\n".join(sorted(left))


# Imports that have an allocation in their names, and no memory to ask for.
HARMLESS = {
    "_Py_Dealloc",
    "__tls_get_addr",
    "dup2",  # onto a number that is open
    "lua_createtable",  # raises
    "malloc_usable_size",
    "mallopt",
    "open64",
    "PyCallable_Check",
    "PyConfig_InitPythonConfig",
    "Py_InitializeFromConfig",
    "Py_MakePendingCalls",
    "PyModuleDef_Init",
    "PyList_SetItem",  # in the place of another item
    "PyFloat_FromDouble",  # c/faults.c passes no doubles on
    "PyBool_FromLong",
    "PyLong_FromLong",  # of small numbers
}


@libraries
def test_no_function_was_left_out(library: Path) -> None:
    listed = output_of("nm", "-D", "--undefined-only", library)
    imports = {
        line.split()[-1].partition("@")[0] for line in listed.splitlines()
    }
    allocating = re.compile(
        r"alloc|dup|create|open|eventfd$|socketpair|msg$|atfork|setspecific|on_exit"
        r"|_add|_push$|_new$|_New$|get_connection|attr_init|_From|_Init|Import_|Call"
        r"|Vectorcall|GetAttr|Decode|Encode|SetItem|Append|AsUTF8|_Set$"
        r"|_Copy$|PySequence_[LT]|AsTuple"
    )
    suspects = {
        name
        for name in imports
        if allocating.search(name)
        and not name.startswith(("ngx_http_lua_ffi_", "resty_ffi_"))
    }
    assert sorted(suspects - known() - HARMLESS) == []
