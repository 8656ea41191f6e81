# SPDX-License-Identifier: BSD-2-Clause
"""A client of RFC 6455 that sends any frames, also wrong ones."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import hashlib
import os
import socket
import struct
import zlib
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from ..client import PATIENCE

CONTINUATION, TEXT, BINARY = 0, 1, 2
CLOSE, PING, PONG = 8, 9, 10
CONTROL = 8
RSV1 = 4  # of the three bits

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
KEY = b"\x37\xfa\x21\x3d"
NO_CODE = 1005

Self = TypeVar("Self", bound="Peer")


class RefusalError(Exception):
    """The handshake had another answer than 101."""

    def __init__(self, status: int, fields: Mapping[str, str], body: bytes):
        super().__init__(status, fields, body)
        self.status = status
        self.fields = fields
        self.body = body


@dataclasses.dataclass(frozen=True)
class Frame:
    opcode: int
    payload: bytes = b""
    fin: bool = True
    rsv: int = 0

    @property
    def code(self) -> int:
        """Of a close frame."""
        if not self.payload:
            return NO_CODE
        code: int = struct.unpack_from("!H", self.payload)[0]
        return code

    @property
    def reason(self) -> str:
        return self.payload[2:].decode()

    def encode(self, key: bytes | None = KEY) -> bytes:
        """As a client sends it; without a key, with no mask."""
        size = len(self.payload)
        head = length(size, self.fin << 7 | self.rsv << 4 | self.opcode, key)
        return head + (mask(self.payload, key) if key else self.payload)


def length(size: int, first: int, key: bytes | None = KEY) -> bytes:
    """A frame's head, whether or not such a payload follows."""
    bit = 0x80 if key else 0
    if size < 126:
        head = struct.pack("!BB", first, bit | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", first, bit | 126, size)
    else:
        head = struct.pack("!BBQ", first, bit | 127, size)
    return head + (key or b"")


def mask(data: bytes, key: bytes) -> bytes:
    """One number is quicker than many bytes."""
    size = len(data)
    keys = (key * (size // len(key) + 1))[:size]
    number = int.from_bytes(data, "little") ^ int.from_bytes(keys, "little")
    return number.to_bytes(size, "little")


def message(
    payload: bytes, opcode: int = BINARY, fragment: int = 0, rsv: int = 0
) -> list[Frame]:
    """In frames of so many bytes; 0: in one."""
    step = fragment or len(payload) or 1
    parts = [payload[i : i + step] for i in range(0, len(payload), step)]
    last = max(0, len(parts) - 1)
    return [
        Frame(CONTINUATION if i else opcode, part, i == last, 0 if i else rsv)
        for i, part in enumerate(parts or [b""])
    ]


def closing(code: int | None = 1000, reason: bytes = b"") -> Frame:
    return Frame(
        CLOSE, b"" if code is None else struct.pack("!H", code) + reason
    )


def handshake(
    path: str = "/",
    fields: Mapping[str, str | None] | None = None,
    version: str = "HTTP/1.1",
    method: str = "GET",
) -> tuple[bytes, bytes]:
    """The request, and its key; None leaves a field out."""
    key = base64.b64encode(os.urandom(16))
    sent: dict[str, str | None] = {
        "Host": "x",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": key.decode(),
        **(fields or {}),
    }
    lines = [f"{method} {path} {version}"]
    lines += [f"{name}: {value}" for name, value in sent.items() if value]
    return "\r\n".join([*lines, "", ""]).encode(), key


def accepted(key: bytes) -> str:
    return base64.b64encode(hashlib.sha1(key + GUID).digest()).decode()


class Peer:
    """A connection; it is closed at the end of a with block."""

    def __init__(self, sock: Any) -> None:
        self.sock: socket.socket = sock
        self.fields: dict[str, str] = {}
        self._came = bytearray()
        self.reset = False
        # of what stuff() has begun to send
        self.unsent = b""

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    # -- the handshake ------------------------------------------------------

    def open(
        self: Self,
        path: str = "/",
        fields: Mapping[str, str | None] | None = None,
        then: bytes = b"",
    ) -> Self:
        """Bytes may follow it in the same packet."""
        request, key = handshake(path, fields)
        self.sock.sendall(request + then)
        self.answer(key)
        return self

    def answer(self, key: bytes) -> None:
        head = self._until(b"\r\n\r\n").decode("latin-1")
        first, *lines = head.split("\r\n")
        pairs = (line.partition(":") for line in lines if line)
        self.fields = {n.lower(): value.strip() for n, _, value in pairs}
        status = int(first.split()[1])
        if status != 101:
            size = int(self.fields.get("content-length", "0"))
            body = b"" if status < 200 else self._take(size)
            raise RefusalError(status, self.fields, body)
        assert first.startswith("HTTP/1.1 101 "), first
        assert self.fields["upgrade"].lower() == "websocket"
        assert self.fields["connection"].lower() == "upgrade"
        assert self.fields["sec-websocket-accept"] == accepted(key)
        assert "content-length" not in self.fields
        assert "transfer-encoding" not in self.fields

    def chunks(self) -> bytes:
        """The body of an answer in chunks."""
        found = b""
        while size := int(self._until(b"\r\n"), 16):
            found += self._take(size)
            assert self._take(2) == b"\r\n"
        assert self._take(2) == b"\r\n"
        return found

    # -- frames ---------------------------------------------------------

    def send(self, *frames: Frame, chop: int = 0, sync: bool = False) -> None:
        """In one piece; in pieces of chop bytes; or each in one of its own."""
        pieces = [frame.encode() for frame in frames]
        if not sync:
            pieces = [b"".join(pieces)]
        for piece in pieces:
            self.send_bytes(piece, chop)

    def send_bytes(self, data: bytes, chop: int = 0) -> None:
        step = chop or len(data) or 1
        for begin in range(0, len(data), step):
            self.sock.sendall(data[begin : begin + step])

    def try_send(self, data: bytes) -> bool:
        """Whether it was taken; the other end may be there first."""
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def stuff(self, data: bytes, most: int, patience: float = 1.0) -> int:
        """Bytes that are taken, until none are for so long."""
        taken, rest = 0, b""
        self.sock.settimeout(patience)
        with contextlib.suppress(TimeoutError):
            while taken < most:
                rest = rest or data
                sent = self.sock.send(rest)
                taken += sent
                rest = rest[sent:]
        self.sock.settimeout(PATIENCE)
        self.unsent = rest
        return taken

    def frame(self) -> Frame | None:
        """The next one, as a server may send it; None at the end."""
        if not self._came and not self._more():
            return None
        first, second = self._take(2)
        opcode, size = first & 15, second & 127
        assert second == size, "a server masks nothing"
        if size == 126:
            size = int.from_bytes(self._take(2), "big")
            assert size > 125
        elif size == 127:
            size = int.from_bytes(self._take(8), "big")
            assert size >= 1 << 16
        frame = Frame(opcode, self._take(size), first > 127, first >> 4 & 7)
        assert opcode in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG)
        assert frame.rsv in (0, RSV1)
        if opcode >= CONTROL:
            assert size < 126
            assert frame.fin
            assert not frame.rsv
        return frame

    def event(self) -> Frame | None:
        """A control frame, or a message whose fragments are joined; pings
        are answered."""
        parts: list[Frame] = []
        while frame := self.frame():
            if frame.opcode == PING:
                self.send(Frame(PONG, frame.payload))
            elif frame.opcode >= CONTROL:
                assert not parts or frame.opcode == CLOSE
                return frame
            else:
                assert (frame.opcode == CONTINUATION) == bool(parts)
                parts.append(frame)
                if frame.fin:
                    whole = b"".join(part.payload for part in parts)
                    return Frame(parts[0].opcode, whole, True, parts[0].rsv)
        assert not parts, "an end amid a message"
        return None

    def echo(self, payload: bytes, opcode: int = BINARY) -> None:
        self.send(Frame(opcode, payload))
        assert self.event() == Frame(opcode, payload)

    def close(self, code: int = 1000) -> None:
        """Begins, and expects the same code back, and an end."""
        self.send(closing(code))
        self.closed(code)

    def closed(self, *codes: int) -> Frame:
        """Expects a close frame, answers it, and expects an end."""
        frame = self.event()
        assert frame, "no close frame"
        assert frame.opcode == CLOSE, frame
        assert frame.code in codes, frame
        self.end(frame)
        return frame

    def end(self, frame: Frame) -> None:
        with contextlib.suppress(OSError):  # both may have ended
            self.send(frame)
        assert self.frame() is None, "something behind a close frame"

    def ended(self) -> None:
        """Expects an end without a close frame."""
        assert self.event() is None

    # -- bytes ----------------------------------------------------------

    def _more(self) -> bool:
        try:
            piece = self.sock.recv(1 << 20)
        except ConnectionResetError:
            self.reset = True
            return False
        self._came += piece
        return bool(piece)

    def _take(self, size: int) -> bytes:
        while len(self._came) < size:
            assert self._more(), f"an end amid {bytes(self._came[:99])!r}"
        found = bytes(self._came[:size])
        del self._came[:size]
        return found

    def _until(self, end: bytes) -> bytes:
        while end not in self._came:
            assert self._more(), f"an end amid {bytes(self._came)!r}"
        return self._take(self._came.index(end) + len(end))

    def silent(self, seconds: float) -> bool:
        """Whether nothing comes for so long."""
        if self._came:
            return False
        self.sock.settimeout(seconds)
        try:
            self._more()
        except TimeoutError:
            return True
        finally:
            self.sock.settimeout(PATIENCE)
        return False


class Deflate:
    """permessage-deflate, as the server has answered an offer."""

    def __init__(self, answer: str) -> None:
        name, *said = [word.strip() for word in answer.split(";")]
        assert name == "permessage-deflate", answer
        pairs = [word.partition("=") for word in said]
        self.params = {key: value.strip('"') for key, _, value in pairs}
        assert len(self.params) == len(said), answer
        known = {
            f"{side}_{what}"
            for side in ("client", "server")
            for what in ("no_context_takeover", "max_window_bits")
        }
        assert self.params.keys() <= known, answer
        self._out: Any = None
        self._in: Any = None

    def _bits(self, side: str) -> int:
        bits = int(self.params.get(f"{side}_max_window_bits", "15"))
        assert 8 <= bits <= 15
        return -bits

    def compress(self, payload: bytes, last: bool = True) -> bytes:
        """What a message's frames hold together."""
        if not self._out or "client_no_context_takeover" in self.params:
            # zlib knows no 8
            bits = min(-9, self._bits("client"))
            self._out = zlib.compressobj(1, zlib.DEFLATED, bits)
        data: bytes = self._out.compress(payload)
        data += self._out.flush(zlib.Z_SYNC_FLUSH)
        assert data.endswith(b"\x00\x00\xff\xff")
        return data[:-4] if last else data

    def decompress(self, payload: bytes) -> bytes:
        if not self._in or "server_no_context_takeover" in self.params:
            self._in = zlib.decompressobj(self._bits("server"))
        data: bytes = self._in.decompress(payload + b"\x00\x00\xff\xff")
        return data

    def decoded(self, frame: Frame | None) -> Frame | None:
        if not frame or not frame.rsv:
            return frame
        return Frame(frame.opcode, self.decompress(frame.payload))


def encoded(frames: Iterable[Frame]) -> bytes:
    return b"".join(frame.encode() for frame in frames)
