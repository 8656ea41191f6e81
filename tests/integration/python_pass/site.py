# SPDX-License-Identifier: BSD-2-Clause
"""An nginx without Lua, with web applications in Python."""

from __future__ import annotations

import contextlib
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from ..nginx import BUILD, NGINX_MODULES, Nginx
from ..nginx import user_directive as user

CORE = [BUILD / "modules" / "ngx_http_ffi_module.so"]
WITH_LUA = [
    NGINX_MODULES / "ndk_http_module.so",
    NGINX_MODULES / "ngx_http_lua_module.so",
    BUILD / "modules" / "ngx_http_lua_ffi_module.so",
]

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
events {{ worker_connections 1024; }}
http {{
    log_format status "$status $request_uri";
    access_log {prefix}/access.log status;
    client_body_temp_path {prefix}/body;
    proxy_temp_path {prefix}/proxy;
    fastcgi_temp_path {prefix}/fastcgi;
    scgi_temp_path {prefix}/scgi;
    uwsgi_temp_path {prefix}/uwsgi;
    {path}
    {http}
    server {{
        listen unix:{socket} backlog=1024;
        location = /ping {{ return 200 "pong"; }}
        location = /file {{ alias {prefix}/nginx.conf; }}
        {server}
    }}
}}
"""


class Site(Nginx):
    """apps: files that import finds; `{prefix}` is the server's folder.

    Our own packages are found as they are after `make`, beside the loader.
    """

    def __init__(
        self,
        server: str = "",
        *,
        apps: Mapping[str, str] | None = None,
        main: str = "",
        http: str = "",
        path: str | None = None,
        workers: int = 1,
        master: bool = True,
        lua: bool = False,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(workers=workers, master=master, environ=environ)
        for name in ("PYTHONPATH", "VIRTUAL_ENV"):
            if name not in (environ or {}):
                self._environ.pop(name, None)
        self._settings = {
            "load": "\n".join(
                f'load_module "{file}";'
                for file in (WITH_LUA if lua else CORE)
            ),
            "user": user(),
            "workers": str(workers),
            "master": "on" if master else "off",
            "main": main,
            "http": http,
            "server": server,
            "path": f"python_path {self.python_dir};"
            if path is None
            else path,
        }
        self.configure()
        for name, source in (apps or {}).items():
            self.write_python(name, textwrap.dedent(source))

    def configure(self, **changes: str) -> None:
        """Writes nginx.conf; reload() has it taken."""
        self._settings |= changes
        text = CONF.format(
            **self._settings, prefix=self.prefix, socket=self.socket
        )
        self.conf.write_text(text.replace("{prefix}", str(self.prefix)))

    def __enter__(self) -> Site:
        super().__enter__()
        return self

    def text(self, uri: str = "/") -> str:
        answer = self.get(uri)
        assert answer.status == 200, answer
        return answer.text

    @contextlib.contextmanager
    def at(self, name: str) -> Iterator[None]:
        """Requests go to another socket of it."""
        socket = self.socket
        self.socket = self.prefix / name
        try:
            yield
        finally:
            self.socket = socket


def refused(server: str = "", **settings: Any) -> str:
    """What `nginx -t` says of a configuration that it does not take."""
    ok, said = Site(server, **settings).test_configuration()
    assert not ok, said
    return said


def taken(server: str = "", **settings: Any) -> str:
    ok, said = Site(server, **settings).test_configuration()
    assert ok, said
    return said
