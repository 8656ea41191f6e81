# SPDX-License-Identifier: BSD-2-Clause
"""A client of HTTP/3, where aioquic is installed."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import pytest

pytest.importorskip("aioquic", reason="no client: pip install aioquic")

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration

Heads = list[list[tuple[bytes, bytes]]]
REQUEST_CANCELLED = 0x10C


class Http3(QuicConnectionProtocol):
    """One connection."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._h3 = H3Connection(self._quic)
        self._events: dict[int, asyncio.Queue[Any]] = {}

    def quic_event_received(self, event: Any) -> None:
        for it in self._h3.handle_event(event):
            if isinstance(it, HeadersReceived | DataReceived):
                self._events[it.stream_id].put_nowait(it)

    async def ask(
        self,
        path: str,
        body: bytes = b"",
        enough: int = -1,
    ) -> tuple[Heads, bytes]:
        """Heads, trailers among them, and the body.

        enough: bytes after which the stream is cancelled; -1: it is not.
        """
        stream = self._quic.get_next_available_stream_id()
        events = self._events[stream] = asyncio.Queue()
        head = [
            (b":method", b"POST" if body else b"GET"),
            (b":scheme", b"https"),
            (b":authority", b"h.example:8443"),
            (b":path", path.encode()),
        ]
        self._h3.send_headers(stream, head, not body)
        if body:
            self._h3.send_data(stream, body, end_stream=True)
        self.transmit()
        heads: Heads = []
        data = b""
        while enough < 0 or len(data) < enough:
            event = await events.get()
            if isinstance(event, HeadersReceived):
                heads.append(event.headers)
            else:
                data += event.data
            if event.stream_ended:
                return heads, data
        self._quic.stop_stream(stream, REQUEST_CANCELLED)
        self.transmit()
        return heads, data


def connected(port: int) -> Any:
    """An asynchronous context manager with an Http3."""
    settings = QuicConfiguration(
        is_client=True, alpn_protocols=["h3"], verify_mode=ssl.CERT_NONE
    )
    return connect(
        "127.0.0.1", port, configuration=settings, create_protocol=Http3
    )
