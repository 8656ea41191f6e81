# SPDX-License-Identifier: BSD-2-Clause
"""An nginx without Lua, with web applications in Python."""

from __future__ import annotations

import contextlib
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from ..bare import CORE, Bare
from ..nginx import BUILD, NGINX_MODULES

WITH_LUA = [
    NGINX_MODULES / "ndk_http_module.so",
    NGINX_MODULES / "ngx_http_lua_module.so",
    BUILD / "modules" / "ngx_http_lua_ffi_module.so",
]

# one application, app; or another one, WELL, beside it
ASK = "location / { python_pass app:app; }"
TWO = """
    location /app { python_pass app:app; }
    location /well { python_pass well:app; }
"""

WELL = """
def app(environ, start_response):
    start_response("200 OK", [])
    return [b"well"]
"""


class Site(Bare):
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
        path: str = "python_path {prefix}/python;",
        workers: int = 1,
        master: bool = True,
        lua: bool = False,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(
            load=WITH_LUA if lua else [CORE],
            main=main,
            http_first=path,
            http=http,
            server=server,
            server_last="location = /file { alias {prefix}/nginx.conf; }",
            workers=workers,
            master=master,
            environ=environ,
        )
        for name in ("PYTHONPATH", "VIRTUAL_ENV"):
            if name not in (environ or {}):
                self._environ.pop(name, None)
        for name, source in (apps or {}).items():
            self.write_python(name, textwrap.dedent(source))

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
