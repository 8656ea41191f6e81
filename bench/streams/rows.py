# SPDX-License-Identifier: BSD-2-Clause
"""What sends event streams, and what else is watched."""

from __future__ import annotations

import sys

from ..cells import Row

LUA = """
        client_max_body_size 0;
        client_body_buffer_size 64k;
        location / {
            content_by_lua_block { require("bench_streams").events() }
        }
        location /timers/ {
            content_by_lua_block { require("bench_streams").timers() }
        }
        location /down/ {
            content_by_lua_block { require("bench_streams").down() }
        }
        location /up/ {
            content_by_lua_block { require("bench_streams").up() }
        }
"""
PROXY = """
        location / {
            proxy_pass http://python;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
        }
"""
LOAD = 'require("bench_streams")'
PYTHON = (sys.executable, "-m")

PIPE = Row("streams", "async generator and pipe", LOAD, LUA, cells=())
ASYNCIO = Row(
    "asyncio",
    "bare asyncio, no nginx",
    server=(*PYTHON, "bench.app.ticks", "{socket}"),
    cells=(),
)
UVICORN = Row(
    "uvicorn-streams",
    "uvicorn",
    location=PROXY,
    server=(
        *(*PYTHON, "uvicorn", "bench.app.ticks:app"),
        *("--uds", "{socket}", "--loop", "uvloop", "--http", "httptools"),
        *("--no-access-log", "--log-level", "warning", "--lifespan", "off"),
        *("--backlog", "1024"),
    ),
    cells=(),
)
ROWS = (PIPE, ASYNCIO, UVICORN)


def watched(name: str) -> Row:
    return Row(f"watch-{name}", name, LOAD, LUA, cells=())
