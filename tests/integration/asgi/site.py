# SPDX-License-Identifier: BSD-2-Clause
"""An nginx without Lua that passes requests to the applications of apps/."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPResponse
from pathlib import Path
from typing import Any, cast

from ..client import eventually
from ..nginx import ROOT, Nginx
from ..nginx import user_directive as user
from ..web import CORE, Bytes, until_end

APPS = Path(__file__).resolve().parent / "apps"

CONF = """\
load_module "{core}";
{user}
daemon off;
master_process on;
worker_processes {workers};
pid {prefix}/nginx.pid;
error_log {prefix}/error.log info;
env PYTHONMALLOC;
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
    python_venv {venv};
    python_path {ours} {apps} {prefix}/python;
    {http}
    server {{
        listen unix:{socket} backlog=1024;
        listen unix:{prefix}/h2.sock http2;
        {server}
        location = /ping {{ return 200 "pong"; }}
        location ~ ^/(notes|tasks)$ {{ {directive} cases:app; }}
        location /static/ {{ alias {apps}/; }}
        location / {{ {directive} {target}; }}
    }}
}}
"""


@dataclasses.dataclass(frozen=True)
class Answer:
    """fields: in the order in which they came."""

    status: int
    fields: list[tuple[str, str]]
    body: bytes

    @functools.cached_property
    def headers(self) -> dict[str, str]:
        return {name.lower(): value for name, value in self.fields}

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        return json.loads(self.body)


class Site(Nginx):
    """app: what location / has. uvloop: whether Python finds it."""

    def __init__(
        self,
        app: str = "cases:app",
        *,
        main: str = "",
        http: str = "",
        server: str = "",
        workers: int = 1,
        uvloop: bool = True,
    ) -> None:
        super().__init__(workers=workers)
        if not uvloop:
            self.write_python("uvloop.py", "raise ImportError('hidden')")
        text = CONF.format(
            core=CORE,
            user=user(),
            workers=workers,
            main=main,
            http=http,
            server=server,
            venv=sys.prefix,
            ours=ROOT / "python",
            apps=APPS,
            target=app,
            directive="python_pass",
            prefix=self.prefix,
            socket=self.socket,
        )
        self.conf.write_text(text.replace("{prefix}", str(self.prefix)))

    def __enter__(self) -> Site:
        super().__enter__()
        return self

    # -- what it is asked -----------------------------------------------

    def ask(
        self,
        uri: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        protocol: str = "HTTP/1.1",
    ) -> Answer:
        data = head(uri, method, headers, body, protocol) + (body or b"")
        return parse(self.raw(data), method)

    def raw(self, *pieces: bytes) -> bytes:
        """What comes until the end, or a reset, while they are sent."""
        with self.connect() as sock, ThreadPoolExecutor(1) as pool:
            pool.submit(sock.sendall, b"".join(pieces))
            return until_end(sock)

    @contextlib.contextmanager
    def open(
        self,
        uri: str,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[Any]:
        """A connection on which that has been asked; a body may follow."""
        with self.connect() as sock:
            sock.sendall(head(uri, method, headers, None))
            yield sock

    # -- what applications have noted --------------------------------------

    def notes(self, key: str) -> list[Any]:
        """What cases.py has noted under a key, in this worker."""
        found = self.ask(f"/notes?{key}").json()
        assert isinstance(found, list)
        return found

    def wait_notes(self, key: str, *expected: Any) -> None:
        wanted = list(expected)
        eventually(
            lambda: self.notes(key)[: len(wanted)] == wanted,
            f"{wanted} in {self.notes(key)}",
        )

    def accesses(self) -> list[str]:
        return (self.prefix / "access.log").read_text().splitlines()

    def wait_access(self, line: str) -> None:
        eventually(lambda: line in self.accesses(), line)

    def tasks(self) -> int:
        """Tasks of the event loop, without the one that counts."""
        found = self.ask("/tasks").json()
        assert isinstance(found, int)
        return found

    def wait_idle(self) -> None:
        eventually(lambda: self.tasks() == 0, "no tasks")


def head(
    uri: str,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    protocol: str = "HTTP/1.1",
) -> bytes:
    fields = {"Host": "x", "Connection": "close", **(headers or {})}
    if body is not None:
        fields.setdefault("Content-Length", str(len(body)))
    lines = [f"{method} {uri} {protocol}"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def parse(data: bytes, method: str = "GET") -> Answer:
    """IncompleteRead where the answer has ended before its end."""
    answer = HTTPResponse(cast(Any, Bytes(data)), method=method)
    answer.begin()
    return Answer(answer.status, answer.getheaders(), answer.read())
