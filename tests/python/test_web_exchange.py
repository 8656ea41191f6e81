# SPDX-License-Identifier: BSD-2-Clause
"""What cannot be had from nginx at will."""

from __future__ import annotations

import asyncio
import errno
from pathlib import Path
from typing import Any

import pytest

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


READS: list[tuple[list[bytes | None], list[int | None]]] = [
    # parts as they are read, None for one to wait for; sizes of messages
    ([b"a" * 9, b"b" * 9, b""], [18]),
    ([b"a" * 65_536, b"b", b""], [65_536, 1]),
    ([b"a" * 65_535, b"b", b"c", b""], [65_536, 1]),
    ([b"a" * 65_537, b""], [65_537]),
    ([b"a" * 9, b"b" * 9], [18, None]),
    ([b"a" * 65_536, b"b"], [65_536, 1, None]),
    ([], [None]),
]


@pytest.mark.parametrize(("parts", "sizes"), READS)
def test_what_is_there_is_one_message(
    parts: list[bytes | None], sizes: list[int | None]
) -> None:
    """None: the client has gone."""
    reads = iter(parts)

    class Reader(Call):
        def _read_now(self) -> bytes | None:
            for part in reads:
                return part
            raise BrokenPipeError

    call: Any = Reader()
    heads: Any = Heads()
    log: Any = None

    async def receive() -> list[int | None]:
        waits = Waits(asyncio.get_running_loop())
        kind: Any = Exchange
        exchange = kind(call, call, Shared("app", heads, waits, log))
        found: list[int | None] = []
        while len(found) < len(sizes):
            exchange.state = 0
            task = exchange._receive()
            if sizes[len(found)] is None:
                exchange.state = 4
            message = await task
            body = message.get("body")
            found.append(None if body is None else len(body))
        return found

    assert asyncio.run(receive()) == sizes
