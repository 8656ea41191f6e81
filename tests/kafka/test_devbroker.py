# SPDX-License-Identifier: BSD-2-Clause
"""The in-memory broker, and old clients of it."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.client import eventually
from tests.integration.nginx import ROOT, Nginx

from .calls import CONSUME, REBALANCE, Answer, Kafka
from .cluster import Cluster

# As which broker kafka-python takes it; "-": it asks. Up to 0.10 messages are
# in message sets, of format 0 and 1; 0.10.1 creates topics by version 0.
VERSIONS = ["-", "0.8.2", "0.9", "0.10.1", "0.11", "2.0"]
CANNOT_CREATE = ("0.8.2", "0.9")
CLIENT = Path(__file__).parent / "kafka_python.py"

UNSUPPORTED_VERSION = 35


@contextlib.contextmanager
def running() -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "ffi.kafka.devbroker", "--port", "0"],
        cwd=ROOT / "python",
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with running() as process:
        assert process.stdout
        assert process.stderr
        yield process.stdout.readline().split()[-1]
        process.terminate()
        assert process.stderr.read() == ""
        assert process.wait(10) == 0


@pytest.fixture
def devbroker(address: str) -> Cluster:
    return Cluster(address)


def kafka_python(step: str, *arguments: str) -> Any:
    done = subprocess.run(
        [sys.executable, CLIENT, step, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        check=True,
        timeout=60,
    )
    return json.loads(done.stdout)


def test_says_what_it_is() -> None:
    with running() as process:
        assert process.stdout
        assert process.stderr
        first = process.stdout.readline()
        process.terminate()
        rest, errors = process.stdout.read(), process.stderr.read()
        process.wait(10)
    assert first.startswith("in-memory Kafka broker on localhost:")
    assert "are lost when it ends" in rest
    assert "not for production" in rest
    assert (process.returncode, errors) == (0, "")


def test_demo(nginx: Nginx, address: str, topic: str) -> None:
    kafka = Kafka(nginx, address, topic)
    kafka.produce("hello", "world")
    answers = kafka.calls([CONSUME, CONSUME])
    assert {answer.value for answer in answers} == {"hello", "world"}


def test_1000_in_flight(nginx: Nginx, address: str, topic: str) -> None:
    kafka = Kafka(nginx, address, topic, timeout=12_000)
    values = {str(i) for i in range(1000)}
    produced = kafka.calls({"type": "produce", "msg": v} for v in values)
    assert all(answer.ok for answer in produced)
    answers = kafka.calls([CONSUME] * 1000)
    assert {answer.value for answer in answers} == values


def test_topic_of_the_config(
    nginx: Nginx, devbroker: Cluster, topic: str
) -> None:
    Kafka(nginx, devbroker.address, topic, partitions=3).produce("x")
    assert devbroker.topics()[topic] == 3


def test_messages_come_at_once(nginx: Nginx, address: str, topic: str) -> None:
    """Also to a consume that waits: it is not asked for each 500 ms."""
    kafka = Kafka(nginx, address, topic)
    kafka.produce("first")
    assert kafka.consume()["value"] == "first"
    begin = time.monotonic()
    for i in range(40):
        produce = {"type": "produce", "msg": str(i)}
        consumed, produced = kafka.calls([CONSUME, produce])
        assert (consumed.value, produced) == (str(i), Answer(True))
    assert time.monotonic() - begin < 5


def test_the_next_member(nginx: Nginx, address: str, topic: str) -> None:
    """It does not wait for the session of the one before to end."""
    kafka = Kafka(nginx, address, topic)
    for value in ("1", "2", "3"):
        kafka.produce(value)
        assert kafka.consume()["value"] == value
        kafka.unload()


def test_members_share(nginx: Nginx, devbroker: Cluster, topic: str) -> None:
    devbroker.create(topic, 2)
    pair = [
        Kafka(nginx, devbroker.address, topic, timeout=timeout)
        for timeout in (1000, 1001)
    ]

    def shares() -> list[list[int]]:
        for kafka in pair:
            assert kafka.call(CONSUME).ok
        stats = [kafka.call({"type": "stats"}).message for kafka in pair]
        return sorted(
            [row["partition"] for row in each["assignment"]] for each in stats
        )

    eventually(lambda: shares() == [[0], [1]], "one each", REBALANCE)
    pair[0].unload()
    eventually(
        lambda: (
            [
                row["partition"]
                for row in pair[1]
                .call({"type": "stats"})
                .message["assignment"]
            ]
            == [0, 1]
        ),
        "the other one has both",
        REBALANCE,
    )


def test_offsets_by_time(nginx: Nginx, address: str, topic: str) -> None:
    kafka = Kafka(nginx, address, topic)
    for time_ in (1000, 2000, 3000):
        kafka.produce("x", timestamp=time_)
    times = ("1", "2000", "2001", "3001")
    assert kafka_python("find", address, "-", topic, *times) == [0, 1, 2, None]


# ---- a broker without what newer ones have


def test_newer_group_protocol(nginx: Nginx, address: str, topic: str) -> None:
    """librdkafka says nothing at all where the broker does not know it."""
    kafka = Kafka(
        nginx, address, topic, librdkafka={"group.protocol": "consumer"}
    )

    def says() -> bool:
        answer = kafka.call({**CONSUME, "timeout": 2000})
        return "not let into the group" in (answer.body or "")

    eventually(says, "a reason", REBALANCE)
    answer = kafka.call({**CONSUME, "timeout": 100})
    assert answer.status == 2


# ---- old clients


@pytest.mark.parametrize("version", VERSIONS)
def test_kafka_python(
    nginx: Nginx, address: str, topic: str, version: str
) -> None:
    place = address, version, topic
    if version not in CANNOT_CREATE:
        assert kafka_python("create", *place) == "TopicAlreadyExistsError"
    assert kafka_python("produce", *place, "1", "2", "3") == [0, 1, 2]
    # What one has sent the other one gets.
    kafka = Kafka(nginx, address, topic, group_id=f"{topic}-ours")
    assert kafka.consume_values(3) == ["1", "2", "3"]
    kafka.produce("4")
    assert kafka_python("consume", *place, "3") == ["1", "2", "3"]
    assert kafka_python("consume", *place, "1") == ["4"]


def test_compressed_message_set(address: str, topic: str) -> None:
    place = address, "0.9", topic
    answer = kafka_python("produce-compressed", *place, "x" * 1000)
    assert answer == "UnsupportedCompressionTypeError"
    place = address, "2.0", topic
    assert kafka_python("produce-compressed", *place, "x" * 1000) == [0]


@pytest.mark.parametrize("version", [0, 1, 2])
def test_lua_resty_kafka(
    nginx: Nginx, address: str, topic: str, version: int
) -> None:
    host, _, port = address.rpartition(":")
    code = f"""
        local producer = require("nginx.kafka.producer"):new(
            {{{{host = "{socket.gethostbyname(host)}", port = {port}}}}},
            {{api_version = {version}}})
        for i = 1, 3 do
            assert(producer:send("{topic}", "k", "value " .. i))
        end
    """
    nginx.lua(code)
    kafka = Kafka(nginx, address, topic)
    messages = [kafka.consume() for _ in range(3)]
    values = [(message["key"], message["value"]) for message in messages]
    assert values == [("k", f"value {i}") for i in (1, 2, 3)]


# ---- bytes


class Wire:
    """Requests as they are written in Kafka's documentation."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), 10)

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def ask(self, key: int, version: int, body: bytes) -> bytes:
        head = struct.pack(">hhih", key, version, 7, 3) + b"old"
        self.send(struct.pack(">i", len(head + body)) + head + body)
        (size,) = struct.unpack(">i", self._read(4))
        (correlation,) = struct.unpack(">i", self._read(4))
        assert correlation == 7
        return self._read(size - 4)

    def is_closed(self) -> bool:
        try:
            return self._socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def close(self) -> None:
        self._socket.close()

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            data += self._socket.recv(size - len(data)) or b"!"
        return data


@pytest.fixture
def wire(address: str) -> Iterator[Wire]:
    made = Wire(address)
    yield made
    made.close()


def test_create_topics_0(wire: Wire, devbroker: Cluster, topic: str) -> None:
    name = struct.pack(">h", len(topic)) + topic.encode()
    request = (
        *(struct.pack(">i", 1), name, struct.pack(">ih", 2, 1)),
        *(struct.pack(">ii", 0, 0), struct.pack(">i", 1000)),
    )
    expected = struct.pack(">i", 1) + name
    answer = wire.ask(19, 0, b"".join(request))
    assert answer == expected + struct.pack(">h", 0)
    assert devbroker.topics()[topic] == 2
    exists = wire.ask(19, 0, b"".join(request))
    assert exists == expected + struct.pack(">h", 36)


def test_versions_that_it_does_not_have(wire: Wire) -> None:
    """It says in version 0 what it has, and the client asks again."""
    newer = wire.ask(18, 4, b"\x04old\x041.0\x00")
    assert struct.unpack(">h", newer[:2]) == (UNSUPPORTED_VERSION,)
    oldest = wire.ask(18, 0, b"")
    assert oldest == b"\0\0" + newer[2:]
    (count,) = struct.unpack(">i", oldest[2:6])
    ranges = {
        key: (first, last)
        for key, first, last in struct.iter_unpack(">hhh", oldest[6:])
    }
    assert len(ranges) == count
    assert all(first == 0 for first, _ in ranges.values())
    assert {0, 1, 3, 19} <= ranges.keys()


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        struct.pack(">i", -1),
        struct.pack(">i", 0),
        struct.pack(">i", 3) + b"abc",
        struct.pack(">ihhih", 10, 99, 0, 1, 0),
        struct.pack(">ihhih", 10, 0, 99, 1, 0),
        # A fetch whose body is missing, or says that there are 2^31 - 1.
        struct.pack(">ihhih", 10, 1, 0, 1, 0),
        struct.pack(">ihhihiiii", 26, 1, 0, 1, 0, -1, 0, 0, 2**31 - 1),
    ],
)
def test_garbage(address: str, wire: Wire, data: bytes) -> None:
    wire.send(data)
    assert wire.is_closed()
    again = Wire(address)
    assert again.ask(18, 0, b"")
    again.close()


def test_damaged_records(wire: Wire, devbroker: Cluster, topic: str) -> None:
    devbroker.create(topic)
    name = struct.pack(">h", len(topic)) + topic.encode()

    def produce(records: bytes) -> int:
        request = (
            *(struct.pack(">hii", 1, 1000, 1), name),
            *(struct.pack(">iii", 1, 0, len(records)), records),
        )
        answer = wire.ask(0, 0, b"".join(request))
        found: int = struct.unpack(">ihq", answer[-14:])[1]
        return found

    for records in (
        *(b"", b"x", b"\0" * 26, b"\0" * 100, b"\xff" * 100),
        struct.pack(">qiib", 0, 1000, 0, 2) + b"\0" * 60,
        struct.pack(">qiib", 0, 50, 0, 3) + b"\0" * 60,
    ):
        assert produce(records) == 2
    assert list(devbroker.read(topic)) == []
