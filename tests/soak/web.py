# SPDX-License-Identifier: BSD-2-Clause
"""The soak of web requests: python_pass to ASGI and WSGI, without Lua."""

from __future__ import annotations

from tests.integration.nginx import Nginx
from tests.integration.python_pass.site import Site

from .soak import CALL_S, EXIT_S, HERE, Soak

HTTP = f"""
    keepalive_requests 5000;
    ffi_exit_timeout {EXIT_S}s;
"""
MAIN = f"worker_shutdown_timeout {CALL_S + EXIT_S}s;"
SERVER = """
        access_log off;
        location /asgi { python_pass soakweb:asgi asgi; }
        location /wsgi { python_pass soakweb:wsgi wsgi; }
"""


class WebSoak(Soak):
    """As Soak; no code is reloaded but by SIGHUP."""

    kinds = "web"
    usage = "/wsgi_usage"
    of_parts = False

    def _make_nginx(self, log: str) -> Nginx:
        source = (HERE / "app" / "soakweb.py").read_text()
        return Site(
            SERVER,
            apps={"soakweb.py": source.replace(*self._edit)},
            main=log + MAIN,
            http=log + HTTP,
            workers=2 if self.hup_s else 1,
        )

    def _write(self, version: int, last: str = "") -> None:
        pass

    def _reload(self) -> None:
        pass
