# SPDX-License-Identifier: BSD-2-Clause
"""Who is measured, and under what load."""

from __future__ import annotations

import json
import sys
from typing import Any

from ..cells import PROXY, Cell, Row

SIZE = 100
PARTITIONS = 4

ONE, MAIN, MANY = (Cell(n, SIZE, echo=True) for n in (1, 64, 256))
CELLS = (ONE, MAIN, MANY)

ECHO, FFI, LUA, FASTAPI = "echo", "ffi", "resty-kafka", "fastapi"

PRODUCE = """
        location = /echo {
            content_by_lua_block { require("bench_kafka").produce() }
        }
"""
CONSUME = """
        location = /consume {
            content_by_lua_block {
                require("bench_kafka").consume(@config)
            }
        }
"""


def lua_table(values: dict[str, Any]) -> str:
    items = (f"{k} = {json.dumps(v)}" for k, v in values.items())
    return f"{{ {', '.join(items)} }}"


def start(name: str, **arguments: Any) -> str:
    return f'require("bench_kafka").{name}({lua_table(arguments)})'


def produce_rows(servers: str) -> tuple[Row, ...]:
    host, port = servers.split(":")
    return (
        Row(
            ECHO,
            "ffi.echo, no Kafka",
            start=start("echo"),
            location=PRODUCE,
            cells=CELLS,
        ),
        Row(
            FFI,
            "ffi.kafka",
            start=start(
                "ffi", servers=servers, topic=FFI, group_id="g", create=False
            ),
            location=PRODUCE,
            cells=CELLS,
        ),
        Row(
            LUA,
            "lua-resty-kafka, sync",
            start=start("resty", host=host, port=int(port), topic=LUA),
            location=PRODUCE,
            cells=CELLS,
        ),
        Row(
            FASTAPI,
            "FastAPI, confluent-kafka",
            location=PROXY,
            server=(
                *("env", f"KAFKA_SERVERS={servers}", f"KAFKA_TOPIC={FASTAPI}"),
                *(sys.executable, "-m", "uvicorn", "--factory"),
                *("bench.kafka.service:make", "--uds", "{socket}"),
                *("--workers", "1", "--loop", "uvloop"),
                *("--http", "httptools", "--no-access-log"),
                *("--log-level", "warning"),
            ),
            cells=CELLS,
        ),
    )


def consume_row(servers: str, topic: str) -> Row:
    config = lua_table({"servers": servers, "topic": topic, "create": False})
    return Row(
        "consume",
        "ffi.kafka",
        location=CONSUME.replace("@config", config),
        cells=(),
    )
