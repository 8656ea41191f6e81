# SPDX-License-Identifier: BSD-2-Clause
"""nginx without Lua, with an application in or behind it."""

from __future__ import annotations

import contextlib
import http.client
import resource
import sys
from pathlib import Path

from ..measure import load, run
from ..process import BenchError
from ..server import BENCH, BUILD, ROOT, Server
from .cells import CONNECTIONS, Cell
from .rows import WebRow

MODULE = BUILD / "modules" / "ngx_http_ffi_module.so"
OURS = f"""
    python_venv {sys.prefix};
    python_path {ROOT};
"""
UPSTREAM = """
    upstream python {
        server unix:@socket@;
        keepalive 512;
        keepalive_requests 1000000000;
    }
"""
PATIENCE = 30.0
WARM_UP = 2


MOST_DESCRIPTORS = 32_768


def descriptors() -> int:
    """Those that a process may have, which this raises for its children."""
    most = MOST_DESCRIPTORS
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < most:
        with contextlib.suppress(ValueError, OSError):  # not allowed
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
            return most
        most = hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most


class WebServer(Server):
    conf = BENCH / "web" / "nginx.conf"

    def __init__(
        self, row: WebRow, sockets: Path, cells: tuple[Cell, ...]
    ) -> None:
        super().__init__(row, sockets)
        self.cells = cells
        self.nginx_workers = row.workers

    def start(self) -> None:
        super().start()
        for cell in self.cells:
            self.ask(cell)
            if cell.workers > 1:
                # until each of them has begun
                run(load(self, cell.path, CONNECTIONS, WARM_UP))

    def _values(self) -> dict[str, str]:
        ours = "python_pass" in self.row.location
        http = OURS if ours else ""
        if self.row.server:
            http = UPSTREAM.replace("@socket@", str(self.socket))
        return {
            "module": f"load_module {MODULE};" if ours else "",
            "http": http,
            "workers": str(self.nginx_workers),
            "descriptors": str(descriptors()),
        }

    def ask(self, cell: Cell) -> None:
        """One request, whose answer must be right."""
        if cell.app.streams or cell.app.sockets:
            return
        client = http.client.HTTPConnection(
            "127.0.0.1", self.port, timeout=PATIENCE
        )
        try:
            self.ask_on(client, cell)
        finally:
            client.close()

    def ask_on(self, client: http.client.HTTPConnection, cell: Cell) -> None:
        method = "GET" if cell.body is None else "POST"
        headers = {"Content-Type": "application/json"} if cell.json else {}
        try:
            client.request(method, cell.path, cell.body, headers)
            response = client.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise BenchError(f"{cell.name}: {error!r}") from error
        if response.status != 200 or cell.answer not in (None, body):
            said = " ".join(body[:300].decode("latin-1").split())
            raise BenchError(
                f"{cell.name}: {response.status} {said}, see {self.folder}"
            )
