# SPDX-License-Identifier: BSD-2-Clause
"""An nginx without Lua, with web applications in C; see c/web.c."""

from __future__ import annotations

import contextlib
import io
import os
import socket
from collections.abc import Iterator, Mapping
from http.client import HTTPResponse
from pathlib import Path
from typing import Any, cast

from .bare import Bare
from .client import Response, eventually

SERVER = """
    listen unix:{prefix}/h2.sock http2;
    location / { ffi_pass webprobe; }
"""


class Web(Bare):
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
        super().__init__(
            library_path=[libs],
            main=main,
            http_first="client_max_body_size 0;",
            http=http,
            server=server,
            server_last=SERVER,
            workers=workers,
            master=master,
        )

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

    def counts(self) -> dict[str, int]:
        names = ["requests", "live", "gone", "unreleased", "undelivered"]
        words = self.text("head=200;counts").split()
        return dict(zip(names, map(int, words), strict=True))

    def settle(self) -> None:
        """Until all that has begun has ended, and is given back."""
        eventually(lambda: self.counts()["live"] == 0, "all has ended")
        eventually(lambda: self.counts()["unreleased"] <= 1, "given back")

    def cpu(self) -> float:
        """Seconds that the worker has run."""
        stat = Path(f"/proc/{self.worker()}/stat").read_text()
        words = stat.rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


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
