# SPDX-License-Identifier: BSD-2-Clause
"""Who is slow holds up who is quick, and takes no memory."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from ..checker import CHECKED
from ..client import eventually
from .frames import BINARY, PING, PONG, TEXT, Deflate, Frame, Peer
from .site import Site

MIB = 1 << 20
# KiB that a connection may take, and all of them
ROOM = 12_000
MANY = 50
# what TCP has room for, on both sides, is more than both have
STUFF = 64 * MIB

memory = pytest.mark.skipif(CHECKED, reason="checkers have their own")


@pytest.fixture(scope="module")
def server() -> Iterator[Site]:
    with Site() as site:
        # what is imported, and made, for the first
        with site.peer("/echo", "permessage-deflate") as peer:
            peer.send(Frame(BINARY, bytes(MIB)))
            peer.event()
            peer.close()
        yield site


def narrow(site: Site, path: str) -> Peer:
    """Its client has little room for what it does not read."""
    sock = socket.socket()
    sock.settimeout(15)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", site.port))
    return Peer(sock).open(path)


def settles(site: Site, key: str) -> int:
    """MiB that the application has sent, when it sends no more."""
    seen = [-1, -2]

    def same() -> bool:
        seen.append(len(site.notes(key)))
        return seen[-1] == seen[-2] == seen[-3]

    eventually(same, "send() waits")
    return seen[-1]


@memory
def test_a_client_that_reads_nothing(site: Site) -> None:
    before = site.resident()
    with narrow(site, "/floods?stalls") as peer:
        site.wait_notes("stalls", "begun")
        sent = settles(site, "stalls")
        assert sent < 16
        assert site.resident() - before < ROOM
        # and it goes on where it was
        size = 0
        while size < 32 * MIB:
            event = peer.event()
            assert event
            assert event.opcode == BINARY
            size += len(event.payload)
        assert len(site.notes("stalls")) > sent
    site.wait_idle()
    assert site.notes("stalls")[-1] == "OSError"


@memory
def test_many_clients_that_read_nothing(site: Site) -> None:
    """Each takes a stream's buffer, and little else."""
    before = site.resident()
    peers = [narrow(site, f"/floods?many-{i},4096") for i in range(MANY)]
    try:
        for i in range(MANY):
            site.wait_notes(f"many-{i},4096", "begun")
        for i in range(0, MANY, 10):
            settles(site, f"many-{i},4096")
        assert site.resident() - before < 8_000 + MANY * 200
    finally:
        for peer in peers:
            peer.sock.close()


def test_pings_are_answered_while_the_application_sends(site: Site) -> None:
    with narrow(site, "/floods?pinged") as peer:
        peer.send(Frame(PING, b"amid"))
        event = peer.event()
        for _ in range(10_000):
            assert event
            if event.opcode == PONG:
                break
            event = peer.event()
        assert event == Frame(PONG, b"amid")


@memory
@pytest.mark.parametrize("size", [10, 60_000])
def test_an_application_that_receives_nothing(site: Site, size: int) -> None:
    """The client has to wait; nothing is lost."""
    key = f"late-{size}"
    before = site.resident()
    frame = Frame(BINARY, bytes(size)).encode()
    times = max(1, 20_000 // len(frame))
    with site.peer(f"/late?{key}") as peer:
        site.wait_notes(key, "begun")
        sent = peer.stuff(frame * times, STUFF)
        assert sent < STUFF
        assert site.resident() - before < ROOM
        # the rest of what has begun
        site.ask("/open-gate")
        peer.sock.sendall(peer.unsent)
        sent += len(peer.unsent)
        count = sent // len(frame)
        assert sent == count * len(frame)
        peer.send(Frame(TEXT, b"end"))
        assert peer.event() == Frame(TEXT, b"%d %d" % (count, count * size))
        peer.close()
    assert site.resident() - before < ROOM


def test_a_ping_overtakes_what_nobody_receives(site: Site) -> None:
    """One that has come; behind more than fits, it waits too."""
    with site.peer("/late?overtaken") as peer:
        site.wait_notes("overtaken", "begun")
        peer.send(Frame(BINARY, b"waits"), Frame(PING, b"overtakes"))
        assert peer.event() == Frame(PONG, b"overtakes")
        site.ask("/open-gate")
        peer.close()
    site.wait_notes("overtaken", "begun", [1000, ""])


@memory
def test_sockets_that_come_and_go_leave_nothing(site: Site) -> None:
    def rounds(count: int) -> int:
        for i in range(count):
            offer = "permessage-deflate" if i % 2 else None
            with site.peer("/echo", offer) as peer:
                sent = Frame(BINARY, b"l" * 5000)
                peer.send(sent)
                event = peer.event()
                if offer:
                    deflate = Deflate(peer.fields["sec-websocket-extensions"])
                    event = deflate.decoded(event)
                assert event == sent
                if i % 3:
                    peer.close()
        site.wait_idle()
        return int(site.ask("/collect").text)

    rounds(200)
    before, resident = rounds(200), site.resident()
    assert eventually(lambda: rounds(200) - before < 200)
    assert site.resident() - resident < ROOM
