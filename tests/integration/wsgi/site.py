# SPDX-License-Identifier: BSD-2-Clause
"""An nginx without Lua, with WSGI applications of apps/."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from ..bare import Bare
from ..client import Response
from ..web import chunks, parse

APPS = Path(__file__).resolve().parent / "apps"
HTTP = f"""
    client_max_body_size 0;
    python_path {APPS} {{prefix}}/python;
    python_venv {sys.prefix};
    python_env STATE {{prefix}};
"""


class Site(Bare):
    """app: "module:attribute", of apps/ or what was written by write_python.

    Applications find a directory of the test's own in os.environ["STATE"].
    """

    def __init__(
        self,
        app: str,
        *,
        main: str = "",
        http: str = "",
        server: str = "",
        location: str = "",
        workers: int = 1,
        threads: int = 0,
        connections: int = 2048,
    ) -> None:
        if threads:
            http += f"python_threads {threads};"
        super().__init__(
            main=main,
            http_first=HTTP,
            http=http,
            server=server,
            server_last=f"""
                location / {{
                    python_pass {app} wsgi;
                    {location}
                }}
            """,
            workers=workers,
            connections=connections,
        )

    def ask(
        self,
        uri: str,
        *,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        chunked: bool = False,
    ) -> Response:
        """The answer; http.client raises where it is incomplete."""
        data = self.raw(request(uri, method, body, headers, chunked))
        return parse(data, method)


def request(
    uri: str,
    method: str = "GET",
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    chunked: bool = False,
) -> bytes:
    fields = {"Host": "site", "Connection": "close", **(headers or {})}
    data = body or b""
    if chunked:
        fields["Transfer-Encoding"] = "chunked"
        data = chunks(data)
    elif body is not None:
        fields["Content-Length"] = str(len(body))
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    head = f"{method} {uri} HTTP/1.1\r\n{lines}\r\n"
    return head.encode("latin-1") + data
