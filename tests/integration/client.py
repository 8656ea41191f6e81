# SPDX-License-Identifier: BSD-2-Clause
"""HTTP over a Unix socket, and other small things that tests need."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import os
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from .checker import SLOWNESS

# Bounds only: nothing takes this long unless it is broken.
PATIENCE = 15.0 * SLOWNESS

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Response:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("latin-1")


def eventually(
    probe: Callable[[], T], what: str = "", patience: float = PATIENCE
) -> T:
    """Calls probe until it returns something true, and returns that."""
    end = time.monotonic() + patience
    while True:
        value = probe()
        if value:
            return value
        assert time.monotonic() < end, f"never happened: {what or probe}"
        time.sleep(0.01)


def until_end(sock: socket.socket) -> bytes:
    data = bytearray()
    with contextlib.suppress(ConnectionResetError):
        while piece := sock.recv(65536):
            data += piece
    return bytes(data)


def lua_string(value: str | bytes) -> str:
    """A Lua literal for any bytes."""
    raw = value.encode() if isinstance(value, str) else value
    return '"' + "".join(f"\\{byte:03d}" for byte in raw) + '"'


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


def children_of(parent: int) -> set[int]:
    pids = (int(name) for name in os.listdir("/proc") if name.isdigit())
    return {pid for pid in pids if _parent(pid) == parent}


def _parent(pid: int) -> int:
    state, parent = _state(pid)
    return 0 if state == "Z" else parent


def _state(pid: int) -> tuple[str, int]:
    """The letter of its state, and its parent; none where it has gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return "", 0
    state, parent = stat.rpartition(")")[2].split()[:2]
    return state, int(parent)


def is_there(pid: int) -> bool:
    """Whether that process has not ended."""
    return _state(pid)[0] not in ("", "Z")


def is_stopped(pid: int) -> bool:
    """A SIGSTOP takes effect only when the process comes to run."""
    return _state(pid)[0] == "T"


def is_shutting_down(pid: int) -> bool:
    """Whether that process is an nginx worker that leaves, or has left."""
    try:
        title = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return True
    return b"shutting down" in title
