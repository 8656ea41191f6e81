# SPDX-License-Identifier: BSD-2-Clause
"""Autobahn's sections 9 and 10: limits; 12 and 13: permessage-deflate."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

from .case import KIB, MIB, OK, Case, Cases, Run, echoed
from .frames import BINARY, RSV1, TEXT, Deflate, Peer, message


def sized(pattern: bytes, size: int) -> bytes:
    return (pattern * (size // len(pattern) + 1))[:size]


PATTERNS = {TEXT: b"BAsd7&jh23", BINARY: b"\x00\xfe\x23\xfa\xf0"}
ROUNDTRIPS = 1000


def limits() -> Cases:
    for a, (opcode, pattern) in enumerate(PATTERNS.items(), 1):
        sizes = (64 * KIB, 256 * KIB, MIB, 4 * MIB, 8 * MIB, 16 * MIB)
        for i, size in enumerate(sizes, 1):
            run = large(opcode, pattern, size)
            yield Case(f"9.{a}.{i}", run)
    for a, (opcode, byte) in enumerate(
        {TEXT: b"*", BINARY: b"\xfe"}.items(), 3
    ):
        for i in range(9):
            fragment = 64 << 2 * i
            yield Case(
                f"9.{a}.{i + 1}", large(opcode, byte, 4 * MIB, fragment)
            )
    for a, (opcode, pattern) in enumerate(PATTERNS.items(), 5):
        for i in range(6):
            run = large(opcode, pattern, MIB, chop=64 << i)
            yield Case(f"9.{a}.{i + 1}", run)
    for a, (opcode, byte) in enumerate(
        {TEXT: b"*", BINARY: b"\xfe"}.items(), 7
    ):
        for i, size in enumerate((0, 16, 64, 256, 1024, 4096), 1):
            yield Case(f"9.{a}.{i}", roundtrips(opcode, byte * size))


def large(
    opcode: int, pattern: bytes, size: int, fragment: int = 0, chop: int = 0
) -> Run:
    def run(peer: Peer) -> str:
        payload = sized(pattern, size)
        peer.send(*message(payload, opcode, fragment), chop=chop)
        event = peer.event()
        assert event
        # pytest would show both
        assert event.opcode == opcode
        assert (event.payload == payload) is True
        peer.close()
        return OK

    return run


def roundtrips(opcode: int, payload: bytes) -> Run:
    def run(peer: Peer) -> str:
        for _ in range(ROUNDTRIPS):
            peer.echo(payload, opcode)
        peer.close()
        return OK

    return run


def fragmented() -> Cases:
    yield Case("10.1.1", echoed(*message(b"*" * 65_536, TEXT, 1300)))


# ---- 12, 13: permessage-deflate

SIZES = [
    *(
        (size, 0)
        for size in (16, 64, 256, *(KIB << i for i in (0, *range(2, 8))))
    ),
    *((8 * KIB << i, 256) for i in range(5)),
    *((128 * KIB, fragment) for fragment in (KIB, 4 * KIB, 32 * KIB)),
]
OFFER = (
    "permessage-deflate; client_no_context_takeover; client_max_window_bits"
)
TAKEOVER, BITS = "server_no_context_takeover", "server_max_window_bits"
OFFERS = [
    OFFER,
    f"{OFFER}; {TAKEOVER}",
    f"{OFFER}; {BITS}=9",
    f"{OFFER}; {BITS}=15",
    f"{OFFER}; {TAKEOVER}; {BITS}=9",
    f"{OFFER}; {TAKEOVER}; {BITS}=15",
    f"{OFFER}; {TAKEOVER}; {BITS}=9, {OFFER}; {TAKEOVER}, {OFFER}",
]
# messages of a case, where the suite has 1 000
FEWEST, MOST, DEFLATED = 4, 200, 512 * KIB


def some_json(chance: random.Random) -> bytes:
    items = [
        {
            "id": chance.getrandbits(64),
            "name": f"user {chance.randrange(5000)}",
            "tags": chance.sample(["red", "green", "blue", "grey"], 2),
            "score": chance.random(),
        }
        for _ in range(2000)
    ]
    return json.dumps(items, indent=2).encode()


def some_picture(chance: random.Random) -> bytes:
    """Grey, with noise: what is next to each other is alike."""
    return bytes(
        (x + y // 2 + chance.randrange(12)) & 255
        for y in range(256)
        for x in range(768)
    )


def some_text(chance: random.Random) -> bytes:
    words = ["habe", "nun", "ach", "Philosophie", "Juristerei", "und", "auch"]
    words += ["leider", "heißem", "Bemühn", "dass", "wir", "nichts", "wissen"]
    return " ".join(chance.choice(words) for _ in range(30_000)).encode()


def some_html(chance: random.Random) -> bytes:
    rows = (
        f'<tr class="row{i % 2}"><td>{i}</td><td>{chance.random()}</td></tr>\n'
        for i in range(4000)
    )
    return ("<table>\n" + "".join(rows) + "</table>\n").encode()


def some_noise(chance: random.Random) -> bytes:
    return chance.randbytes(200_000)


DATA: list[tuple[int, Callable[[random.Random], bytes]]] = [
    (TEXT, some_json),
    (BINARY, some_picture),
    (BINARY, some_text),
    (TEXT, some_html),
    (BINARY, some_noise),
]


def deflated(
    opcode: int,
    make: Callable[[random.Random], bytes],
    size: int,
    fragment: int,
) -> Run:
    def run(peer: Peer) -> str:
        deflate = Deflate(peer.fields["sec-websocket-extensions"])
        data = made(make)
        for i in range(min(MOST, max(FEWEST, DEFLATED // size))):
            begin = i * size % (len(data) - size)
            payload = data[begin : begin + size]
            packed = deflate.compress(payload)
            peer.send(*message(packed, opcode, fragment, RSV1))
            event = deflate.decoded(peer.event())
            assert event
            assert event.opcode == opcode
            assert (event.payload == payload) is True
        peer.close()
        return OK

    return run


MADE: dict[str, bytes] = {}


def made(make: Callable[[random.Random], bytes]) -> bytes:
    """ASCII where it is text, which any byte may cut."""
    name = make.__name__
    if name not in MADE:
        MADE[name] = make(random.Random(1))
    return MADE[name]


def deflates() -> Cases:
    for i, (opcode, make) in enumerate(DATA, 1):
        for j, (size, fragment) in enumerate(SIZES, 1):
            run = deflated(opcode, make, size, fragment)
            yield Case(f"12.{i}.{j}", run, OFFER)
    for i, offer in enumerate(OFFERS, 1):
        for j, (size, fragment) in enumerate(SIZES, 1):
            run = deflated(*DATA[0], size, fragment)
            yield Case(f"13.{i}.{j}", run, offer)
