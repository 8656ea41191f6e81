# SPDX-License-Identifier: BSD-2-Clause
"""The locations of examples/kafka/nginx.conf."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.client import PATIENCE, eventually
from tests.integration.nginx import NGINX_BIN, ROOT, Nginx

from .broker import KafkaBroker, free_ports
from .cluster import Cluster
from .test_lua import lua

CONF = ROOT / "examples" / "kafka" / "nginx.conf"
EVENTS = ROOT / "examples" / "kafka" / "events.lua"

# More than the sockets between nginx and a client hold.
LARGE = "x" * 900_000


class Demo:
    """An nginx with the demo's locations, on a topic of the test's own."""

    def __init__(self, broker: KafkaBroker, topic: str) -> None:
        self.nginx = Nginx(server=locations())
        self._config = {
            "servers": broker.address,
            "topic": topic,
            "group_id": topic,
            "ack": "manual",
        }
        text = EVENTS.read_text()
        for old, new in (("localhost:9092", broker.address), ("demo", topic)):
            assert f'"{old}"' in text
            text = text.replace(f'"{old}"', f'"{new}"')
        (self.nginx.prefix / "lua" / EVENTS.name).write_text(text)

    def post(self, value: str | bytes) -> str:
        answer = self.nginx.post("/kafka/post", value)
        assert answer.status == 200, answer
        return answer.text.rstrip("\n")

    def post_at_once(self, *values: str) -> None:
        """In one batch, which a consumer gets whole."""
        messages = lua([{"msg": value} for value in values])
        assert self._run(f"return (k:produce({messages}))") == [True]

    def stats(self) -> dict[str, Any]:
        (text,) = self._run('return require("cjson").encode(k:stats())')
        stats = json.loads(text)
        assert isinstance(stats, dict)
        return stats

    def wait_stats(self, **expected: int) -> None:
        eventually(
            lambda: expected.items() <= self.stats().items(), f"{expected}"
        )

    def _run(self, code: str) -> list[Any]:
        return self.nginx.lua(f"""
            local k = require("resty.ffi.kafka").new({lua(self._config)})
            {code}
        """)


class Stream:
    """A client of /kafka/events."""

    def __init__(self, nginx: Nginx) -> None:
        self._socket = nginx.connect()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.sendall(b"GET /kafka/events HTTP/1.0\r\n\r\n")
        self._file = self._socket.makefile("rb")
        head = list(iter(self._file.readline, b"\r\n"))
        assert b" 200 " in head[0], head
        assert b"Content-Type: text/event-stream\r\n" in head
        assert self.read() == [": messages follow"]

    def read(self) -> list[str]:
        """The lines before the next empty one; none at the end."""
        lines: list[str] = []
        for raw in self._file:
            line = raw.decode().removesuffix("\n")
            if not line:
                return lines
            lines.append(line)
        assert not lines
        return []

    def event(self) -> dict[str, str]:
        """The next, as EventSource takes it; comments do not count."""
        lines = self.read()
        while lines[0].startswith(":"):
            lines = self.read()
        fields: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(": ")
            before = f"{fields[name]}\n" if name in fields else ""
            fields[name] = before + value
        return fields

    def close(self) -> None:
        self._file.close()
        self._socket.close()


def locations() -> str:
    found = re.search(r"\n    server \{(.*)\n    \}\n", CONF.read_text(), re.S)
    assert found
    text, count = re.subn("listen 20000;", "", found[1])
    assert count == 1
    return text


@pytest.fixture
def demo(broker: KafkaBroker, cluster: Cluster, topic: str) -> Iterator[Demo]:
    # A stream ends where its first consume finds no topic in time.
    cluster.create(topic)
    demo = Demo(broker, topic)
    with demo.nginx:
        yield demo


@pytest.fixture
def stream(demo: Demo) -> Iterator[Stream]:
    stream = Stream(demo.nginx)
    yield stream
    stream.close()


def test_post_and_stream(demo: Demo, stream: Stream) -> None:
    values = ["hello", "", "two\nlines", "Grüße", "a: b\n\n: c\n", "\0"]
    ids = [demo.post(value) for value in values]
    assert ids == [f"0/{i}" for i in range(len(values))]
    assert [stream.event() for _ in values] == [
        {"id": id_, "data": value}
        for id_, value in zip(ids, values, strict=True)
    ]
    demo.wait_stats(acked=len(values), outstanding=0)


@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_other_line_ends(demo: Demo, stream: Stream, end: str) -> None:
    demo.post(f"one{end}two{end}")
    assert stream.event()["data"] == "one\ntwo\n"


@pytest.mark.parametrize("value", [b"\xff", b"\n\xc3", bytes(range(256))])
def test_not_utf8(demo: Demo, stream: Stream, value: bytes) -> None:
    demo.post(value)
    event = stream.event()
    assert event["event"] == "base64"
    assert base64.b64decode(event["data"]) == value


def test_silence(stream: Stream) -> None:
    assert stream.read() == [": nothing new"]


def test_each_message_goes_to_one(demo: Demo, stream: Stream) -> None:
    other = Stream(demo.nginx)
    demo.wait_stats(waiting=2)
    # One after the other, both may be the first one's.
    demo.post_at_once("a", "b")
    assert {stream.event()["data"], other.event()["data"]} == {"a", "b"}
    other.close()


def test_a_client_that_waits_leaves(demo: Demo, stream: Stream) -> None:
    demo.wait_stats(waiting=1)
    stream.close()
    demo.wait_stats(waiting=0)
    demo.post("hello")
    successor = Stream(demo.nginx)
    assert successor.event()["data"] == "hello"
    successor.close()


def test_a_client_that_does_not_read_leaves(
    demo: Demo, stream: Stream
) -> None:
    demo.post(LARGE)
    demo.wait_stats(waiting=0, outstanding=1)
    stream.close()
    # That was no delivery.
    demo.wait_stats(delivered=0, outstanding=0)
    successor = Stream(demo.nginx)
    assert successor.event() == {"id": "0/0", "data": LARGE}
    demo.wait_stats(acked=1, outstanding=0)
    successor.close()


def test_quit(demo: Demo, stream: Stream) -> None:
    demo.wait_stats(waiting=1)
    demo.nginx.quit()
    # One may have been sent before, and one comes when a consume has ended.
    for _ in range(2):
        assert stream.read() in ([], [": nothing new"])
    assert stream.read() == []
    demo.nginx.wait()


def test_get_posts_nothing(demo: Demo) -> None:
    assert demo.nginx.get("/kafka/post").status == 405
    assert demo.nginx.post("/kafka/post", "x" * (2 << 20)).status == 413


def test_many_chunks_post_nothing(demo: Demo) -> None:
    """Their heads fill nginx's buffer, and a file takes the body."""
    demo.nginx.allow_log("a client request body is buffered")
    chunks = b"1\r\nx\r\n" * 300_000
    with demo.nginx.connect() as client:
        client.sendall(
            b"POST /kafka/post HTTP/1.1\r\nHost: localhost\r\n"
            b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
            + chunks
            + b"0\r\n\r\n"
        )
        answer = client.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert demo.post("first") == "0/0"


def test_make_run() -> None:
    """What it starts finds all that these locations need."""
    (port,) = free_ports(1)

    def ask(method: str, path: str, body: str | None = None) -> Any:
        connection = http.client.HTTPConnection("localhost", port, PATIENCE)
        with contextlib.closing(connection):
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def is_up() -> bool:
        with contextlib.suppress(OSError):
            return bool(ask("GET", "/")[0] == 200)
        return False

    with subprocess.Popen(
        [sys.executable, ROOT / "scripts" / "run.py"],
        env={
            **os.environ,
            "NGINX_BIN": NGINX_BIN,
            "CONF": str(CONF),
            "PORT": str(port),
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    ) as process:
        try:
            eventually(is_up, "nginx serves")
            assert f"http://localhost:{port}/kafka" in ask("GET", "/")[1]
            assert ask("GET", "/kafka/post")[0] == 405
        finally:
            process.terminate()
