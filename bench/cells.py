# SPDX-License-Identifier: BSD-2-Clause
"""What is measured: cells (load) and rows (competitors)."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from .app.payload import SIZES

UNITS = ((1 << 20, "M"), (1 << 10, "K"), (1, "B"))
SOMAXCONN = Path("/proc/sys/net/core/somaxconn")


@dataclasses.dataclass(frozen=True)
class Cell:
    connections: int
    size: int
    echo: bool = False

    @property
    def name(self) -> str:
        factor, unit = next(u for u in UNITS if self.size >= u[0])
        name = f"{self.connections}x{self.size // factor}{unit}"
        return f"{name}-echo" if self.echo else name

    @property
    def path(self) -> str:
        return "/echo" if self.echo else f"/{self.size}"


ONE = Cell(1, 64)
MAIN = Cell(64, 64)
MANY = Cell(256, 64)
LARGE = Cell(64, 64 << 10)
LARGE_ECHO = Cell(64, 64 << 10, echo=True)
HUGE = Cell(64, 1 << 20)
CELLS = (
    ONE,
    MAIN,
    MANY,
    Cell(64, 4 << 10),
    LARGE,
    LARGE_ECHO,
    HUGE,
)


@dataclasses.dataclass(frozen=True)
class Row:
    """start is Lua code of init_worker, server the command of a process
    behind nginx; `{socket}` in them is its unix socket."""

    key: str
    title: str
    start: str = ""
    location: str = ""
    server: tuple[str, ...] = ()
    cells: tuple[Cell, ...] = CELLS
    beside: bool = False

    @property
    def out_of_process(self) -> bool:
        return bool(self.server)


LUA = """
        location / {
            content_by_lua_block { require("bench").get() }
        }
        location = /echo {
            content_by_lua_block { require("bench").echo() }
        }
"""
PIPE = """
        location / {
            content_by_lua_block { require("bench").pipe() }
        }
"""
PROXY = """
        location / {
            proxy_pass http://python;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_redirect off;
            proxy_max_temp_file_size 0;
            proxy_buffer_size 64k;
            proxy_buffers 16 64k;
            proxy_busy_buffers_size 128k;
        }
"""
UWSGI = """
        location / {
            include /etc/nginx/uwsgi_params;
            uwsgi_pass unix:{socket};
            uwsgi_max_temp_file_size 0;
            uwsgi_buffer_size 64k;
            uwsgi_buffers 16 64k;
            uwsgi_busy_buffers_size 128k;
        }
"""


def ffi(
    key: str,
    title: str,
    get: str,
    echo: str,
    *,
    lib: str = "ffi_python3",
    also: str = "",
    spin: int = 0,
    cells: Sequence[Cell] = CELLS,
) -> Row:
    fields = [f"lib={json.dumps(lib)}, get={json.dumps(get)}"]
    fields.append(f"echo={json.dumps(echo)}")
    if also:
        fields.append(f"also={json.dumps(also)}")
    if spin:
        fields.append(f"opts={{spin={spin}}}")
    return Row(
        key=key,
        title=title,
        start=f'require("bench").ffi{{{", ".join(fields)}}}',
        location=LUA,
        cells=tuple(cells),
        beside=bool(also),
    )


def rows(c_runtime: Path) -> tuple[Row, ...]:
    sync = ("bench.app.native,get", "bench.app.native,echo")
    coroutine = ("bench.app.native,get_async", "bench.app.native,echo_async")
    cffi = ("bench.app.cffi_loop,get", "bench.app.cffi_loop,echo")
    busy = "bench.app.busy,start"
    python = (sys.executable, "-m")
    scripts = Path(sys.executable).parent
    sizes = ", ".join(map(str, SIZES))
    backlog = min(1024, int(SOMAXCONN.read_text()))
    return (
        Row(
            "ceiling",
            "Lua alone (ceiling)",
            start=f'require("bench").alone{{{sizes}}}',
            location=LUA,
        ),
        ffi("c", "C runtime", "get", "echo", lib=str(c_runtime)),
        ffi("sync", "@serve", *sync),
        ffi("async", "@serve async", *coroutine),
        Row(
            "pipe",
            "@serve, stream and pipe",
            start=f'require("bench").stream({json.dumps(sync[0])})',
            location=PIPE,
            cells=(MAIN, LARGE, HUGE),
        ),
        ffi("cffi", "cffi loop", *cffi),
        Row(
            "runner",
            "socket runner, uvloop",
            start='require("bench").socket("unix:{socket}")',
            location=LUA,
            server=(*python, "bench.app.runner", "{socket}"),
        ),
        Row(
            "uvicorn",
            "uvicorn",
            location=PROXY,
            server=(
                *(*python, "uvicorn", "bench.app.asgi:app"),
                *("--uds", "{socket}", "--workers", "1"),
                *("--loop", "uvloop", "--http", "httptools"),
                *("--no-access-log", "--log-level", "warning"),
                *("--lifespan", "off"),
            ),
        ),
        Row(
            "granian",
            "Granian",
            location=PROXY,
            server=(
                *(*python, "granian", "--uds", "{socket}"),
                *("--interface", "rsgi", "--workers", "1"),
                *("--loop", "uvloop", "--http", "1", "--no-ws"),
                *("--log-level", "warning", "bench.app.rsgi:app"),
            ),
        ),
        Row(
            "uwsgi",
            "uWSGI",
            location=UWSGI,
            server=(
                *(str(scripts / "uwsgi"), "--socket", "{socket}"),
                *("--module", "bench.app.wsgi:app", "--need-app"),
                *("--virtualenv", sys.prefix, "--single-interpreter"),
                *("--master", "--processes", "1", "--die-on-term"),
                *("--disable-logging", "--listen", str(backlog)),
            ),
        ),
        ffi("sync-spin", "@serve, spin", *sync, spin=50, cells=[ONE]),
        ffi("sync-busy", "@serve", *sync, also=busy, cells=[MAIN]),
        ffi("async-busy", "@serve async", *coroutine, also=busy, cells=[MAIN]),
        ffi("cffi-busy", "cffi loop", *cffi, also=busy, cells=[MAIN]),
    )
