# SPDX-License-Identifier: BSD-2-Clause
"""An nginx without Lua, with web applications in C; see c/web.c."""

from __future__ import annotations

import contextlib
import io
import os
import socket
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPResponse
from pathlib import Path
from typing import Any, cast

from .client import Response
from .nginx import BUILD, Nginx
from .nginx import user_directive as user

CORE = BUILD / "modules" / "ngx_http_ffi_module.so"

CONF = """\
load_module "{core}";
{user}
daemon off;
master_process {master};
worker_processes {workers};
pid {prefix}/nginx.pid;
error_log {prefix}/error.log info;
env LD_LIBRARY_PATH;
{main}
events {{ worker_connections 1024; }}
http {{
    log_format status "$status $request_uri";
    access_log {prefix}/access.log status;
    client_body_temp_path {prefix}/body;
    proxy_temp_path {prefix}/proxy;
    fastcgi_temp_path {prefix}/fastcgi;
    scgi_temp_path {prefix}/scgi;
    uwsgi_temp_path {prefix}/uwsgi;
    client_max_body_size 0;
    {http}
    server {{
        listen unix:{socket} backlog=1024;
        listen unix:{prefix}/h2.sock http2;
        {server}
        location = /ping {{ return 200 "pong"; }}
        location / {{ ffi_pass webprobe; }}
    }}
}}
"""


class Web(Nginx):
    """do(commands) has webprobe answer as they say."""

    def __init__(
        self,
        libs: Path,
        *,
        main: str = "",
        http: str = "",
        server: str = "",
        workers: int = 1,
        master: bool = True,
    ) -> None:
        super().__init__(library_path=[libs], workers=workers, master=master)
        text = CONF.format(
            core=CORE,
            user=user(),
            workers=workers,
            master="on" if master else "off",
            main=main,
            http=http,
            server=server,
            prefix=self.prefix,
            socket=self.socket,
        )
        self.conf.write_text(text.replace("{prefix}", str(self.prefix)))

    def __enter__(self) -> Web:
        super().__enter__()
        return self

    def do(
        self,
        commands: str,
        uri: str = "/",
        *,
        method: str = "GET",
        body: str | bytes | None = None,
        headers: Mapping[str, str] | None = None,
        chunked: bool = False,
    ) -> Response:
        fields = {"Connection": "close", **(headers or {})}
        data = body.encode() if isinstance(body, str) else body or b""
        if chunked:
            fields["Transfer-Encoding"] = "chunked"
            data = chunks(data)
        elif body is not None:
            fields["Content-Length"] = str(len(data))
        more = "\r\n".join(f"{name}: {fields[name]}" for name in fields)
        line = f"{method} {uri} HTTP/1.1"
        return parse(self.raw(head(commands, more, line), data))

    def text(self, commands: str, uri: str = "/", **more: Any) -> str:
        answer = self.do(commands, uri, **more)
        assert answer.status == 200, answer
        return answer.text

    def results(self, commands: str, **more: Any) -> list[int]:
        """What each command has returned."""
        said = self.text(f"{commands};results", **more)
        return [int(word) for word in said.split()]

    @contextlib.contextmanager
    def open(self, commands: str, more: str = "") -> Iterator[socket.socket]:
        """A connection on which that has been asked."""
        with self.connect() as sock:
            sock.sendall(head(commands, more))
            yield sock

    def raw(self, *requests: bytes) -> bytes:
        """What comes until the end, or a reset, while they are sent."""
        with self.connect() as sock, ThreadPoolExecutor(1) as pool:
            pool.submit(sock.sendall, b"".join(requests))
            return until_end(sock)

    def counts(self) -> dict[str, int]:
        names = ["requests", "live", "gone", "unreleased", "undelivered"]
        words = self.text("head=200;counts").split()
        return dict(zip(names, map(int, words), strict=True))

    def cpu(self) -> float:
        """Seconds that the worker has run."""
        stat = Path(f"/proc/{self.worker()}/stat").read_text()
        words = stat.rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def accesses(self) -> list[str]:
        return (self.prefix / "access.log").read_text().splitlines()


def head(commands: str, more: str = "", line: str = "GET / HTTP/1.1") -> bytes:
    more = more and more + "\r\n"
    return f"{line}\r\nHost: x\r\ndo: {commands}\r\n{more}\r\n".encode()


def chunks(data: bytes, size: int = 3_000) -> bytes:
    pieces = [data[i : i + size] for i in range(0, len(data), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in [*pieces, b""])


class Bytes:
    """Enough of a socket for http.client."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def makefile(self, *_: Any, **__: Any) -> io.BytesIO:
        return io.BytesIO(self.data)


def parse(data: bytes, method: str = "GET") -> Response:
    answer = HTTPResponse(cast(socket.socket, Bytes(data)), method=method)
    answer.begin()
    headers = dict(answer.getheaders())
    return Response(answer.status, headers, answer.read())


def until_end(sock: socket.socket) -> bytes:
    data = bytearray()
    with contextlib.suppress(ConnectionResetError):
        while piece := sock.recv(65536):
            data += piece
    return bytes(data)
