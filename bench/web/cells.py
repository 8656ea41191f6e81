# SPDX-License-Identifier: BSD-2-Clause
"""What is measured: applications, and what they are asked."""

from __future__ import annotations

import dataclasses

from ..app.payload import HELLO

CONNECTIONS = 64

ASGI, WSGI = "asgi", "wsgi"


@dataclasses.dataclass(frozen=True)
class App:
    """target: module and object; streams: its answers have no end; sockets:
    it has WebSockets only."""

    target: str
    interface: str = ASGI
    streams: bool = False
    sockets: bool = False

    @property
    def key(self) -> str:
        return self.target.split(":")[0].rpartition(".")[2]


@dataclasses.dataclass(frozen=True)
class Cell:
    """size, json: what is posted, if anything; answer: what must come."""

    name: str
    title: str
    app: App
    path: str = "/hello"
    size: int = 0
    json: str = ""
    answer: bytes | None = HELLO
    workers: int = 1

    @property
    def body(self) -> bytes | None:
        return self.json.encode() or b"x" * self.size or None

    @property
    def options(self) -> list[str]:
        """Of wrk.lua."""
        found = [f"size={self.size}"] if self.size else []
        found += [f"json={self.json}"] if self.json else []
        return found + (["bodies=yes"] if self.workers > 1 else [])


BARE = App("bench.app.asgi:app")
BARE_WSGI = App("bench.app.wsgi:app", WSGI)
FASTAPI_APP = App("bench.app.fastapi:app")
KIB64 = 64 << 10
KIB4 = 4 << 10
ITEM = '{"name":"a benchmark","price":12.5,"tags":["small","quick"]}'

HELLO_CELL = Cell("hello", "ASGI hello", BARE, f"/{len(HELLO)}")
LARGE = Cell("64k", "ASGI, 64 KiB", BARE, f"/{KIB64}", answer=b"x" * KIB64)
ECHO = Cell(
    *("echo", "ASGI, echo of 4 KiB", BARE, "/echo"),
    size=KIB4,
    answer=b"x" * KIB4,
)
STARLETTE = Cell(
    "starlette", "Starlette hello", App("bench.app.starlette:app")
)
FASTAPI = Cell(
    *("fastapi", "FastAPI, one model", FASTAPI_APP, "/items"),
    json=ITEM,
    answer=ITEM.encode(),
)
WSGI_HELLO = Cell("wsgi", "WSGI hello", BARE_WSGI, f"/{len(HELLO)}")
FLASK = Cell("flask", "Flask hello", App("bench.app.flask:app", WSGI))
DJANGO = Cell("django", "Django hello", App("bench.app.django:app", WSGI))
WORKERS = Cell(
    *("workers", "four workers, 5 ms of CPU", App("bench.app.work:app"), "/"),
    answer=None,
    workers=4,
)
STREAMS = Cell(
    *(
        "streams",
        "1 000 event streams",
        App("bench.app.ticks:app", ASGI, True),
    ),
    answer=None,
)
STALLED = Cell(
    *("stalled", "stalled clients", App("bench.app.endless:app", ASGI, True)),
    answer=None,
)
MEMORY = dataclasses.replace(FASTAPI, name="memory", title="PSS, FastAPI")
SOCKETS = App("bench.app.sockets:app", sockets=True)
SOCKETS_64 = Cell("ws64", "WebSocket, 64 B", SOCKETS, size=64, answer=None)
SOCKETS_16K = Cell(
    *("ws16k", "WebSocket, 16 KiB", SOCKETS), size=16 << 10, answer=None
)
SOCKETS_IDLE = Cell("wsidle", "WebSockets that idle", SOCKETS, answer=None)

# each round goes through these, side by side
BESIDE = (
    *(HELLO_CELL, LARGE, ECHO, STARLETTE, FASTAPI, WSGI_HELLO, FLASK, DJANGO),
    *(STREAMS, WORKERS, SOCKETS_64, SOCKETS_16K),
)
# and each server of these is alone
ALONE = (STALLED, MEMORY, SOCKETS_IDLE)
CELLS = (*BESIDE, *ALONE)
