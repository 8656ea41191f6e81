# SPDX-License-Identifier: BSD-2-Clause
"""Reads its wsgi.input as the path says, and tells what it has read."""

from __future__ import annotations

import hashlib
import io
import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl
from wsgiref.validate import validator

STATE = Path(os.environ["STATE"])


def application(environ: dict[str, Any], start: Any) -> Any:
    (STATE / "begun").touch()
    source = environ["wsgi.input"]
    name = environ["PATH_INFO"].strip("/")
    query = dict(parse_qsl(environ["QUERY_STRING"]))
    size = int(query.get("size", -1))
    try:
        answer = globals()[f"do_{name}"](source, size)
    except OSError as error:
        (STATE / "oserror").write_text(f"{type(error).__name__}: {error}")
        raise
    start("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(answer).encode()]


def text(data: bytes) -> str:
    return data.decode("latin-1")


def do_read(source: Any, size: int) -> Any:
    return text(source.read())


def do_sized(source: Any, size: int) -> Any:
    parts = []
    while part := source.read(size):
        assert len(part) <= size
        parts.append(text(part))
    assert source.read(size) == b""
    return parts


def do_zero(source: Any, size: int) -> Any:
    return [text(source.read(0)), text(source.read(None)), text(source.read())]


def do_readline(source: Any, size: int) -> Any:
    lines = []
    while line := source.readline(size):
        lines.append(text(line))
    return lines


def do_readlines(source: Any, size: int) -> Any:
    lines = [text(line) for line in source.readlines(size)]
    return [lines, text(source.read())]


def do_iterate(source: Any, size: int) -> Any:
    return [text(line) for line in source]


def do_mixed(source: Any, size: int) -> Any:
    return [
        text(source.read(2)),
        text(source.readline()),
        text(source.read(1)),
        text(next(source)),
        text(source.read1(3)),
        text(source.read()),
    ]


def do_readinto(source: Any, size: int) -> Any:
    buffer = bytearray(size)
    parts = []
    while count := source.readinto(buffer):
        parts.append(text(bytes(buffer[:count])))
    return parts


def do_wrapped(source: Any, size: int) -> Any:
    return list(io.TextIOWrapper(source, encoding="latin-1", newline=""))


def do_digest(source: Any, size: int) -> Any:
    digest = hashlib.sha256()
    count = 0
    while part := source.read(size):
        digest.update(part)
        count += len(part)
    return [count, digest.hexdigest()]


def do_unread(source: Any, size: int) -> Any:
    return "unread"


def do_some(source: Any, size: int) -> Any:
    return text(source.read(size))


def valid_application(environ: dict[str, Any], start: Any) -> Any:
    """The validator has read() called with a size."""
    source = environ["wsgi.input"]
    parts = [source.read(3), source.readline(), *source.readlines(1)]
    parts += list(source)
    start("200 OK", [("Content-Type", "text/plain")])
    return [b"|".join(parts)]


valid = validator(valid_application)
