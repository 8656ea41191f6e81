# SPDX-License-Identifier: BSD-2-Clause
"""A client of HTTP/2 that does as it is told, with one stream."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

from .client import PATIENCE

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW = 0, 1, 3, 4, 6, 7, 8
END_STREAM, ACK, END_HEADERS = 1, 1, 4
CANCEL = 8
STREAM = 1
FRAME = 16384

# of HPACK's static table
STATUSES = {8: 200, 9: 204, 10: 206, 11: 304, 12: 400, 13: 404, 14: 500}


class ClosedError(Exception):
    """The server has reset the stream, or closed the connection."""


class Http2:
    """window is what it may send; data what has come."""

    def __init__(self, path: Path) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(str(path))
        self._corked: list[bytes] | None = None
        self.sock.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        self._frame(SETTINGS, 0, 0, b"")
        self.initial = 65535
        self.window = 65535
        self.connection_window = 65535
        self.status = 0
        self.data = b""
        self.ended = False
        self._input = b""

    def __enter__(self) -> Http2:
        return self

    def __exit__(self, *exception: object) -> None:
        self.sock.close()

    def _frame(self, kind: int, flags: int, stream: int, data: bytes) -> None:
        head = struct.pack(">I", len(data))[1:] + bytes([kind, flags])
        frame = head + struct.pack(">I", stream) + data
        if self._corked is None:
            self.sock.sendall(frame)
        else:
            self._corked.append(frame)

    def cork(self) -> None:
        """All that follows is sent at once, by uncork."""
        self._corked = []

    def uncork(self) -> None:
        assert self._corked is not None
        self.sock.sendall(b"".join(self._corked))
        self._corked = None

    def request(
        self, method: str, uri: str, length: int | None, end: bool = False
    ) -> None:
        fields = {
            ":method": method,
            ":scheme": "http",
            ":path": uri,
            ":authority": "localhost",
        }
        if length is not None:
            fields["content-length"] = str(length)
        block = b"".join(
            b"\0" + _text(name) + _text(value)
            for name, value in fields.items()
        )
        flags = END_HEADERS | (END_STREAM if end else 0)
        self._frame(HEADERS, flags, STREAM, block)

    def send(self, data: bytes, end: bool = False) -> None:
        """As the server lets us; ClosedError once it has answered."""
        while True:
            if self.ended:
                raise ClosedError("answered")
            size = min(len(data), self.window, self.connection_window, FRAME)
            if size or not data:
                last = end and size == len(data)
                flags = END_STREAM if last else 0
                self._frame(DATA, flags, STREAM, data[:size])
                self.window -= size
                self.connection_window -= size
                data = data[size:]
                if not data:
                    return
            else:
                self.receive()

    def cancel(self) -> None:
        self._frame(RST_STREAM, 0, STREAM, struct.pack(">I", CANCEL))

    def fill(self, patience: float) -> int:
        """Sends until the server has let nothing more for so long."""
        sent = 0
        self.sock.settimeout(patience)
        try:
            while True:
                size = min(self.window, self.connection_window)
                self.send(bytes(size))
                sent += size
                self.receive()
        except TimeoutError:
            return sent
        finally:
            self.sock.settimeout(PATIENCE)

    def receive_for(self, patience: float) -> None:
        """Takes what comes, until nothing has come for so long."""
        self.sock.settimeout(patience)
        try:
            while not self.ended:
                self.receive()
        except TimeoutError:
            pass
        finally:
            self.sock.settimeout(PATIENCE)

    def receive(self) -> None:
        """One frame."""
        while len(self._input) < 9:
            self._more()
        size = int.from_bytes(self._input[:3], "big")
        while len(self._input) < 9 + size:
            self._more()
        kind, flags = self._input[3:5]
        data = self._input[9 : 9 + size]
        stream = int.from_bytes(self._input[5:9], "big") & 0x7FFFFFFF
        self._input = self._input[9 + size :]
        self._take(kind, flags, stream, data)

    def _more(self) -> None:
        data = self.sock.recv(65536)
        if not data:
            raise ClosedError("connection")
        self._input += data

    def _take(self, kind: int, flags: int, stream: int, data: bytes) -> None:
        if kind == SETTINGS and not flags & ACK:
            for at in range(0, len(data), 6):
                name, value = struct.unpack(">HI", data[at : at + 6])
                if name == 4:
                    self.window += value - self.initial
                    self.initial = value
            self._frame(SETTINGS, ACK, 0, b"")
        elif kind == WINDOW:
            more = int.from_bytes(data, "big")
            if stream:
                self.window += more
            else:
                self.connection_window += more
        elif kind == HEADERS:
            self.status = _status(data)
            self.ended = bool(flags & END_STREAM)
        elif kind == DATA:
            self.data += data
            self.ended = bool(flags & END_STREAM)
            if data:
                taken = struct.pack(">I", len(data))
                self._frame(WINDOW, 0, 0, taken)
                self._frame(WINDOW, 0, STREAM, taken)
        elif kind == RST_STREAM and not self.ended:
            raise ClosedError(f"stream, {int.from_bytes(data, 'big')}")
        elif kind == GOAWAY:
            raise ClosedError("goaway")

    def receive_until(self, size: int) -> bytes:
        while len(self.data) < size:
            self.receive()
        return self.data

    def answer(self) -> tuple[int, bytes]:
        while not self.ended:
            self.receive()
        return self.status, self.data


def _text(text: str) -> bytes:
    assert len(text) < 127
    return bytes([len(text)]) + text.encode()


def _status(block: bytes) -> int:
    """Its first field, which nginx sends so."""
    if block[0] & 0x80:
        return STATUSES[block[0] & 0x7F]
    assert block[1] == 3, block
    return int(block[2:5])
