# SPDX-License-Identifier: BSD-2-Clause
"""The cases of Autobahn's testsuite for servers, by its numbers.

What is sent and what must come are the suite's; see its descriptions. It
waits a second wherever nothing may come: these look at what comes next.

usage: python -m tests.integration.websocket.cases: prints the table that is
in docs/web.md
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from .case import (
    HELLO,
    INFORMATIONAL,
    INVALID,
    KIB,
    NOT_UTF8,
    OK,
    PROTOCOL,
    Case,
    Cases,
    Run,
    answered,
    closed,
    echoed,
    failed,
    more,
    text,
)
from .frames import BINARY, CLOSE, PING, PONG, TEXT, Frame, Peer, closing
from .limits import deflates, fragmented, limits
from .utf8 import EDITED, KOSME, SURROGATE, utf8

# ---- 1: framing, 2: pings and pongs


def framing() -> Cases:
    for kind, opcode, byte in ((1, TEXT, b"*"), (2, BINARY, b"\xfe")):
        sizes = (0, 125, 126, 127, 128, 65_535, 65_536)
        for i, size in enumerate(sizes, 1):
            yield Case(f"1.{kind}.{i}", echoed(Frame(opcode, byte * size)))
        frame = Frame(opcode, byte * 65_536)
        yield Case(f"1.{kind}.8", echoed(frame, chop=997))


def ponged(
    *payloads: bytes, chop: int = 0, before: Sequence[Frame] = ()
) -> Run:
    return answered(
        *before,
        *(Frame(PING, payload) for payload in payloads),
        by=[Frame(PONG, payload) for payload in payloads],
        chop=chop,
    )


def pings() -> Cases:
    yield Case("2.1", ponged(b""))
    yield Case("2.2", ponged(HELLO))
    yield Case("2.3", ponged(NOT_UTF8))
    yield Case("2.4", ponged(b"\xfe" * 125))
    yield Case("2.5", failed(Frame(PING, b"\xfe" * 126)))
    yield Case("2.6", ponged(b"\xfe" * 125, chop=1))
    unasked = Frame(PONG, b"unsolicited pong payload")
    yield Case("2.7", answered(Frame(PONG), by=[]))
    yield Case("2.8", answered(unasked, by=[]))
    yield Case("2.9", ponged(b"ping payload", before=[unasked]))
    ten = [b"payload-%d" % i for i in range(10)]
    yield Case("2.10", ponged(*ten))
    yield Case("2.11", ponged(*ten, chop=1))


# ---- 3: reserved bits, 4: opcodes


def then(*frames: Frame, chop: int = 0, sync: bool = False) -> Run:
    """Behind a message and before a ping."""
    return failed(
        *(text(HELLO), *frames, Frame(PING)),
        first=text(HELLO),
        chop=chop,
        sync=sync,
    )


def reserved_bits() -> Cases:
    yield Case("3.1", failed(text(HELLO, rsv=1)))
    yield Case("3.2", then(text(HELLO, rsv=2)))
    yield Case("3.3", then(text(HELLO, rsv=3), sync=True))
    yield Case("3.4", then(text(HELLO, rsv=4), chop=1))
    yield Case("3.5", failed(Frame(BINARY, NOT_UTF8, rsv=5)))
    yield Case("3.6", failed(Frame(BINARY, HELLO, rsv=6)))
    yield Case("3.7", failed(Frame(CLOSE, rsv=7)))


def opcodes() -> Cases:
    for kind, first in ((1, 3), (2, 11)):
        payload = b"reserved opcode payload"
        yield Case(f"4.{kind}.1", failed(Frame(first)))
        yield Case(f"4.{kind}.2", failed(Frame(first + 1, payload)))
        yield Case(f"4.{kind}.3", then(Frame(first + 2)))
        yield Case(f"4.{kind}.4", then(Frame(first + 3, HELLO)))
        yield Case(f"4.{kind}.5", then(Frame(first + 4, HELLO), chop=1))


# ---- 5: fragmentation

ONE, TWO, THREE, FOUR, FIVE = (b"fragment%d" % i for i in range(1, 6))


def fragments() -> Cases:
    yield Case("5.1", failed(Frame(PING, ONE, False), more(TWO)))
    yield Case("5.2", failed(Frame(PONG, ONE, False), more(TWO)))
    two = (text(ONE, False), more(TWO))
    # in one piece, in one a frame, in one a byte
    ways: list[dict[str, int]] = [{}, {"sync": True}, {"chop": 1}]
    for i, way in enumerate(ways):
        yield Case(f"5.{3 + i}", echoed(*two, **way))  # type: ignore[arg-type]
    ping = Frame(PING, b"ping payload")
    by = [Frame(PONG, b"ping payload"), text(ONE + TWO)]
    for i, way in enumerate(ways):
        run = answered(two[0], ping, two[1], by=by, **way)  # type: ignore[arg-type]
        yield Case(f"5.{6 + i}", run)
    for first, fin in ((9, True), (12, False)):
        wrong = more(b"non-continuation payload", fin)
        for i, way in enumerate(ways):
            run = failed(wrong, text(HELLO), **way)  # type: ignore[arg-type]
            yield Case(f"5.{first + i}", run)
    yield Case(
        "5.15",
        failed(
            *(*two, more(THREE, False), text(FOUR)),
            first=text(ONE + TWO),
        ),
    )
    for number, fin in (("5.16", False), ("5.17", True)):
        wrongs = (more(ONE, fin), text(TWO, False), more(THREE))
        yield Case(number, failed(*wrongs, *wrongs))
    yield Case("5.18", failed(text(ONE, False), text(TWO)))
    yield Case("5.19", pings_amid(sync=False))
    yield Case("5.20", pings_amid(sync=True))


def pings_amid(sync: bool) -> Run:
    def run(peer: Peer) -> str:
        first, second = (Frame(PING, b"pongme %d!" % i) for i in (1, 2))
        peer.send(text(ONE, False), more(TWO, False), first, sync=sync)
        assert peer.event() == Frame(PONG, first.payload)
        rest = (more(THREE, False), more(FOUR, False), second, more(FIVE))
        peer.send(*rest, sync=sync)
        assert peer.event() == Frame(PONG, second.payload)
        assert peer.event() == text(ONE + TWO + THREE + FOUR + FIVE)
        peer.close()
        return OK

    return run


# ---- 7: closing

CODES = (
    *(1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011),
    *(3000, 3999, 4000, 4999),
)
NO_CODES = (0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999)


def closings() -> Cases:
    close = closing()
    yield Case("7.1.1", echoed(text(b"Hello World!")))
    yield Case("7.1.2", closed(close, Frame(CLOSE)))
    yield Case("7.1.3", closed(close, Frame(PING)))
    yield Case("7.1.4", closed(close, text(b"Hello World!")))
    yield Case("7.1.5", closed(text(ONE, False), close, more(TWO)))
    yield Case("7.1.6", close_behind_much, None, INFORMATIONAL)
    # no code is 1005, which no frame has
    yield Case("7.3.1", closed(closing(None), codes=(1000, 1005)))
    yield Case("7.3.2", closed(Frame(CLOSE, b"a"), codes=[PROTOCOL]))
    yield Case("7.3.3", closed(close))
    yield Case("7.3.4", closed(closing(1000, b"Hello World!")))
    yield Case("7.3.5", closed(closing(1000, b"*" * 123)))
    long = closing(1000, b"*" * 124)
    yield Case("7.3.6", closed(long, codes=[PROTOCOL]))
    wrong = closing(1000, KOSME + SURROGATE + EDITED)
    yield Case("7.5.1", closed(wrong, codes=[PROTOCOL, INVALID]))
    for i, code in enumerate(CODES, 1):
        yield Case(f"7.7.{i}", closed(closing(code), codes=[1000, code]))
    for i, code in enumerate(NO_CODES, 1):
        yield Case(f"7.9.{i}", closed(closing(code), codes=[PROTOCOL]))
    for i, code in enumerate((5000, 65_535), 1):
        run = closed(closing(code), codes=[1000, code, PROTOCOL])
        yield Case(f"7.13.{i}", informational(run), None, INFORMATIONAL)


def informational(run: Run) -> Run:
    def informs(peer: Peer) -> str:
        run(peer)
        return INFORMATIONAL

    return informs


def close_behind_much(peer: Peer) -> str:
    """What of the two messages comes is the server's to say."""
    much = text(b"BAsd7&jh23" * (256 * KIB // 10))
    sent = [much, text(b"Hello World!")]
    peer.send(*sent, closing(), Frame(PING))
    came = []
    while (event := peer.event()) and event.opcode != CLOSE:
        came.append(event)
    assert came == sent[: len(came)]
    assert event
    assert event.code == 1000
    peer.end(event)
    return INFORMATIONAL


CASES = [
    *framing(),
    *pings(),
    *reserved_bits(),
    *opcodes(),
    *fragments(),
    *utf8(),
    *closings(),
    *limits(),
    *fragmented(),
    *deflates(),
]
BY_NUMBER = {case.number: case for case in CASES}


# ---- the table

TITLES: dict[str, tuple[str, ...]] = {
    "messages of text and of bytes, 0 to 64 KiB": ("1.1", "1.2"),
    "pings and pongs": ("2",),
    "reserved bits": ("3",),
    "reserved opcodes, of data and of control frames": ("4.1", "4.2"),
    "fragments, and control frames amid them": ("5",),
    "UTF-8 in fragments; what is none, at once": ("6.1", "6.2", "6.3", "6.4"),
    "sequences that are UTF-8, and that are none": tuple(
        f"6.{i}" for i in range(5, 24)
    ),
    "the closing handshake": ("7.1",),
    "a close frame's length and reason": ("7.3", "7.5"),
    "codes that a close frame may have, may not, and others": (
        *("7.7", "7.9", "7.13"),
    ),
    "messages of 64 KiB to 16 MiB": ("9.1", "9.2"),
    "4 MiB in fragments of 64 B to 4 MiB": ("9.3", "9.4"),
    "1 MiB in pieces of 64 B to 2 KiB": ("9.5", "9.6"),
    "1 000 messages, one after the other": ("9.7", "9.8"),
    "64 KiB in fragments of 1 300 B": ("10.1",),
    "permessage-deflate: JSON, a picture, text, HTML, noise": tuple(
        f"12.{i}" for i in range(1, 6)
    ),
    "permessage-deflate: parameters": tuple(f"13.{i}" for i in range(1, 8)),
}


def table() -> str:
    lines = ["| cases | of | result |", "| --- | --- | --- |"]
    for title, groups in TITLES.items():
        found: dict[str, list[str]] = {}
        for group in groups:
            cases = [case for case in CASES if case.group == group]
            for result, same in itertools.groupby(cases, lambda c: c.result):
                numbers = [case.number for case in same]
                first, last = numbers[0], numbers[-1].rpartition(".")[2]
                words = f"{first}-{last}" if len(numbers) > 1 else first
                found.setdefault(result, []).append(words)
        for result, words_of in found.items():
            lines.append(f"| {', '.join(words_of)} | {title} | {result} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(table(), end="")
