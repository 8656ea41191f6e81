# SPDX-License-Identifier: BSD-2-Clause
"""An nginx without Lua whose sockets are those of asgi/apps/sockets.py."""

from __future__ import annotations

import socket
from collections.abc import Mapping

from ..asgi import site
from ..client import PATIENCE
from .frames import Peer

# its event loop is not that of cases.py
SERVER = "location = /tasks { python_pass sockets:app; }"


class Site(site.Site):
    """peer(): a client whose handshake is done. port: of TCP."""

    def __init__(
        self,
        *,
        main: str = "",
        http: str = "",
        server: str = "",
        workers: int = 1,
        uvloop: bool = True,
    ) -> None:
        self.port = free_port()
        listen = f"listen 127.0.0.1:{self.port} backlog=1024;"
        super().__init__(
            "sockets:app",
            main=main,
            http=http,
            server=listen + SERVER + server,
            workers=workers,
            uvloop=uvloop,
        )

    def over_tcp(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), PATIENCE)

    def peer(
        self,
        path: str = "/echo",
        offer: str | None = None,
        fields: Mapping[str, str | None] | None = None,
        then: bytes = b"",
        tcp: bool = False,
    ) -> Peer:
        peer = Peer(self.over_tcp() if tcp else self.connect())
        try:
            more = {"Sec-WebSocket-Extensions": offer, **(fields or {})}
            return peer.open(path, more, then)
        except BaseException:
            peer.sock.close()
            raise


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
