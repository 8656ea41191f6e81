# SPDX-License-Identifier: BSD-2-Clause
"""Requests of HTTP/2, many on one connection."""

from __future__ import annotations

import dataclasses
import socket
from pathlib import Path

from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, StreamEnded, StreamReset

from .client import PATIENCE


@dataclasses.dataclass
class Stream:
    parts: bytearray = dataclasses.field(default_factory=bytearray)
    ended: bool = False
    error: ErrorCodes | int | None = None

    @property
    def body(self) -> bytes:
        return bytes(self.parts)

    @property
    def over(self) -> bool:
        return self.ended or self.error is not None


class Http2:
    """What was asked for comes in read()."""

    def __init__(self, path: Path) -> None:
        self._sock = socket.socket(socket.AF_UNIX)
        self._sock.settimeout(PATIENCE)
        self._sock.connect(str(path))
        self._connection = H2Connection()
        self._connection.initiate_connection()
        self._streams: dict[int, Stream] = {}
        self._send()

    def _send(self) -> None:
        self._sock.sendall(self._connection.data_to_send())

    def get(self, uri: str) -> Stream:
        number = self._connection.get_next_available_stream_id()
        self._connection.send_headers(
            number,
            [
                (":method", "GET"),
                (":scheme", "http"),
                (":authority", "here"),
                (":path", uri),
            ],
            end_stream=True,
        )
        stream = self._streams[number] = Stream()
        self._send()
        return stream

    def read(self) -> None:
        """What comes next."""
        data = self._sock.recv(65536)
        assert data, "the connection was closed"
        for event in self._connection.receive_data(data):
            if isinstance(event, DataReceived):
                stream = self._streams[event.stream_id]
                stream.parts += event.data
                self._connection.acknowledge_received_data(
                    event.flow_controlled_length, event.stream_id
                )
            elif isinstance(event, StreamEnded):
                self._streams[event.stream_id].ended = True
            elif isinstance(event, StreamReset):
                self._streams[event.stream_id].error = event.error_code
        self._send()

    def read_all(self) -> None:
        while not all(stream.over for stream in self._streams.values()):
            self.read()

    def reset(self) -> None:
        """Gives all streams up."""
        for number, stream in self._streams.items():
            if not stream.over:
                self._connection.reset_stream(number, ErrorCodes.CANCEL)
        self._send()

    def close(self) -> None:
        self._sock.close()
