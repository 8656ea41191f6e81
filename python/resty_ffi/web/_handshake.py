# SPDX-License-Identifier: BSD-2-Clause
"""The opening handshake of a WebSocket: RFC 6455, RFC 7692."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
VERSION = b"13"
KEY = 16

DEFLATE = b"permessage-deflate"
MAX_BITS = 15
# 8 is what zlib cannot do.
BITS = {b"%d" % bits: bits for bits in range(9, MAX_BITS + 1)}
CLIENT_BITS = {b"8": 8, **BITS, b"": MAX_BITS}

Headers = Iterable[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Handshake:
    """What a client asks for.

    refused: the status for one that asks wrongly, or 0. extension: what is
    answered, b"" for none; bits: the window of what goes out, 0: it is not
    compressed.
    """

    refused: int
    accept: bytes
    subprotocols: list[str]
    extension: bytes
    bits: int

    @classmethod
    def read(cls, headers: Headers) -> Handshake:
        versions: list[bytes] = []
        keys: list[bytes] = []
        protocols: list[bytes] = []
        offers: list[bytes] = []
        for name, value in headers:
            if name == b"sec-websocket-version":
                versions.append(value)
            elif name == b"sec-websocket-key":
                keys.append(value)
            elif name == b"sec-websocket-protocol":
                protocols.extend(_items(value, b","))
            elif name == b"sec-websocket-extensions":
                offers.extend(_items(value, b","))
        refused = 0
        if versions != [VERSION]:
            refused = 426
        elif len(keys) != 1 or not _is_key(keys[0]):
            refused = 400
        accept = b"" if refused else accept_of(keys[0])
        extension, bits = _negotiate(offers)
        texts = [protocol.decode("latin-1") for protocol in protocols]
        return cls(refused, accept, texts, extension, bits)

    def answer(self, subprotocol: str | None) -> list[tuple[bytes, bytes]]:
        """The headers of an acceptance; nginx adds the rest."""
        headers = [(b"Sec-WebSocket-Accept", self.accept)]
        if subprotocol is not None:
            value = subprotocol.encode("latin-1")
            headers.append((b"Sec-WebSocket-Protocol", value))
        if self.extension:
            headers.append((b"Sec-WebSocket-Extensions", self.extension))
        return headers


def accept_of(key: bytes) -> bytes:
    digest = hashlib.sha1(key + GUID, usedforsecurity=False).digest()
    return base64.b64encode(digest)


def _is_key(value: bytes) -> bool:
    try:
        return len(base64.b64decode(value, validate=True)) == KEY
    except binascii.Error:
        return False


def _items(value: bytes, separator: bytes) -> Iterator[bytes]:
    """Of a list, those that are not empty."""
    return filter(None, map(bytes.strip, value.split(separator)))


def _negotiate(offers: list[bytes]) -> tuple[bytes, int]:
    """The first offer that can be had, as it is answered, and its window.

    No context is kept from one message to the next, either way: what zlib
    needs is as much as thousands of idle connections.
    """
    for offer in offers:
        name, *parameters = [*_items(offer, b";")] or [b""]
        if name.lower() != DEFLATE:
            continue
        bits = _window(parameters)
        if bits:
            answer = (
                DEFLATE
                + b"; server_no_context_takeover; client_no_context_takeover"
            )
            if any(
                p.startswith(b"server_max_window_bits") for p in parameters
            ):
                answer += b"; server_max_window_bits=%d" % bits
            return answer, bits
    return b"", 0


def _window(parameters: list[bytes]) -> int:
    """What an offer leaves for it; 0: it makes no sense, or cannot be had."""
    bits = MAX_BITS
    seen = set()
    for parameter in parameters:
        name, equals, value = map(bytes.strip, parameter.partition(b"="))
        if value[:1] == value[-1:] == b'"' and len(value) > 2:
            value = value[1:-1]
        if name in seen or (equals and not value):
            return 0
        seen.add(name)
        if name == b"server_max_window_bits":
            bits = BITS.get(value, 0)
            if not bits:
                return 0
        elif name == b"client_max_window_bits":
            if value not in CLIENT_BITS:
                return 0
        elif value or name not in (
            b"server_no_context_takeover",
            b"client_no_context_takeover",
        ):
            return 0
    return bits
