# SPDX-License-Identifier: BSD-2-Clause
"""The soak of WebSockets: a thousand, whose worker is replaced."""

from __future__ import annotations

from bench.sockets.client import Client, ClientError, build
from tests.integration.nginx import ROOT, Nginx
from tests.integration.python_pass.site import Site

from .soak import EXIT_S, Soak

SOCKETS = 1000
SIZE = 2048
# old workers say 1012 a second before that
LEAVING_S = 2
MAIN = f"worker_shutdown_timeout {LEAVING_S}s;"
HTTP = f"ffi_exit_timeout {EXIT_S}s;"
SERVER = """
        access_log off;
        location / { python_pass soaksockets:app asgi; }
"""


class SocketSoak(Soak):
    """Each socket sends, waits for the echo, and sends again; one that is
    told 1012 is opened anew. What is unanswered then is not lost."""

    of_parts = False

    def _make_nginx(self, log: str) -> Nginx:
        assert self.hup_s
        source = (ROOT / "bench" / "app" / "sockets.py").read_text()
        site = Site(
            SERVER,
            apps={"soaksockets.py": source.replace(*self._edit)},
            main=log + MAIN,
            http=log + HTTP,
        )
        site.configure(connections=str(4 * SOCKETS))
        return site

    def _with_clients(self) -> None:
        program = build(self.folder / f"{self.name}.client")
        try:
            client = Client(
                program, self._nginx.socket, SOCKETS, SIZE, soak=True
            )
        except ClientError as error:
            raise AssertionError(str(error)) from None
        try:
            client.count()
            self._disturb()
            found = client.end()
        finally:
            client.kill()
        untold = found["ended"] - found["told"]
        self.result.counts = {
            "answered": found["messages"],
            "wrong": found["wrong"],
            # an end without 1012, and what has no answer without an end
            "lost": untold + max(0, found["unanswered"] - found["ended"]),
            "told": found["told"],
            "unanswered": found["unanswered"],
        }

    def _write(self, version: int, last: str = "") -> None:
        pass

    def _reload(self) -> None:
        pass
