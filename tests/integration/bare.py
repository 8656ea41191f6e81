# SPDX-License-Identifier: BSD-2-Clause
"""An nginx without Lua, for what web applications answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .client import until_end
from .nginx import BUILD, Nginx
from .nginx import user_directive as user

CORE = BUILD / "modules" / "ngx_http_ffi_module.so"

CONF = """\
{load}
{user}
daemon off;
master_process {master};
worker_processes {workers};
pid {prefix}/nginx.pid;
error_log {prefix}/error.log info;
env LD_LIBRARY_PATH;
env PYTHONMALLOC;
{main}
events {{ worker_connections {connections}; }}
http {{
    log_format status "$status $request_uri";
    access_log {prefix}/access.log status;
    client_body_temp_path {prefix}/body;
    proxy_temp_path {prefix}/proxy;
    fastcgi_temp_path {prefix}/fastcgi;
    scgi_temp_path {prefix}/scgi;
    uwsgi_temp_path {prefix}/uwsgi;
    {http_first}
    {http}
    server {{
        listen unix:{socket} backlog=1024;
        {server}
        location = /ping {{ return 200 "pong"; }}
        {server_last}
    }}
}}
"""


class Bare(Nginx):
    """main, http and server: a test's own, as of Nginx.

    http_first and server_last: what each server of a derived class has.
    """

    def __init__(
        self,
        *,
        load: Sequence[Path] = (CORE,),
        main: str = "",
        http_first: str = "",
        http: str = "",
        server: str = "",
        server_last: str = "",
        workers: int = 1,
        connections: int = 1024,
        master: bool = True,
        library_path: Sequence[Path] = (),
        environ: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(
            workers=workers,
            master=master,
            library_path=library_path,
            environ=environ,
        )
        self._settings = {
            "load": "\n".join(f'load_module "{file}";' for file in load),
            "user": user(),
            "master": "on" if master else "off",
            "workers": str(workers),
            "connections": str(connections),
            "main": main,
            "http_first": http_first,
            "http": http,
            "server": server,
            "server_last": server_last,
        }
        self.configure()

    def configure(self, **changes: str) -> None:
        """Writes nginx.conf; reload() has it taken."""
        self._settings |= changes
        text = CONF.format(
            **self._settings, prefix=self.prefix, socket=self.socket
        )
        self.conf.write_text(text.replace("{prefix}", str(self.prefix)))

    def raw(self, *pieces: bytes) -> bytes:
        """What comes until the end, or a reset, while they are sent."""
        with self.connect() as sock, ThreadPoolExecutor(1) as pool:
            pool.submit(sock.sendall, b"".join(pieces))
            return until_end(sock)

    def accesses(self) -> list[str]:
        return (self.prefix / "access.log").read_text().splitlines()
