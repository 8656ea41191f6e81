# SPDX-License-Identifier: BSD-2-Clause
"""The cases of Autobahn's testsuite for servers, by its numbers.

What is sent and what must come are the suite's; see its descriptions. It
waits a second wherever nothing may come: these look at what comes next.

usage: python -m tests.integration.websocket.cases: prints the table that is
in docs/web.md
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import random
from collections.abc import Callable, Iterator, Sequence

from .frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    RSV1,
    TEXT,
    Deflate,
    Frame,
    Peer,
    closing,
    message,
)

OK, NON_STRICT, INFORMATIONAL = "OK", "non-strict", "informational"
HELLO = b"Hello, world!"
NOT_UTF8 = b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff"
PROTOCOL, INVALID = 1002, 1007
KIB, MIB = 1 << 10, 1 << 20
# what a server may take to fail amid a message, where it may also wait
FAST = 0.5

Run = Callable[[Peer], str]


@dataclasses.dataclass(frozen=True)
class Case:
    """offer: Sec-WebSocket-Extensions. result: what ours has, and run()
    returns, where it does not fail."""

    number: str
    run: Run
    offer: str | None = None
    result: str = "OK"

    @property
    def group(self) -> str:
        return self.number.rpartition(".")[0]


Cases = Iterator[Case]


# ---- what cases have in common


def text(payload: bytes, fin: bool = True, rsv: int = 0) -> Frame:
    return Frame(TEXT, payload, fin, rsv)


def more(payload: bytes, fin: bool = True) -> Frame:
    return Frame(CONTINUATION, payload, fin)


def answered(
    *frames: Frame,
    by: Sequence[Frame],
    chop: int = 0,
    sync: bool = False,
) -> Run:
    """All is well, and the client closes."""

    def run(peer: Peer) -> str:
        peer.send(*frames, chop=chop, sync=sync)
        for expected in by:
            assert peer.event() == expected
        peer.close()
        return OK

    return run


def echoed(*frames: Frame, chop: int = 0, sync: bool = False) -> Run:
    data = [f for f in frames if f.opcode in (CONTINUATION, TEXT, BINARY)]
    whole = b"".join(frame.payload for frame in data)
    by = [Frame(data[0].opcode, whole)]
    return answered(*frames, by=by, chop=chop, sync=sync)


def failed(
    *frames: Frame,
    codes: Sequence[int] = (PROTOCOL,),
    first: Frame | None = None,
    chop: int = 0,
    sync: bool = False,
) -> Run:
    """The server closes; first: what comes before that, if it is strict."""

    def run(peer: Peer) -> str:
        with contextlib.suppress(BrokenPipeError):  # it has seen enough
            peer.send(*frames, chop=chop, sync=sync)
        event = peer.event()
        strict = event == first
        if first and strict:
            event = peer.event()
        assert event
        assert event.opcode == CLOSE, event
        assert event.code in codes, event
        peer.end(event)
        return OK if strict or not first else NON_STRICT

    return run


def closed(*frames: Frame, codes: Sequence[int] = (1000,)) -> Run:
    """The last thing that the client says is of no interest any more."""

    def run(peer: Peer) -> str:
        peer.send(*frames)
        peer.closed(*codes)
        return OK

    return run


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


# ---- 6: UTF-8

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


# ---- 9: limits and performance, 10: fragments as they fall


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
