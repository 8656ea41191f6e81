# SPDX-License-Identifier: BSD-2-Clause
"""A load for workers that a limit replaces, and what becomes of it.

A client of it does what clients do: on a connection that was in use before it
asks once more where that has ended before a byte of the answer. All else that
ends without an answer is lost.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import Counter

from .client import PATIENCE
from .websocket.frames import Peer

APP = """
import asyncio
import os

kept = []

async def app(scope, receive, send):
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            await send({"type": "websocket.send", "bytes": b"echo"})
        return
    if scope["path"] == "/leak":
        kept.append(b"x" * (1 << 20))
    if scope["path"] == "/slow":
        await asyncio.sleep(1)
    body = str(os.getpid()).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [
        (b"content-length", str(len(body)).encode())]})
    await send({"type": "http.response.body", "body": body})
"""


class Load:
    """clients ask for /leak, rate times a second, until all is asked for.

    Every second client keeps its connection.
    """

    def __init__(self, port: int, requests: int, rate: int, clients: int = 8):
        self.port = port
        self.lost: list[str] = []
        self.again = 0
        self.longest = 0.0
        self.answers: Counter[int] = Counter()
        self.closes: list[int] = []
        self._left = requests
        self._pause = clients / rate
        self._end = threading.Event()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._ask, args=(number % 2 == 0,))
            for number in range(clients)
        ]
        self._socket = threading.Thread(target=self._hold_websocket)

    def start(self) -> None:
        for thread in (self._socket, *self._threads):
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join()
        self._end.set()
        self._socket.join()

    def connect(self) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def _take(self) -> bool:
        with self._lock:
            self._left -= 1
            return self._left >= 0

    def _ask(self, keep: bool) -> None:
        sock: socket.socket | None = None
        due = time.monotonic()
        while self._take():
            begun = time.monotonic()
            pid = b""
            if sock:
                pid = self._answer(sock, keep)
                if not pid:
                    sock.close()
                    sock = None
                    with self._lock:
                        self.again += 1
            try:
                sock = sock or self.connect()
                pid = pid or self._answer(sock, keep)
            except OSError as error:
                self.lost.append(repr(error))
            if not pid:
                self.lost.append("no answer")
            with self._lock:
                self.longest = max(self.longest, time.monotonic() - begun)
                self.answers[int(pid or 0)] += 1
            if sock and not (keep and pid):
                sock.close()
                sock = None
            due = max(due + self._pause, time.monotonic() - 1)
            time.sleep(max(0, due - time.monotonic()))
        if sock:
            sock.close()

    def _answer(self, sock: socket.socket, keep: bool) -> bytes:
        """The body; b"" where the connection has ended before the first byte.

        What ends in the middle is lost.
        """
        came = b""
        close = b"" if keep else b"Connection: close\r\n"
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            sock.sendall(
                b"GET /leak HTTP/1.1\r\nHost: x\r\n" + close + b"\r\n"
            )
            while piece := sock.recv(4096):
                came += piece
                head, _, body = came.partition(b"\r\n\r\n")
                if body and f"Content-Length: {len(body)}\r\n".encode() in (
                    head.replace(b"content-length", b"Content-Length")
                    + b"\r\n"
                ):
                    assert head.startswith(b"HTTP/1.1 200 "), head
                    return body
        if came:
            self.lost.append(repr(came))
        return b""

    def _hold_websocket(self) -> None:
        """One is open all the time; it notes what it is closed with."""
        while not self._end.is_set():
            try:
                with Peer(self.connect()) as peer:
                    peer.open("/ws")
                    peer.sock.settimeout(0.2)
                    while not self._end.is_set():
                        with contextlib.suppress(TimeoutError):
                            frame = peer.event()
                            self.closes.append(frame.code if frame else 0)
                            if frame:
                                peer.end(frame)
                            break
            except (OSError, AssertionError) as error:
                self.lost.append(f"websocket: {error!r}")
