# SPDX-License-Identifier: BSD-2-Clause
"""What ffi_status says, and what is to be counted."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

from .nginx import Nginx

ZONE = "ffi_status_zone status 1m;"

SERVER = """
    location = /status { allow unix:; deny all; ffi_status; }
    location /web/ {
        ffi_read_timeout 300ms;
        ffi_pass webprobe;
    }
    location = /abort {
        lua_check_client_abort on;
        content_by_lua_block { require("harness").run() }
    }
"""

APP = """
import asyncio
from resty_ffi import Error, serve

@serve
class Loop:
    async def echo(self, request):
        return request

    async def fail(self, request):
        raise Error(3, b"no")

    async def never(self, request):
        await asyncio.sleep(3600)

    async def parts(self, request):
        for i in range(3):
            yield b"part"
        if request == b"fail":
            raise Error(4, b"later")
        if request == b"never":
            await asyncio.sleep(3600)
"""

OUTCOMES = ("ok", "error", "timeout", "refused", "gone")
SAMPLE = re.compile(r"(\w+)(?:\{(.*)\})? ([0-9.e+]+)")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')

# runtime, method, outcome
Counts = Counter[tuple[str, str, str]]


def report(nginx: Nginx, uri: str = "/status") -> dict[str, Any]:
    answer = nginx.get(f"{uri}?format=json")
    assert answer.status == 200, answer
    said = json.loads(answer.body)
    assert isinstance(said, dict)
    return said


def counts(said: dict[str, Any]) -> Counts:
    return Counter(
        {
            (rt["name"], method["name"], outcome): method[outcome]
            for rt in said["runtimes"]
            for method in rt["methods"]
            for outcome in OUTCOMES
            if method[outcome]
        }
    )


def in_flight(said: dict[str, Any]) -> int:
    return sum(rt["in_flight"] for rt in said["runtimes"])


def unescape(text: str) -> str:
    return re.sub(
        r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], text, flags=re.S
    )


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """By name and labels."""
    found = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        match = SAMPLE.fullmatch(line)
        assert match, line
        labels = frozenset(
            (name, unescape(value))
            for name, value in LABEL.findall(match[2] or "")
        )
        key = match[1], labels
        assert key not in found, f"twice: {line}"
        found[key] = float(match[3])
    return found
