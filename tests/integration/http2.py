# SPDX-License-Identifier: BSD-2-Clause
"""Clients of HTTP/2: of many requests on one connection, and of one upload."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
from collections.abc import Iterator
from pathlib import Path

from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)
from h2.exceptions import StreamClosedError

from .client import PATIENCE


class ClosedError(Exception):
    """The server has reset the stream, or closed the connection."""


class _Client:
    def __init__(self, path: Path) -> None:
        self._sock = socket.socket(socket.AF_UNIX)
        self._sock.settimeout(PATIENCE)
        self._sock.connect(str(path))
        self._connection = H2Connection()
        self._connection.initiate_connection()
        self._flush()

    def _flush(self) -> None:
        self._sock.sendall(self._connection.data_to_send())

    def _request(
        self, method: str, uri: str, length: int | None, *, end: bool
    ) -> int:
        number = self._connection.get_next_available_stream_id()
        fields = [
            (":method", method),
            (":scheme", "http"),
            (":authority", "here"),
            (":path", uri),
        ]
        if length is not None:
            fields.append(("content-length", str(length)))
        self._connection.send_headers(number, fields, end_stream=end)
        return number

    def _events(self) -> list[Event]:
        """What comes next."""
        data = self._sock.recv(65536)
        if not data:
            raise ClosedError("connection")
        events = self._connection.receive_data(data)
        for event in events:
            if isinstance(event, DataReceived):
                self._connection.acknowledge_received_data(
                    event.flow_controlled_length, event.stream_id
                )
        return events

    def close(self) -> None:
        self._sock.close()


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


class Http2(_Client):
    """What was asked for comes in read()."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._streams: dict[int, Stream] = {}

    def get(self, uri: str) -> Stream:
        number = self._request("GET", uri, None, end=True)
        stream = self._streams[number] = Stream()
        self._flush()
        return stream

    def read(self) -> None:
        for event in self._events():
            if isinstance(event, DataReceived):
                self._streams[event.stream_id].parts += event.data
            elif isinstance(event, StreamEnded):
                self._streams[event.stream_id].ended = True
            elif isinstance(event, StreamReset):
                self._streams[event.stream_id].error = event.error_code
        self._flush()

    def read_all(self) -> None:
        while not all(stream.over for stream in self._streams.values()):
            self.read()

    def reset(self) -> None:
        """Gives all streams up."""
        for number, stream in self._streams.items():
            if not stream.over:
                self._connection.reset_stream(number, ErrorCodes.CANCEL)
        self._flush()


class Http2Upload(_Client):
    """One request, sent as the server lets it; data is what has come."""

    _is_corked = False

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._number = 0
        self.status = 0
        self.data = b""
        self.ended = False

    def __enter__(self) -> Http2Upload:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _flush(self) -> None:
        if not self._is_corked:
            super()._flush()

    def cork(self) -> None:
        """All that follows is sent at once, by uncork."""
        self._is_corked = True

    def uncork(self) -> None:
        self._is_corked = False
        self._flush()

    def request(
        self, method: str, uri: str, length: int | None, end: bool = False
    ) -> None:
        self._number = self._request(method, uri, length, end=end)
        self._flush()

    @property
    def _window(self) -> int:
        return self._connection.local_flow_control_window(self._number)

    def send(self, data: bytes, end: bool = False) -> None:
        """ClosedError once the server has answered, or reset the stream."""
        frame = self._connection.max_outbound_frame_size
        while True:
            if self.ended:
                raise ClosedError("answered")
            with _closed():
                size = min(len(data), self._window, frame)
                if size or not data:
                    last = end and size == len(data)
                    self._connection.send_data(
                        self._number, data[:size], end_stream=last
                    )
                    self._flush()
                    data = data[size:]
                    if not data:
                        return
                    continue
            self.receive()

    def cancel(self) -> None:
        with _closed():
            self._connection.reset_stream(self._number, ErrorCodes.CANCEL)
        self._flush()

    def fill(self, patience: float) -> int:
        """Sends until the server has let nothing more for so long."""
        sent = 0
        with self._patience(patience):
            while True:
                size = self._window
                if size:
                    self.send(bytes(size))
                    sent += size
                self.receive()
        return sent

    def receive_for(self, patience: float) -> None:
        """Takes what comes, until nothing has come for so long."""
        with self._patience(patience):
            while not self.ended:
                self.receive()

    @contextlib.contextmanager
    def _patience(self, seconds: float) -> Iterator[None]:
        self._sock.settimeout(seconds)
        try:
            with contextlib.suppress(TimeoutError):
                yield
        finally:
            self._sock.settimeout(PATIENCE)

    def receive(self) -> None:
        for event in self._events():
            if isinstance(event, ResponseReceived):
                self.status = int(dict(event.headers)[b":status"])
            elif isinstance(event, DataReceived):
                self.data += event.data
            elif isinstance(event, StreamEnded):
                self.ended = True
            elif isinstance(event, StreamReset) and not self.ended:
                raise ClosedError(f"stream, {event.error_code}")
            elif isinstance(event, ConnectionTerminated):
                raise ClosedError("goaway")
        self._flush()

    def receive_until(self, size: int) -> bytes:
        while len(self.data) < size:
            self.receive()
        return self.data

    def answer(self) -> tuple[int, bytes]:
        while not self.ended:
            self.receive()
        return self.status, self.data


@contextlib.contextmanager
def _closed() -> Iterator[None]:
    try:
        yield
    except StreamClosedError as error:
        raise ClosedError("stream") from error
