# SPDX-License-Identifier: BSD-2-Clause
"""traceparent travels with calls and web requests."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator

import pytest

from .client import PATIENCE, UnixConnection
from .conftest import NewNginx
from .nginx import HERE, ROOT, Nginx

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OTHER = "00-11111111111111111111111111111111-2222222222222222-00"

APP = """
    import asyncio
    from resty_ffi import current, serve

    @serve
    def plain(request):
        return repr(current().trace)

    @serve
    class Loop:
        async def one(self, request):
            await asyncio.sleep(0)
            return await asyncio.to_thread(lambda: repr(current().trace))

        async def parts(self, request):
            yield repr(current().trace)

    def wsgi(environ, start_response):
        start_response("200 OK", [])
        return [repr(current().trace).encode()]

    async def asgi(scope, receive, send):
        if scope["type"] != "http":
            raise NotImplementedError
        await send({"type": "http.response.start", "status": 200})
        body = repr(current().trace).encode()
        await send({"type": "http.response.body", "body": body})
"""

SERVER = """
    location /wsgi { python_pass traced:wsgi; }
    location /asgi { python_pass traced:asgi; }
    location /sub { content_by_lua_block {
        ngx.print(ngx.location.capture("/wsgi").body)
    } }
"""


@pytest.fixture(scope="module")
def nginx() -> Iterator[Nginx]:
    with Nginx(
        http=f"python_path {{prefix}}/python {HERE / 'python'}"
        f" {ROOT / 'python'};",
        server=SERVER,
    ) as nginx:
        yield nginx


@pytest.fixture(scope="module", autouse=True)
def traced(nginx: Nginx) -> None:
    nginx.write_python("traced.py", textwrap.dedent(APP))


def ask(nginx: Nginx, uri: str, trace: str | None, code: str = "") -> str:
    connection = UnixConnection(nginx.socket, PATIENCE)
    headers = {"Connection": "close"}
    if trace is not None:
        headers["TraceParent"] = trace
    connection.request("POST" if code else "GET", uri, code, headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    assert answer.status == 200, text
    return text


def call(nginx: Nginx, trace: str | None, call: str) -> str:
    name, _, call = call.partition(":")
    rt = f'ngx.load_ffi("ffi_python3", "traced,{name}")'
    return ask(nginx, "/lua", trace, f"return select(2, {rt}:{call})")


CALLS = ["plain:any('')", "Loop:one('')", "Loop:parts('')"]


@pytest.mark.valgrind
@pytest.mark.parametrize("made", CALLS)
def test_of_a_call(nginx: Nginx, made: str) -> None:
    assert f"'{TRACE}'" in call(nginx, TRACE, made)
    assert '"None"' in call(nginx, None, made)


@pytest.mark.parametrize("made", CALLS)
def test_what_the_caller_says(nginx: Nginx, made: str) -> None:
    other = made.replace("''", f"'', {{traceparent = '{OTHER}'}}")
    assert f"'{OTHER}'" in call(nginx, TRACE, other)
    assert f"'{OTHER}'" in call(nginx, None, other)
    none = made.replace("''", "'', {traceparent = ''}")
    assert '"None"' in call(nginx, TRACE, none)


def test_what_is_no_string(nginx: Nginx) -> None:
    said = call(nginx, None, "plain:any('', {traceparent = 1})")
    assert "opts.traceparent must be a string" in said


@pytest.mark.valgrind
def test_of_a_stream(nginx: Nginx) -> None:
    def stream(trace: str | None, opts: str) -> str:
        return ask(
            nginx,
            "/lua",
            trace,
            f"""
            local rt = ngx.load_ffi("ffi_python3", "traced,Loop")
            local stream = require("resty.ffi").stream
            return assert(stream(rt, "parts", nil, {opts})):read()
            """,
        )

    assert f"'{TRACE}'" in stream(TRACE, "nil")
    assert f"'{OTHER}'" in stream(TRACE, f"{{traceparent = '{OTHER}'}}")
    assert '"None"' in stream(TRACE, "{traceparent = ''}")
    assert '"None"' in stream(None, "{traceparent = 'what'}")
    said = stream(None, "{traceparent = 1}")
    assert "opts.traceparent must be a string" in said


def test_in_a_timer(nginx: Nginx) -> None:
    """There is no client."""
    (said,) = nginx.lua(
        """
        local sema = require("ngx.semaphore").new()
        local said
        ngx.timer.at(0, function()
            local rt = ngx.load_ffi("ffi_python3", "traced,plain")
            said = select(2, rt:any("")); sema:post()
        end)
        sema:wait(10)
        return said
        """
    )
    assert said == "None"


@pytest.mark.valgrind
@pytest.mark.parametrize("uri", ["/wsgi", "/asgi", "/sub"])
def test_of_a_web_request(nginx: Nginx, uri: str) -> None:
    assert ask(nginx, uri, TRACE) == f"'{TRACE}'"
    assert ask(nginx, uri, None) == "None"


@pytest.mark.parametrize("uri", ["/wsgi", "/lua"])
@pytest.mark.parametrize(
    "bad",
    [
        "",
        "00",
        TRACE[:-1],
        TRACE.replace("-", "_"),
        TRACE.upper(),
        TRACE + "0",
        TRACE + "-" + "x" * 9000,
        "\xff" * 55,
    ],
)
def test_a_malformed_one(nginx: Nginx, uri: str, bad: str) -> None:
    if len(bad) > 8000:
        bad = bad[:7000]
    if uri == "/lua":
        assert '"None"' in call(nginx, bad, CALLS[0])
    elif len(bad) < 100:
        assert ask(nginx, uri, bad) == "None"


@pytest.mark.parametrize("uri", ["/wsgi", "/lua"])
def test_a_later_version(nginx: Nginx, uri: str) -> None:
    later = "01" + TRACE[2:] + "-more"
    if uri == "/lua":
        assert f"'{later}'" in call(nginx, later, CALLS[0])
    else:
        assert ask(nginx, uri, later) == f"'{later}'"


def test_the_example(new_nginx: NewNginx) -> None:
    """Its spans are of the client's trace, and children of its span."""
    conf = (ROOT / "examples" / "tracing" / "nginx.conf").read_text()
    found = re.search(r"listen 20000;\n(.*\n)    \}\n\}\n", conf, re.S)
    assert found
    folder = ROOT / "examples" / "tracing"
    with new_nginx(
        http=f"python_path {folder} {ROOT / 'python'};",
        server=found[1].replace("location /", "location /shop"),
    ) as nginx:
        assert ask(nginx, "/shop", TRACE) == "3.50\n"
        assert ask(nginx, "/shop", None) == "3.50\n"
        ok, text = nginx.lua(
            'return ngx.load_ffi("ffi_python3", "app,Shop"):spans()'
        )
        assert ok is True
        inner, outer, _, alone = json.loads(text)
        _, trace, parent, _ = TRACE.split("-")
        assert outer == ["price", trace, parent]
        assert inner[:2] == ["database", trace]
        assert alone[1] != trace
        assert alone[2] is None
