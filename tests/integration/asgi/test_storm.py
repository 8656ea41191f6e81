# SPDX-License-Identifier: BSD-2-Clause
"""Large bodies, many streams, clients that go, and reloads amid them."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ..checker import CHECKED
from ..client import eventually
from .site import Site, head

SIZE = 100_000_000

# KiB that a body of SIZE may add to nginx and Python.
ROOM = 30_000


@pytest.mark.skipif(CHECKED, reason="checkers have memory of their own")
def test_large_bodies_take_no_memory(site: Site) -> None:
    site.ask("/parts?100x65536")
    before = site.resident()
    with site.open(f"/parts?{SIZE // 65_536}x65536") as sock:
        # the application runs ahead of a client that does not read
        time.sleep(1)
        assert site.resident() - before < ROOM
        count = 0
        while piece := sock.recv(1 << 20):
            count += len(piece)
    assert count > SIZE - 65_536
    assert site.resident() - before < ROOM
    fields = {"Content-Length": str(SIZE)}
    with site.open("/upload?large", "POST", fields) as sock:
        for _ in range(SIZE // 100_000):
            sock.sendall(b"u" * 100_000)
        assert site.resident() - before < ROOM
        data = b""
        while piece := sock.recv(65536):
            data += piece
    assert str(SIZE).encode() in data
    assert site.resident() - before < ROOM


def test_streams_with_clients_that_go(site: Site) -> None:
    def ask(seed: int) -> int:
        chance = random.Random(seed)
        uri = chance.choice(
            ["/parts?50x20000", "/echo?storm", "/disconnects?storm"]
        )
        body = b"e" * chance.randrange(200_000)
        fields = {"Content-Length": str(len(body))}
        with site.connect() as sock:
            sock.settimeout(30)
            method = "POST" if uri.startswith("/echo") else "GET"
            data = body if method == "POST" else b""
            sock.sendall(head(uri, method, fields if data else None))
            stop = threading.Thread(target=_send, args=(sock, data))
            stop.start()
            with contextlib.suppress(ConnectionResetError):
                # the third of them ends when its client goes
                parts = 1 if "disconnects" in uri else chance.randrange(20)
                for _ in range(parts):
                    if not sock.recv(chance.randrange(1, 30_000)):
                        break
            sock.shutdown(socket.SHUT_RDWR)
            stop.join()
        return 1

    def round_of(count: int) -> int:
        with ThreadPoolExecutor(50) as pool:
            asked = sum(pool.map(ask, range(count)))
        assert asked == count
        site.wait_idle()
        return int(site.ask("/collect").text)

    round_of(100)
    before = round_of(100)
    # what each of them left would be there a hundred times
    assert eventually(lambda: round_of(100) - before < 100)


def _send(sock: socket.socket, data: bytes) -> None:
    with contextlib.suppress(OSError):  # it is closed meanwhile
        sock.sendall(data)


@pytest.mark.once
@pytest.mark.parametrize("workers", [1, 2])
def test_reloads_lose_nothing(workers: int) -> None:
    with Site(workers=workers) as site:
        stop = threading.Event()
        failed: list[object] = []
        served = []

        def ask() -> None:
            count = 0
            while not stop.is_set():
                answer = site.ask("/echo", "POST", b"%d" % count)
                if (answer.status, answer.body) != (200, b"%d" % count):
                    failed.append(answer)
                count += 1
            served.append(count)

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for _ in range(3):
            site.reload()
            time.sleep(0.5)
        stop.set()
        for thread in threads:
            thread.join()
        assert not failed
        assert len(served) == len(threads)
        assert all(served)
