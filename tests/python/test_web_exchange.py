# SPDX-License-Identifier: BSD-2-Clause
"""What cannot be had from nginx at will."""

from __future__ import annotations

import asyncio
import errno
from pathlib import Path
from typing import Any

from resty_ffi._streams import Waits
from resty_ffi.web._exchange import Exchange, Shared


class Call:
    gone = False

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def _send(self, part: bytes) -> int:
        self.sent.append(part)
        return 0

    def _answer(self, value: Any) -> None:
        self.sent.append(value)


class Heads:
    def send(self, number: Any, status: int, headers: Any) -> int:
        return 0

    def send_file(self, number: Any, file: int, length: int) -> int:
        return errno.EMFILE


def test_a_file_is_read_where_nginx_takes_none(tmp_path: Path) -> None:
    file = tmp_path / "file"
    data = bytes(range(256)) * 1000
    file.write_bytes(data)
    call: Any = Call()
    heads: Any = Heads()
    log: Any = None

    async def answer() -> None:
        waits = Waits(asyncio.get_running_loop())
        kind: Any = Exchange
        exchange = kind(call, call, Shared("app", heads, waits, log))
        await exchange.send({"type": "http.response.start", "status": 200})
        await exchange.send(
            {"type": "http.response.pathsend", "path": str(file)}
        )

    asyncio.run(answer())
    assert call.sent[-1] is None
    assert b"".join(call.sent[:-1]) == data
    assert len(call.sent) > 2
