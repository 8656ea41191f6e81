# SPDX-License-Identifier: BSD-2-Clause
"""Clients that go, stop amid a frame, or send what is none."""

from __future__ import annotations

import socket
import struct
import time
import zlib
from collections.abc import Iterator, Sequence

import pytest

from ..checker import CHECKED, SLOWNESS
from ..client import eventually
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
    encoded,
    length,
)
from .site import Site

PROTOCOL, INVALID, TOO_BIG, GONE = 1002, 1007, 1009, 1006
MIB = 1 << 20
# KiB that a worker may grow by
ROOM = 40_000
# bytes that count, where a message may have 16 MiB at most
BOMB = 1 << 30
OFFER = "permessage-deflate"

QUIET = f"""
location /quiet/ {{
    rewrite ^/quiet(/.*) $1 break;
    python_pass sockets:app;
    python_read_timeout {2 * SLOWNESS}s;
}}
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Site]:
    with Site(server=QUIET) as site:
        yield site


# ---- clients that go


def goes(peer: Peer, how: str) -> None:
    if how == "reset":
        linger = struct.pack("ii", 1, 0)
        peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    if how == "shut":
        peer.sock.shutdown(socket.SHUT_WR)
        assert peer.frame() is None
    peer.sock.close()


@pytest.mark.valgrind
@pytest.mark.parametrize("how", ["closes", "shut", "reset"])
@pytest.mark.parametrize(
    "before",
    [
        b"",
        Frame(TEXT, b"whole").encode(),
        Frame(TEXT, b"first", fin=False).encode(),
        Frame(BINARY, b"half a frame").encode()[:9],
        Frame(BINARY, b"half a head").encode()[:1],
        Frame(BINARY, b"h" * 100_000).encode()[:50_000],
    ],
)
def test_a_client_that_goes(site: Site, how: str, before: bytes) -> None:
    key = f"goes-{how}-{len(before)}"
    with site.peer(f"/silent?{key}", tcp=True) as peer:
        peer.send_bytes(before)
        site.wait_notes(key, "begun")
        goes(peer, how)
        # and what is sent to it raises OSError; its end is known for ever
        site.wait_notes(
            key,
            *("begun", [GONE, ""], "OSError", "OSError"),
            "websocket.disconnect",
        )
    site.wait_access(f"101 /silent?{key}")


def test_a_client_that_goes_behind_its_close(site: Site) -> None:
    with site.peer("/echo?rude") as peer:
        peer.send(closing(4321, b"bye"))
    site.wait_notes("rude", [4321, "bye"])


def test_a_client_that_goes_while_it_is_accepted(site: Site) -> None:
    from .frames import handshake

    request, _ = handshake("/never?early")
    with site.connect() as sock:
        sock.sendall(request)
        site.wait_notes("early", "begun")
    site.wait_notes("early", "begun", [GONE, ""])
    site.wait_access("499 /never?early")


# ---- a frame, and then nothing


@pytest.mark.parametrize(
    "before",
    [
        b"",
        Frame(TEXT, b"first", fin=False).encode(),
        Frame(BINARY, b"half a frame").encode()[:9],
        Frame(BINARY, b"half a head").encode()[:1],
    ],
)
def test_nothing_more_in_time(site: Site, before: bytes) -> None:
    """An end with or without a close frame; the application is told."""
    key = f"quiet-{len(before)}"
    with site.peer(f"/quiet/silent?{key}") as peer:
        peer.send_bytes(before)
        event = peer.event()
        assert event is None or event.opcode == CLOSE
    eventually(lambda: len(site.notes(key)) > 1, "it is told")
    assert site.notes(key)[1][0] in (1001, GONE, 1011, 1008, 1002)


@pytest.mark.parametrize("opcode", [TEXT, PING])
def test_frames_in_time(site: Site, opcode: int) -> None:
    with site.peer("/quiet/echo") as peer:
        end = time.monotonic() + 4 * SLOWNESS
        while time.monotonic() < end:
            peer.send(Frame(opcode, b"alive"))
            assert peer.event() == Frame(
                PONG if opcode == PING else TEXT, b"alive"
            )
            time.sleep(0.3)
        peer.close()


def test_one_direction_is_enough(site: Site) -> None:
    """The application sends; the client says nothing."""
    with site.peer("/quiet/ticks?5") as peer:
        for i in range(5):
            assert peer.event() == Frame(TEXT, b"tick %d" % i)
        peer.close()


# ---- frames that are none


BAD: dict[str, tuple[bytes, Sequence[int]]] = {
    "no mask": (Frame(TEXT, b"bare").encode(None), [PROTOCOL]),
    "no mask in a close": (closing().encode(None), [PROTOCOL]),
    "no mask, and empty": (Frame(TEXT).encode(None), [PROTOCOL]),
    "1 GiB": (length(1 << 30, 0x80 | BINARY), [TOO_BIG]),
    "2^63": (length((1 << 63) - 1, 0x80 | BINARY), [TOO_BIG]),
    "2^64": (length((1 << 64) - 1, 0x80 | BINARY), [TOO_BIG, PROTOCOL]),
    "fragment of 1 GiB": (
        encoded([Frame(TEXT, b"a", False)]) + length(1 << 30, CONTINUATION),
        [TOO_BIG],
    ),
    "16 bits for 125": (
        struct.pack("!BBH", 0x82, 0x80 | 126, 125) + bytes(4 + 125),
        [PROTOCOL],
    ),
    "64 bits for 65535": (
        struct.pack("!BBQ", 0x82, 0x80 | 127, 65_535) + bytes(4 + 65_535),
        [PROTOCOL],
    ),
    "fragmented ping": (Frame(PING, b"a", False).encode(), [PROTOCOL]),
    "fragmented close": (
        Frame(CLOSE, b"\x03\xe8", False).encode(),
        [PROTOCOL],
    ),
    "ping of 126": (length(126, 0x80 | PING), [PROTOCOL]),
    "close of 126": (length(126, 0x80 | CLOSE), [PROTOCOL]),
    "ping of 1 GiB": (length(1 << 30, 0x80 | PING), [PROTOCOL]),
    "UTF-8 across fragments": (
        encoded(
            [
                Frame(TEXT, b"\xf0\x9f", False),
                Frame(PING, b"amid"),
                Frame(CONTINUATION, b"\x98", False),
                Frame(CONTINUATION, b"", False),
                Frame(CONTINUATION, b"x"),
            ]
        ),
        [INVALID],
    ),
    "half a character": (Frame(TEXT, b"\xf0\x9f\x98").encode(), [INVALID]),
    "HTTP": (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", [PROTOCOL]),
    "RSV1 without deflate": (Frame(TEXT, b"", rsv=RSV1).encode(), [PROTOCOL]),
}


@pytest.mark.valgrind
@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("behind", [b"", b"x" * 200_000])
def test_a_bad_frame(site: Site, name: str, behind: bytes) -> None:
    """Fails at once, and gets its close frame whatever is behind it."""
    sent, codes = BAD[name]
    key = f"bad-{name}-{len(behind)}".replace(" ", "-").replace("^", "")
    with site.peer(f"/silent?{key}", tcp=True) as peer:
        peer.send_bytes(sent + behind)
        event = peer.event()
        if event and event.opcode == PONG:
            event = peer.event()
        assert event
        assert event.opcode == CLOSE
        assert event.code in codes
        peer.end(event)
    site.wait_notes(key, "begun")
    eventually(lambda: len(site.notes(key)) > 1, "the application is told")
    assert site.notes(key)[1][0] in (*codes, GONE)


DEFLATED: dict[str, tuple[list[Frame], Sequence[int]]] = {
    "garbage": ([Frame(TEXT, b"\xff" * 50, rsv=RSV1)], [INVALID, PROTOCOL]),
    "RSV1 in a ping": ([Frame(PING, b"", rsv=RSV1)], [PROTOCOL]),
    "RSV1 in a close": ([Frame(CLOSE, b"", rsv=RSV1)], [PROTOCOL]),
    "RSV1 in a continuation": (
        [
            Frame(BINARY, b"a", False),
            Frame(CONTINUATION, b"b", True, RSV1),
        ],
        [PROTOCOL],
    ),
    "RSV2": ([Frame(BINARY, b"a", rsv=2)], [PROTOCOL]),
    "no UTF-8": (
        [Frame(TEXT, Deflate(OFFER).compress(b"\xff\xff"), rsv=RSV1)],
        [INVALID],
    ),
}


@pytest.mark.valgrind
@pytest.mark.parametrize("name", DEFLATED)
def test_bad_frames_with_deflate(site: Site, name: str) -> None:
    frames, codes = DEFLATED[name]
    with site.peer("/silent?deflate", OFFER) as peer:
        peer.send(*frames)
        peer.closed(*codes)


def test_deflate_as_rfc_7692_lets_it_be(site: Site) -> None:
    """No compression, a last block, stored blocks, and nothing at all."""
    with site.peer("/echo", OFFER) as peer:
        deflate = Deflate(peer.fields["sec-websocket-extensions"])

        def returned(frame: Frame) -> bytes:
            peer.send(frame)
            found = deflate.decoded(peer.event())
            assert found
            return found.payload

        assert returned(Frame(BINARY, b"plain")) == b"plain"
        assert returned(Frame(BINARY, b"\0", rsv=RSV1)) == b""
        # section 7.2.3.3 to 7.2.3.5 of RFC 7692
        hello = bytes.fromhex("000500faff48656c6c6f00")
        assert returned(Frame(TEXT, hello, rsv=RSV1)) == b"Hello"
        last = bytes.fromhex("f348cdc9c9070000")
        assert returned(Frame(TEXT, last, rsv=RSV1)) == b"Hello"
        two = bytes.fromhex("f24805000000ffffcac9c90700")
        assert returned(Frame(TEXT, two, rsv=RSV1)) == b"Hello"
        peer.send(
            Frame(TEXT, two[:3], False, RSV1),
            Frame(PING, b"amid"),
            Frame(CONTINUATION, b"", False),
            Frame(CONTINUATION, two[3:]),
        )
        assert peer.event() == Frame(PONG, b"amid")
        assert deflate.decoded(peer.event()) == Frame(TEXT, b"Hello")
        peer.close()


# ---- more than there is room for


@pytest.fixture
def room(site: Site) -> Iterator[None]:
    """The worker's memory is as it was, some MiB aside."""
    with site.peer("/echo") as peer:
        peer.echo(bytes(MIB))
        peer.close()
    before = site.resident()
    yield
    if not CHECKED:
        assert site.resident() - before < ROOM


def test_a_bomb(site: Site, room: None) -> None:
    """A megabyte that is a gigabyte."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    parts = [packer.compress(bytes(MIB)) for _ in range(BOMB // MIB)]
    bomb = b"".join(parts) + packer.flush(zlib.Z_SYNC_FLUSH)[:-4]
    before = site.resident()
    for fragment in (0, 1000):
        with site.peer("/silent?bomb", OFFER, tcp=True) as peer:
            step = fragment or len(bomb)
            frames = [
                Frame(
                    CONTINUATION if i else BINARY,
                    bomb[i : i + step],
                    i + step >= len(bomb),
                    0 if i else RSV1,
                )
                for i in range(0, len(bomb), step)
            ]
            peer.try_send(encoded(frames))
            peer.closed(TOO_BIG)
        if not CHECKED:
            assert site.resident() - before < ROOM


def test_fragments_without_end(site: Site, room: None) -> None:
    """Of 64 KiB, until there are too many."""
    with site.peer("/silent?endless", tcp=True) as peer:
        part = Frame(CONTINUATION, bytes(65_536), False).encode()
        peer.send(Frame(BINARY, b"", False))
        peer.try_send(part * 512)
        peer.closed(TOO_BIG)


def test_empty_fragments_without_end(site: Site, room: None) -> None:
    """A million; they take no memory, or fail."""
    with site.peer("/silent?empty", tcp=True) as peer:
        part = Frame(CONTINUATION, b"", False).encode()
        peer.send(Frame(BINARY, b"", False))
        whole = peer.try_send(part * 1_000_000)
        if whole:
            peer.send(Frame(CONTINUATION, b"end"), Frame(PING, b"then"))
            event = peer.event()
            assert event
            assert event == Frame(PONG, b"then") or event.code == TOO_BIG
            if event.opcode == PONG:
                peer.close()


def test_pings_whose_pongs_nobody_reads(site: Site, room: None) -> None:
    """Pongs do not collect: pings are read no more, or some are skipped."""
    before = site.resident()
    with site.peer("/silent?pings", tcp=True) as peer:
        ping = Frame(PING, b"p" * 125).encode()
        peer.stuff(ping * 8, 64 * MIB)
        if not CHECKED:
            assert site.resident() - before < ROOM


def test_a_limit_of_16_mib(site: Site) -> None:
    with site.peer("/silent?exactly") as peer:
        peer.send(Frame(BINARY, bytes(16 * MIB)), Frame(PING, b"taken"))
        assert peer.event() == Frame(PONG, b"taken")
        peer.close()
    with site.peer("/silent?beyond") as peer:
        peer.send_bytes(length(16 * MIB + 1, 0x80 | BINARY))
        peer.closed(TOO_BIG)
