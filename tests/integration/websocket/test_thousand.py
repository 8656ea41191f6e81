# SPDX-License-Identifier: BSD-2-Clause
"""A thousand WebSockets, whose worker leaves."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator

import pytest

from ..checker import CHECKED, SLOWNESS
from ..client import eventually, is_shutting_down
from .frames import BINARY, CLOSE, TEXT, Frame, Peer, closing
from .site import Site

pytestmark = pytest.mark.once

MANY = 200 if CHECKED else 1000
LEAVING_S = 1 + 3 * SLOWNESS
RESTART = 1012
BOUND = f"worker_shutdown_timeout {LEAVING_S}s;"


@contextlib.contextmanager
def opened(site: Site, count: int = MANY) -> Iterator[list[Peer]]:
    peers: list[Peer] = []
    try:
        for i in range(count):
            peers.append(site.peer(f"/echo?{i}", tcp=True))
        yield peers
    finally:
        for peer in peers:
            peer.sock.close()


def all_echo(peers: list[Peer], text: bytes) -> None:
    for i, peer in enumerate(peers):
        peer.send(Frame(BINARY, text + b" %d" % i))
    for i, peer in enumerate(peers):
        assert peer.event() == Frame(BINARY, text + b" %d" % i)


def all_told(peers: list[Peer]) -> None:
    """With a close frame, which is the last thing; then an end."""
    for peer in peers:
        event = peer.event()
        assert event
        assert event.opcode == CLOSE, event
        assert event.code == RESTART
        peer.end(event)


@pytest.mark.parametrize("how", ["reload", "quit"])
def test_all_are_told(how: str) -> None:
    with Site(main=BOUND) as site:
        old = site.worker()
        with opened(site) as peers:
            all_echo(peers, b"before")
            if how == "reload":
                site.reload()
                # who comes now has the new worker
                with site.peer("/echo") as peer:
                    peer.echo(b"new", TEXT)
                    peer.close()
            else:
                site.quit()
            all_echo(peers, b"while it leaves")
            all_told(peers)
        if how == "reload":
            site.wait_gone(old)
        else:
            site.wait()
        lines = site.accesses()
    assert sum(line.startswith("101 /echo?") for line in lines) == MANY


def test_reload_upon_reload() -> None:
    """Three generations of them."""
    with Site(main=BOUND) as site:
        gone: set[int] = set()
        with contextlib.ExitStack() as stack:
            some: list[Peer] = []
            for _ in range(3):
                eventually(lambda: len(site.worker_pids()) == 1, "one")
                some += stack.enter_context(opened(site, MANY // 5))
                gone |= site.worker_pids()
                site.reload()
            all_echo(some, b"of all")
            all_told(some)
        assert len(gone) == 3
        for pid in gone:
            site.wait_gone(pid)


def test_without_a_bound_the_worker_stays() -> None:
    with Site() as site:
        old = site.worker()
        with opened(site) as peers:
            site.reload()
            eventually(lambda: is_shutting_down(old), "it is told to leave")
            all_echo(peers, b"still")
            for peer in peers[1:]:
                peer.send(closing())
            for peer in peers[1:]:
                assert peer.event() == closing()
            all_echo(peers[:1], b"the last one")
            assert old in site.children()
            peers[0].close()
            site.wait_gone(old)


def test_stop_does_not_wait() -> None:
    with Site() as site, opened(site, MANY // 10) as peers:
        all_echo(peers, b"before")
        site.stop()
        site.wait()
        for peer in peers:
            event = peer.event()
            assert event is None or event.code == RESTART


def test_a_worker_that_is_killed() -> None:
    """Its clients see an end, and its successor takes others."""
    with Site() as site:
        site.allow_log("exited on signal 9")
        old = site.worker()
        with opened(site, MANY // 10) as peers:
            os.kill(old, signal.SIGKILL)
            for peer in peers:
                peer.ended()
            site.wait_successor(old)
        with site.peer("/echo") as peer:
            peer.echo(b"again")
            peer.close()
