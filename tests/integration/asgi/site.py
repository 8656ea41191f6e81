# SPDX-License-Identifier: BSD-2-Clause
"""An nginx without Lua that passes requests to the applications of apps/."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import sys
from collections.abc import Iterator, Mapping
from http.client import HTTPResponse
from pathlib import Path
from typing import Any, cast

from ..bare import Bare
from ..client import eventually
from ..nginx import NGINX_VERSION, ROOT
from ..web import Bytes

APPS = Path(__file__).resolve().parent / "apps"

HTTP = f"""
    client_max_body_size 0;
    python_venv {sys.prefix};
    python_path {ROOT}/python {APPS} {{prefix}}/python;
"""
# of this nginx
HAS_HINTS = NGINX_VERSION >= (1, 29)
SERVER = f"""
    {"early_hints 1;" * HAS_HINTS}
    listen unix:{{prefix}}/h2.sock http2;
    location ~ ^/(notes|tasks)$ {{ python_pass cases:app; }}
    location /static/ {{ alias {APPS}/; }}
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


class Site(Bare):
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
        super().__init__(
            main=main,
            http_first=HTTP,
            http=http,
            server=server,
            server_last=SERVER + f"location / {{ python_pass {app}; }}",
            workers=workers,
        )
        if not uvloop:
            self.write_python("uvloop.py", "raise ImportError('hidden')")

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
