# SPDX-License-Identifier: BSD-2-Clause
"""Autobahn's section 6: UTF-8."""

from __future__ import annotations

from .case import (
    FAST,
    INVALID,
    NON_STRICT,
    OK,
    Case,
    Cases,
    Run,
    echoed,
    failed,
    more,
    text,
)
from .frames import PING, PONG, TEXT, Frame, Peer, message

KOSME = "\u03ba\u1f79\u03c3\u03bc\u03b5".encode()
UMLAUTS = "Hello-\u00b5@\u00df\u00f6\u00e4", "\u00fc\u00e0\u00e1-UTF-8!!"
SURROGATE, TOO_FAR, EDITED = b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"edited"


def utf8() -> Cases:
    yield Case("6.1.1", echoed(text(b"")))
    yield Case("6.1.2", echoed(text(b"", False), more(b"", False), more(b"")))
    middle = more(b"middle frame payload", False)
    yield Case("6.1.3", echoed(text(b"", False), middle, more(b"")))
    a, b = (part.encode() for part in UMLAUTS)
    yield Case("6.2.1", echoed(text(a + b)))
    yield Case("6.2.2", echoed(text(a, False), more(b)))
    yield Case("6.2.3", echoed(*message(a + b, TEXT, 1)))
    yield Case("6.2.4", echoed(*message(KOSME, TEXT, 1)))
    wrong = KOSME + SURROGATE + EDITED
    yield Case("6.3.1", failed(text(wrong), codes=[INVALID]))
    yield Case("6.3.2", failed(*message(wrong, TEXT, 1), codes=[INVALID]))
    wrong = KOSME + TOO_FAR + EDITED
    yield Case("6.4.1", fast(KOSME, TOO_FAR, EDITED))
    yield Case("6.4.2", fast(wrong[:12], wrong[12:13], wrong[13:]))
    yield Case("6.4.3", fast_in_a_frame(KOSME, TOO_FAR, EDITED))
    yield Case("6.4.4", fast_in_a_frame(wrong[:12], wrong[12:13], wrong[13:]))
    for i, sequences in enumerate(SEQUENCES, 5):
        for j, sequence in enumerate(sequences, 1):
            yield Case(f"6.{i}.{j}", in_utf8(sequence))


def fast(good: bytes, bad: bytes, rest: bytes) -> Run:
    """The first fragment is taken; the second should fail at once."""

    def run(peer: Peer) -> str:
        peer.send(text(good, False), Frame(PING))
        assert peer.event() == Frame(PONG)
        peer.send(more(bad, False))
        return fails_now(peer, more(rest).encode())

    return run


def fast_in_a_frame(good: bytes, bad: bytes, rest: bytes) -> Run:
    def run(peer: Peer) -> str:
        frame = text(good + bad + rest).encode()
        left = len(frame) - len(rest)
        peer.send_bytes(frame[: left - len(bad)])
        assert peer.silent(FAST / 10)
        peer.send_bytes(frame[left - len(bad) : left])
        return fails_now(peer, frame[left:])

    return run


def fails_now(peer: Peer, rest: bytes) -> str:
    result = OK
    if peer.silent(FAST):
        peer.send_bytes(rest)
        result = NON_STRICT
    peer.closed(INVALID)
    return result


def in_utf8(sequence: bytes) -> Run:
    try:
        sequence.decode()
    except UnicodeDecodeError:
        return failed(text(sequence), codes=[INVALID])
    return echoed(text(sequence))


def lonely(first: int, last: int) -> bytes:
    return b"".join(bytes([byte, 32]) for byte in range(first, last))


INCOMPLETE = [
    *(b"\xc0", b"\xe0\x80", b"\xf0\x80\x80", b"\xf8\x80\x80\x80"),
    *(b"\xfc\x80\x80\x80\x80", b"\xdf", b"\xef\xbf", b"\xf7\xbf\xbf"),
    *(b"\xfb\xbf\xbf\xbf", b"\xfd\xbf\xbf\xbf\xbf"),
]
SURROGATES = [
    b"\xed" + pair
    for pair in (
        *(b"\xa0\x80", b"\xad\xbf", b"\xae\x80", b"\xaf\xbf"),
        *(b"\xb0\x80", b"\xbe\x80", b"\xbf\xbf"),
    )
]
# 6.5 and those behind it; after Markus Kuhn's stress test of decoders
SEQUENCES: list[list[bytes]] = [
    [
        *(b"hello$world", b"hello\xc2\xa2world", b"hello\xe2\x82\xacworld"),
        *(b"hello\xf0\xa4\xad\xa2world", KOSME),
    ],
    [KOSME[:i] for i in range(1, len(KOSME) + 1)],
    # first and last of a length
    [b"\x00", b"\xc2\x80", b"\xe0\xa0\x80", b"\xf0\x90\x80\x80"],
    [b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80"],
    [b"\x7f", b"\xdf\xbf", b"\xef\xbf\xbf", b"\xf4\x8f\xbf\xbf"],
    [
        b"\xf7\xbf\xbf\xbf",
        b"\xfb\xbf\xbf\xbf\xbf",
        b"\xfd\xbf\xbf\xbf\xbf\xbf",
    ],
    # beside what is none
    [
        *(b"\xed\x9f\xbf", b"\xee\x80\x80", b"\xef\xbf\xbd"),
        *(b"\xf4\x8f\xbf\xbf", TOO_FAR),
    ],
    # what continues nothing
    [
        *(b"\x80", b"\xbf"),
        *((b"\x80\xbf" * 3)[:i] for i in range(2, 7)),
        bytes(range(0x80, 0xBF)),
    ],
    # what nothing continues
    [
        *(lonely(0xC0, 0xDF), lonely(0xE0, 0xEF), lonely(0xF0, 0xF7)),
        *(lonely(0xF8, 0xFB), lonely(0xFC, 0xFD)),
    ],
    INCOMPLETE,
    [b"".join(INCOMPLETE)],
    # impossible
    [b"\xfe", b"\xff", b"\xfe\xfe\xff\xff"],
    # too long for what they are: a slash, the most, NUL
    [
        *(b"\xc0\xaf", b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf"),
        *(b"\xf8\x80\x80\x80\xaf", b"\xfc\x80\x80\x80\x80\xaf"),
    ],
    [
        *(b"\xc1\xbf", b"\xe0\x9f\xbf", b"\xf0\x8f\xbf\xbf"),
        *(b"\xf8\x87\xbf\xbf\xbf", b"\xfc\x83\xbf\xbf\xbf\xbf"),
    ],
    [
        *(b"\xc0\x80", b"\xe0\x80\x80", b"\xf0\x80\x80\x80"),
        *(b"\xf8\x80\x80\x80\x80", b"\xfc\x80\x80\x80\x80\x80"),
    ],
    SURROGATES,
    [SURROGATES[i] + SURROGATES[j] for i in range(4) for j in (4, 6)],
    # code points that are no characters, in each plane
    [
        chr(plane << 16 | last).encode()
        for plane in range(17)
        for last in (0xFFFE, 0xFFFF)
    ],
    [chr(point).encode() for point in range(0xFFF9, 0x10000)],
]
