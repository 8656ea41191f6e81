# SPDX-License-Identifier: BSD-2-Clause
"""An nginx without Lua, with WSGI applications of apps/."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from ..client import Response
from ..nginx import BUILD, Nginx
from ..nginx import user_directive as user
from ..web import chunks, parse, until_end

APPS = Path(__file__).resolve().parent / "apps"
CORE = BUILD / "modules" / "ngx_http_ffi_module.so"

CONF = """\
load_module "{core}";
{user}
daemon off;
master_process on;
worker_processes {workers};
pid {prefix}/nginx.pid;
error_log {prefix}/error.log info;
env LD_LIBRARY_PATH;
env PYTHONMALLOC;
{main}
events {{ worker_connections 2048; }}
http {{
    log_format status "$status $request_uri";
    access_log {prefix}/access.log status;
    client_body_temp_path {prefix}/body;
    proxy_temp_path {prefix}/proxy;
    fastcgi_temp_path {prefix}/fastcgi;
    scgi_temp_path {prefix}/scgi;
    uwsgi_temp_path {prefix}/uwsgi;
    client_max_body_size 0;
    python_path {apps} {prefix}/python;
    python_venv {venv};
    python_env STATE {prefix};
    {http}
    server {{
        listen unix:{socket} backlog=1024;
        {server}
        location = /ping {{ return 200 "pong"; }}
        location / {{
            python_pass {app} wsgi;
            {location}
        }}
    }}
}}
"""


class Site(Nginx):
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
    ) -> None:
        super().__init__(workers=workers)
        if threads:
            http += f"python_threads {threads};"
        text = CONF.format(
            app=app,
            apps=APPS,
            core=CORE,
            user=user(),
            venv=sys.prefix,
            workers=workers,
            main=main,
            http=http,
            server=server,
            location=location,
            prefix=self.prefix,
            socket=self.socket,
        )
        self.conf.write_text(text.replace("{prefix}", str(self.prefix)))

    def __enter__(self) -> Site:
        super().__enter__()
        return self

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

    def raw(self, data: bytes) -> bytes:
        """All that comes back, until the end or a reset."""
        with self.connect() as sock:
            sock.sendall(data)
            return until_end(sock)

    def accesses(self) -> list[str]:
        return (self.prefix / "access.log").read_text().splitlines()


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
