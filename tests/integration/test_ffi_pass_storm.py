# SPDX-License-Identifier: BSD-2-Clause
"""ffi_pass: all at once, and at random; what is answered is right."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from .checker import SLOWNESS
from .client import eventually, until_end
from .web import Web, head, parse

ROUNDS = 400 // SLOWNESS
SERVER = """
location /small {
    client_body_buffer_size 1k;
    ffi_stream_buffer 2k;
    ffi_pass webprobe;
}
location /gzip { gzip on; gzip_min_length 1; gzip_types *; ffi_pass webprobe; }
location /again { error_page 502 = /small; ffi_pass webprobe; }
location /auth { auth_request /small; ffi_pass webprobe; }
"""


class Client:
    """Asks for one thing, and may leave at any time."""

    def __init__(self, web: Web, seed: int) -> None:
        self.web = web
        self.random = random.Random(seed)
        self.body = self.random.randbytes(self.random.choice(SIZES))
        self.uri = self.random.choice(["/", "/small", "/gzip", "/again"])

    def run(self) -> None:
        kind = self.random.choice(
            [self.echo, self.fill, self.fail, self.break_off, self.leave]
        )
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            kind()

    def nap(self) -> str:
        return self.random.choice(["", "sleep=1;", "sleep=7;"])

    def ask(self, do: str) -> bytes:
        more = f"Content-Length: {len(self.body)}\r\nConnection: close"
        return head(do, more, f"POST {self.uri} HTTP/1.1") + self.body

    def echo(self) -> None:
        do = f"{self.nap()}head=200;{self.nap()}echo;{self.nap()}part=end"
        answer = parse(self.web.raw(self.ask(do)))
        assert (answer.status, answer.body) == (200, self.body + b"end")

    def fill(self) -> None:
        size = self.random.choice(SIZES)
        do = f"{self.nap()}head=200,Content-Length:{size};fill={size}"
        answer = parse(self.web.raw(self.ask(do)))
        assert (answer.status, answer.body) == (200, b"x" * size)

    def fail(self) -> None:
        do = self.random.choice(["end=3,why", "end=0", "read;end=1"])
        answer = parse(self.web.raw(self.ask(self.nap() + do)))
        assert answer.status == 502

    def break_off(self) -> None:
        do = f"head=200;part=some;{self.nap()}end=3"
        answer = self.web.raw(self.ask(do))
        assert not answer.endswith(b"\r\n0\r\n\r\n")

    def leave(self) -> None:
        do = self.random.choice(
            ["gone", "head=200;gone", "head=200;endless", "head=200;echo"]
        )
        ask = self.ask(self.nap() + do)
        with self.web.connect() as sock:
            sock.settimeout(0.05 * SLOWNESS)
            with contextlib.suppress(TimeoutError):
                sock.sendall(ask[: self.random.randrange(1, len(ask) + 1)])
                sock.recv(self.random.choice([1, 1000, 100_000]))
                time.sleep(self.random.random() * 0.01)


SIZES = [0, 1, 999, 4_096, 70_000, 400_000]


@pytest.mark.once
@pytest.mark.valgrind
def test_a_storm(libs: Path) -> None:
    with Web(libs, server=SERVER) as web, ThreadPoolExecutor(24) as pool:
        worker = web.worker()
        for _ in range(2):
            list(pool.map(lambda n: Client(web, n).run(), range(ROUNDS)))
            eventually(lambda: web.counts()["live"] == 0, "all have ended")
            eventually(lambda: web.counts()["unreleased"] <= 1, "given back")
        open_files = len(list(Path(f"/proc/{worker}/fd").iterdir()))
        assert open_files < 40


@pytest.mark.once
def test_a_storm_on_kept_connections(libs: Path) -> None:
    """Answers belong to their requests."""

    def keep_asking(seed: int) -> None:
        rand = random.Random(seed)
        with web.connect() as sock:
            for n in range(100):
                size = rand.choice(SIZES[:5])
                more = f"Content-Length: {size}"
                mark = f"<{seed}.{n}>"
                do = f"head=200,X-Mark:{mark};echo;part={mark}"
                last = n == 99
                ask = head(do, more + "\r\nConnection: close" * last)
                sender = threading.Thread(
                    target=sock.sendall, args=(ask + b"b" * size,)
                )
                sender.start()
                answer = until_end(sock) if last else one_answer(sock, mark)
                sender.join()
                assert f"X-Mark: {mark}".encode() in answer
                assert answer.count(b"HTTP/1.1 200") == 1
                assert answer.count(mark.encode()) == 2

    with Web(libs) as web, ThreadPoolExecutor(8) as pool:
        list(pool.map(keep_asking, range(16)))


def one_answer(sock: socket.socket, mark: str) -> bytes:
    data = bytearray()
    end = f"{mark}\r\n0\r\n\r\n".encode()
    while not data.endswith(end):
        piece = sock.recv(65536)
        assert piece, data
        data += piece
    return bytes(data)
