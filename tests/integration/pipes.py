# SPDX-License-Identifier: BSD-2-Clause
"""Lua code that pipes, run by a request whose whole response is its own."""

from __future__ import annotations

import contextlib
import http.client
import socket
import textwrap
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from .nginx import Nginx

STREAMS = 'local streams = require "streams" local rt = streams.load()\n'

SERVER = """
location = /run {
    content_by_lua_block { require("pipes").run() }
}
location = /rewrite {
    rewrite_by_lua_block { require("pipes").run() ngx.exit(200) }
}
location = /access {
    access_by_lua_block { require("pipes").run() ngx.exit(200) }
}
location = /abort {
    lua_check_client_abort on;
    content_by_lua_block { require("pipes").run() }
}
location = /impatient {
    send_timeout 200ms;
    content_by_lua_block { require("pipes").run() }
}
location = /unbuffered {
    lua_http10_buffering off;
    content_by_lua_block { require("pipes").run() }
}
location = /gzip {
    gzip on;
    gzip_types text/plain;
    gzip_min_length 0;
    content_by_lua_block { require("pipes").run() }
}
location = /sub {
    sub_filter_types text/plain;
    sub_filter aab xxx;
    sub_filter_once off;
    content_by_lua_block { require("pipes").run() }
}
location = /body-filter {
    body_filter_by_lua_block { ngx.arg[1] = ngx.arg[1]:upper() }
    content_by_lua_block { require("pipes").run() }
}
location = /header-filter {
    header_filter_by_lua_block { ngx.ctx.at_header() }
    content_by_lua_block { require("pipes").run() }
}
location = /ssi {
    ssi on;
    ssi_types text/plain;
    content_by_lua_block { require("pipes").run() }
}
location = /tight {
    ffi_stream_buffer 1;
    content_by_lua_block { require("pipes").run() }
}
location = /unchunked {
    chunked_transfer_encoding off;
    content_by_lua_block { require("pipes").run() }
}
location = /limited {
    limit_rate 200k;
    send_timeout 200ms;
    content_by_lua_block { require("pipes").run() }
}
location = /proxied {
    proxy_buffering off;
    proxy_http_version 1.1;
    proxy_pass http://unix:{prefix}/http.sock:/run;
}
location = /proxied-ssi {
    ssi on;
    ssi_types text/plain;
    proxy_pass http://unix:{prefix}/http.sock:/run;
}
location = /error-page {
    error_page 502 = /replaced;
    content_by_lua_block { require("pipes").run() }
}
location = /replaced { return 200 "replaced"; }
location = /raising-filter {
    body_filter_by_lua_block { error("raised") }
    content_by_lua_block { require("pipes").run() }
}
location = /part {
    content_by_lua_block {
        require("pipes").pipe("send", "parts=50 size=4000")
    }
}
location = /part-slow {
    content_by_lua_block {
        require("pipes").pipe("send", "parts=5 size=10 sleep=20")
    }
}
location = /part-wrong {
    content_by_lua_block {
        require("pipes").pipe("send", "parts=3 size=10 sleep=5 rc=1")
    }
}
location = /part-exit {
    content_by_lua_block {
        local pipes = require("pipes")
        ngx.thread.spawn(pipes.pipe, "endless", "size=10 sleep=20")
        pipes.await_header()
        ngx.exit(200)
    }
}
location = /nothing {
    content_by_lua_block { require("pipes").pipe("endless", "size=1000") }
}
location = /guarded {
    auth_request /nothing;
    content_by_lua_block { ngx.print("guarded") }
}
location = /mirrored {
    mirror /nothing;
    content_by_lua_block { ngx.print("mirrored") }
}
"""
SSI = '<!--#include virtual="{}" -->'
HTTP = """
default_type text/plain;
"""


def url(uri: str, code: str) -> str:
    return f"{uri}?{quote(textwrap.dedent(code))}"


def take(nginx: Nginx, n: int = 1) -> list[Any]:
    """What n pipes have returned, each as a list."""
    values: list[Any] = nginx.lua(
        f"""
        local notes = {{ require("pipes").take({n}) }}
        return unpack(notes)
        """
    )
    return values[0] if n == 1 else values


def settle(nginx: Nginx) -> None:
    """All parts are given back, once."""
    nginx.lua(STREAMS + "streams.settle()")


def letters(n: int, size: int) -> bytes:
    return b"".join(bytes([97 + i % 26]) * size for i in range(n))


def ask(
    nginx: Nginx,
    uri: str,
    code: str = "",
    *,
    method: str = "GET",
    version: str = "1.1",
    more: str = "",
) -> socket.socket:
    sock = nginx.connect()
    sock.sendall(
        f"{method} {url(uri, code) if code else uri} HTTP/{version}\r\n"
        f"Host: here\r\n{more}\r\n".encode()
    )
    return sock


def answer_of(sock: socket.socket, method: str = "GET") -> Any:
    answer = http.client.HTTPResponse(sock, method=method)
    answer.begin()
    return answer


def rest_of(sock: socket.socket) -> bytes:
    """All until the end; b"RESET" behind it where it was no end."""
    data = b""
    try:
        while chunk := sock.recv(1 << 20):
            data += chunk
    except ConnectionResetError:
        data += b"RESET"
    return data


def rest_of_response(sock: socket.socket) -> bytes:
    data = bytearray()
    while not data.endswith(b"0\r\n\r\n"):
        chunk = sock.recv(1 << 20)
        assert chunk
        data += chunk
    return bytes(data)


@contextlib.contextmanager
def watch(server: Nginx) -> Iterator[Nginx]:
    """All parts are given back in the end."""
    with server.watch():
        take(server, 0)
        yield server
        settle(server)


def undelivered(nginx: Nginx) -> int:
    """How many parts never were delivered."""
    return int(nginx.lua(STREAMS + "return streams.undelivered()")[0])
