# SPDX-License-Identifier: BSD-2-Clause
"""What goes in by produce comes out by consume."""

from __future__ import annotations

import time

import pytest

from tests.integration.client import eventually
from tests.integration.nginx import Nginx

from .broker import KafkaBroker
from .calls import CONSUME, Answer, Kafka, Lua, base64_of
from .cluster import Cluster

TOO_LARGE = """'{"type":"produce", "msg":"' .. ("x"):rep(2e6) .. '"}'"""
BINARY = bytes(range(256))


@pytest.fixture
def kafka(nginx: Nginx, broker: KafkaBroker, topic: str) -> Kafka:
    return Kafka(nginx, broker.address, topic)


def test_roundtrip(kafka: Kafka, topic: str) -> None:
    before = int(time.time() * 1000)
    kafka.produce("hello")
    after = int(time.time() * 1000)

    message = kafka.consume()

    assert before <= message.pop("timestamp") <= after
    assert message == {
        "topic": topic,
        "partition": 0,
        "key": None,
        "value": "hello",
    }


def test_call_by_any_name(kafka: Kafka) -> None:
    code = f"""
        local kafka = assert({kafka.load})
        assert(kafka:produce('{{"type":"produce", "msg":"hello"}}') == true)
        return select("#", kafka:produce('{{"type":"produce", "msg":"2"}}')),
            select(2, kafka:consume('{{"type":"consume"}}'))
    """
    _, message, *_ = kafka.nginx.lua(code)
    assert '"value":"hello"' in message


@pytest.mark.parametrize(
    "value",
    [
        "",
        "\0",
        "a\0b",
        "Grüße, 世界 🎉",
        '"quoted\\',
        "\x7f\x1f\r\n\t",
        "x" * 100_000,
    ],
    ids=["empty", "nul", "inner-nul", "unicode", "quotes", "control", "big"],
)
def test_text(kafka: Kafka, value: str) -> None:
    kafka.produce(value)
    message = kafka.consume()
    assert message["value"] == value
    assert "encoding" not in message


@pytest.mark.parametrize("key", ["k", "", "Schlüssel\0"])
def test_key(kafka: Kafka, key: str) -> None:
    kafka.produce("v", key=key)
    message = kafka.consume()
    assert (message["key"], message["value"]) == (key, "v")


def test_null_key_is_no_key(kafka: Kafka) -> None:
    kafka.produce("v", key=None)
    assert kafka.consume()["key"] is None


def test_binary(kafka: Kafka) -> None:
    kafka.produce(base64_of(BINARY), encoding="base64")
    message = kafka.consume()
    assert message["value"] == base64_of(BINARY)
    assert message["key"] is None
    assert message["encoding"] == "base64"


@pytest.mark.parametrize(
    ("key", "value"), [(b"text", b"\xff"), (b"\xff", b"text")]
)
def test_one_encoding_for_both(kafka: Kafka, key: bytes, value: bytes) -> None:
    kafka.produce(base64_of(value), key=base64_of(key), encoding="base64")
    message = kafka.consume()
    assert message["encoding"] == "base64"
    assert message["key"] == base64_of(key)
    assert message["value"] == base64_of(value)


def test_base64_that_is_text_comes_as_text(kafka: Kafka) -> None:
    kafka.produce(base64_of("ä".encode()), encoding="base64")
    message = kafka.consume()
    assert message["value"] == "ä"
    assert "encoding" not in message


@pytest.mark.parametrize("encoding", [None, "base64"])
def test_tombstone(
    kafka: Kafka, cluster: Cluster, topic: str, encoding: str | None
) -> None:
    gone = {"msg": None, "key": base64_of(b"gone"), "encoding": encoding}
    assert kafka.call({"type": "produce", **gone}) == Answer(True)
    batch = {"type": "produce", "messages": [gone, {"msg": ""}]}
    assert kafka.call(batch) == Answer(True)
    values = [message.value() for message in cluster.read(topic)]
    assert values == [None, None, b""]
    first, second, third = (kafka.consume() for _ in range(3))
    assert (first["value"], second["value"], third["value"]) == (
        *(None, None),
        "",
    )
    key = "gone" if encoding else base64_of(b"gone")
    assert first["key"] == second["key"] == key


def test_tombstone_beside_bytes(kafka: Kafka) -> None:
    """The one of both that is null has no encoding."""
    gone = {"msg": None, "key": base64_of(BINARY), "encoding": "base64"}
    kafka.call({"type": "produce", **gone})
    message = kafka.consume()
    assert message["encoding"] == "base64"
    assert (message["key"], message["value"]) == (base64_of(BINARY), None)


def test_order(kafka: Kafka) -> None:
    values = [str(i) for i in range(200)]
    requests = [{"type": "produce", "msg": value} for value in values]
    assert kafka.calls(requests) == [Answer(True)] * 200
    assert [a.value for a in kafka.calls([CONSUME] * 200)] == values


def test_1000_in_flight(kafka: Kafka) -> None:
    values = {str(i) for i in range(1000)}
    requests = [{"type": "produce", "msg": value} for value in values]
    assert kafka.calls(requests) == [Answer(True)] * 1000
    answers = kafka.calls([CONSUME] * 1000)
    assert {answer.value for answer in answers} == values


def test_produce_does_not_wait_for_consume(
    nginx: Nginx, broker: KafkaBroker, topic: str
) -> None:
    kafka = Kafka(nginx, broker.address, topic)
    short = {**CONSUME, "timeout": 4000}
    requests = [CONSUME, short, {"type": "produce", "msg": "1"}]
    first, second, produced = kafka.calls(requests)
    assert produced == Answer(True)
    assert first.value == "1"
    assert second == Answer(True)


def test_nothing_in_time(
    nginx: Nginx, broker: KafkaBroker, topic: str
) -> None:
    kafka = Kafka(nginx, broker.address, topic)
    # It takes its time until the group has a member.
    kafka.produce("first", "only")
    assert kafka.consume()["value"] == "first"
    short = {**CONSUME, "timeout": 1500}
    first, *others = kafka.calls([short] * 3)
    assert first.value == "only"
    assert others == [Answer(True)] * 2
    assert kafka.call(short) == Answer(True)


def test_too_large(kafka: Kafka) -> None:
    large = kafka.call(Lua(TOO_LARGE))
    assert large.status == 2
    assert large.body is not None
    assert "too large" in large.body
    kafka.produce("next")
    assert kafka.consume()["value"] == "next"


def test_topic_is_created(kafka: Kafka, cluster: Cluster, topic: str) -> None:
    kafka.produce("x")
    assert cluster.topics()[topic] == 1


def test_consume_creates_the_topic(
    nginx: Nginx, broker: KafkaBroker, cluster: Cluster, topic: str
) -> None:
    kafka = Kafka(nginx, broker.address, topic)
    assert kafka.call({**CONSUME, "timeout": 3000}) == Answer(True)
    assert cluster.topics()[topic] == 1
    kafka.produce("x")
    assert kafka.consume()["value"] == "x"


def test_topic_that_is_there_stays_as_it_is(
    kafka: Kafka, cluster: Cluster, topic: str
) -> None:
    cluster.create(topic, 2)
    kafka.produce("x")
    assert kafka.consume()["value"] == "x"
    assert cluster.topics()[topic] == 2


def test_each_new_group_starts_at_the_earliest(
    nginx: Nginx, broker: KafkaBroker, topic: str
) -> None:
    Kafka(nginx, broker.address, topic).produce("1", "2")
    for group in ("a", "b"):
        name = f"{topic}-{group}"
        kafka = Kafka(nginx, broker.address, topic, group_id=name)
        assert kafka.consume_values(2) == ["1", "2"]


def test_deleted_topic_is_made_again(
    nginx: Nginx, broker: KafkaBroker, cluster: Cluster, topic: str
) -> None:
    kafka = Kafka(nginx, broker.address, topic, timeout=4000)
    kafka.produce("before")
    assert kafka.consume()["value"] == "before"
    cluster.admin.delete_topics([topic])[topic].result(10)

    # the old topic may acknowledge a message just before it goes
    for _ in range(15):
        kafka.call({"type": "produce", "msg": "after"})
        answer = kafka.call(CONSUME)
        if answer.ok and answer.body is not None:
            break
    assert answer.value == "after"


def test_properties_reach_librdkafka(
    nginx: Nginx, broker: KafkaBroker, topic: str
) -> None:
    properties = {"auto.offset.reset": "latest", "compression.type": "lz4"}
    kafka = Kafka(nginx, broker.address, topic)
    kafka.produce("before")
    late = Kafka(
        nginx,
        broker.address,
        topic,
        group_id=f"{topic}-late",
        timeout=3000,
        librdkafka=properties,
    )
    assert late.call(CONSUME) == Answer(True)

    def comes() -> str | None:
        """Only what is produced when it has a partition."""
        late.produce("after")
        answer = late.call(CONSUME)
        assert answer.ok, answer
        return answer.body and answer.value

    assert eventually(comes, "a message comes") == "after"


def test_fresh_module(nginx: Nginx, broker: KafkaBroker, topic: str) -> None:
    kafka = Kafka(nginx, broker.address, topic, module="ffi.kafka?")
    kafka.produce("x")
    assert kafka.consume()["value"] == "x"
