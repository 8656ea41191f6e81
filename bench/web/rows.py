# SPDX-License-Identifier: BSD-2-Clause
"""Who is measured: servers, each with one application."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path

from ..app.payload import HELLO
from ..cells import PROXY, SOMAXCONN, UWSGI, Row
from ..streams.rows import PROXY as STREAM_PROXY
from .cells import ASGI, HELLO_CELL, WSGI, App, Cell

PYTHON = (sys.executable, "-m")
SOCKET_PROXY = """
        location / {
            proxy_pass http://python;
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection "upgrade";
            proxy_set_header Host $http_host;
        }
"""
THREADS = "8"  # python_threads' default


@dataclasses.dataclass(frozen=True)
class WebRow(Row):
    """workers: of nginx, and of the server behind it."""

    workers: int = 1


@dataclasses.dataclass(frozen=True)
class Rival:
    """titles: by the interfaces that it serves, what it is called.

    command: of an application and a number of workers; `{socket}` in it is
    the server's unix socket. location: of nginx, instead of PROXY.
    """

    key: str
    titles: dict[str, str]
    command: Callable[[App, int], tuple[str, ...]] | None = None
    location: Callable[[App], str] | None = None

    def row(self, app: App, workers: int) -> WebRow:
        command = self.command(app, workers) if self.command else ()
        proxy = (
            SOCKET_PROXY
            if app.sockets
            else STREAM_PROXY
            if app.streams
            else PROXY
        )
        return WebRow(
            key=f"web-{app.key}-{self.key}",
            title=self.titles[app.interface],
            location=self.location(app) if self.location else proxy,
            server=command,
            cells=(),
            workers=workers,
        )


def python_pass(app: App) -> str:
    return f"location / {{ python_pass {app.target}; }}"


def just_return(app: App) -> str:
    text = HELLO.decode()
    return f'location / {{ return 200 "{text}"; }}'


def uvicorn(app: App, workers: int) -> tuple[str, ...]:
    return (
        *(*PYTHON, "uvicorn", app.target, "--uds", "{socket}"),
        *("--workers", str(workers), "--loop", "uvloop"),
        *("--http", "httptools", "--no-access-log", "--log-level", "warning"),
        *("--ws", "websockets"),
    )


def granian(app: App, workers: int) -> tuple[str, ...]:
    return (
        *(*PYTHON, "granian", "--uds", "{socket}", app.target),
        *("--interface", app.interface, "--workers", str(workers)),
        *("--loop", "uvloop", "--http", "1"),
        "--ws" if app.sockets else "--no-ws",
        *("--log-level", "error"),
    )


def uwsgi(app: App, workers: int) -> tuple[str, ...]:
    backlog = min(1024, int(SOMAXCONN.read_text()))
    return (
        *(str(Path(sys.executable).parent / "uwsgi"), "--socket", "{socket}"),
        *("--module", app.target, "--need-app", "--single-interpreter"),
        *("--virtualenv", sys.prefix, "--master", "--die-on-term"),
        *("--processes", str(workers), "--disable-logging"),
        *("--listen", str(backlog)),
    )


def gunicorn(app: App, workers: int) -> tuple[str, ...]:
    # stopped by a signal, a worker would be late for its timeout
    return (
        *(*PYTHON, "gunicorn", app.target, "--bind", "unix:{socket}"),
        *("--workers", str(workers), "--worker-class", "gthread"),
        *("--threads", THREADS, "--keep-alive", "75", "--timeout", "0"),
        *("--log-level", "warning"),
    )


OURS = Rival(
    "python_pass",
    {ASGI: "python_pass", WSGI: "python_pass"},
    location=python_pass,
)
NGINX = Rival("nginx", {ASGI: "nginx's own return 200"}, location=just_return)
UVICORN = Rival("uvicorn", {ASGI: "uvicorn"}, uvicorn)
GRANIAN = Rival(
    "granian", {ASGI: "Granian, ASGI", WSGI: "Granian, WSGI"}, granian
)
UWSGI_RIVAL = Rival("uwsgi", {WSGI: "uWSGI"}, uwsgi, lambda app: UWSGI)
GUNICORN = Rival("gunicorn", {WSGI: "gunicorn, gthread"}, gunicorn)
RIVALS = (OURS, NGINX, UVICORN, GRANIAN, UWSGI_RIVAL, GUNICORN)


def serves(rival: Rival, cell: Cell) -> bool:
    if rival is NGINX:
        return cell is HELLO_CELL
    return cell.app.interface in rival.titles
