# SPDX-License-Identifier: BSD-2-Clause
"""Answers with files, by wsgi.file_wrapper: STATE/file, opened as asked."""

from __future__ import annotations

import gzip
import io
import os
import socket
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl
from wsgiref.validate import validator

STATE = Path(os.environ["STATE"])
closed: list[str] = []


class Counted(io.FileIO):
    """No plain file any more: it upper-cases."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(size).upper()


class Closing:
    """Has a file's methods, and tells of close."""

    def __init__(self, file: Any) -> None:
        self.read = file.read
        self.fileno = file.fileno
        self.file = file

    def close(self) -> None:
        closed.append("closing")
        self.file.close()


def temporary() -> Any:
    file = tempfile.NamedTemporaryFile()  # noqa: SIM115
    file.write((STATE / "file").read_bytes())
    file.flush()
    file.seek(0)
    return file


def spooled() -> Any:
    file = tempfile.SpooledTemporaryFile()  # noqa: SIM115
    file.write((STATE / "file").read_bytes())
    file.seek(0)
    return file


def connected() -> Any:
    ours, theirs = socket.socketpair()
    ours.sendall((STATE / "file").read_bytes()[:1000])
    ours.close()
    with theirs:
        return theirs.makefile("rb")


FILES: dict[str, Any] = {
    "buffered": lambda: (STATE / "file").open("rb"),
    "raw": lambda: (STATE / "file").open("rb", buffering=0),
    "both": lambda: (STATE / "file").open("r+b"),
    "text": lambda: (STATE / "file").open(encoding="latin-1"),
    "written": lambda: (STATE / "written").open("wb"),
    "memory": lambda: io.BytesIO((STATE / "file").read_bytes()),
    "gzip": lambda: gzip.open(STATE / "file.gz"),  # noqa: SIM115
    "counted": lambda: Counted(STATE / "file"),
    "closing": lambda: Closing((STATE / "file").open("rb")),
    "temporary": temporary,
    "spooled": spooled,
    "socket": connected,
}


def application(environ: dict[str, Any], start: Any) -> Any:
    query = dict(parse_qsl(environ["QUERY_STRING"]))
    name = environ["PATH_INFO"].strip("/")
    headers = [("Content-Type", "text/plain")]
    if name == "closed":
        start("200 OK", headers)
        text = " ".join(closed)
        closed.clear()
        return [text.encode()]
    file = FILES[name]()
    if "at" in query:
        file.seek(int(query["at"]))
    if "read" in query:
        file.read(int(query["read"]))
    if "length" in query:
        headers.append(("Content-Length", query["length"]))
    wrapper = environ["wsgi.file_wrapper"]
    found = (
        wrapper(file, int(query["block"]))
        if "block" in query
        else (wrapper(file))
    )
    if "write" in query:
        start("200 OK", headers)(query["write"].encode())
    else:
        start(query.get("status", "200 OK"), headers)
    if "closed" in query:
        file.close()
    return found


valid = validator(application)
