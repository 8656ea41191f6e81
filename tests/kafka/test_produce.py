# SPDX-License-Identifier: BSD-2-Clause
"""All that a produce may say, and what it is told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.integration.nginx import Nginx

from .broker import KafkaBroker
from .calls import TIMEOUT_MS, Answer, Kafka, Lua, base64_of
from .cluster import Cluster

TOO_LARGE = Lua(
    """'{"type":"produce", "report":true, "messages":[{"msg":"small"},'"""
    """ .. '{"msg":"' .. ("x"):rep(2e6) .. '"}]}'"""
)


@pytest.fixture
def kafka(nginx: Nginx, broker: KafkaBroker, topic: str) -> Kafka:
    return Kafka(nginx, broker.address, topic)


def produce(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "produce", "messages": list(messages), **more}


def reports(answer: Answer) -> list[dict[str, Any]]:
    found = json.loads(answer.body or "")
    assert isinstance(found, list)
    return found


def test_everything(kafka: Kafka, cluster: Cluster, topic: str) -> None:
    cluster.create(topic, 3)
    request = {
        "type": "produce",
        "msg": "v",
        "key": "k",
        "headers": {"a": "1", "b": None},
        "partition": 2,
        "timestamp": 1_234_567_890_123,
        "report": True,
    }
    place = {"topic": topic, "partition": 2, "offset": 0}
    assert kafka.call(request).message == place
    assert kafka.call({"type": "consume", "report": True}).message == {
        **place,
        "timestamp": 1_234_567_890_123,
        "key": "k",
        "value": "v",
        "headers": [["a", "1"], ["b", None]],
    }


def test_what_a_list_shares(kafka: Kafka) -> None:
    request = produce(
        {"msg": "1"},
        {"msg": "2", "key": None, "headers": [["b", "2"]]},
        {"msg": "Mw==", "encoding": "base64", "timestamp": None},
        key="k",
        headers={"a": "1"},
        timestamp=1_234_567_890_123,
    )
    assert kafka.call(request) == Answer(True)
    first, second, third = (kafka.consume() for _ in range(3))
    assert (first["value"], first["key"]) == ("1", "k")
    assert first["headers"] == [["a", "1"]]
    assert first["timestamp"] == second["timestamp"] == 1_234_567_890_123
    assert (second["value"], second["key"]) == ("2", None)
    assert second["headers"] == [["b", "2"]]
    assert (third["value"], third["key"]) == ("3", "k")
    assert third["timestamp"] > first["timestamp"]


def test_a_list_shares_no_msg(kafka: Kafka) -> None:
    answer = kafka.call(produce({"msg": "1"}, {}, msg="2"))
    assert answer == Answer(False, "msg is missing", 1)


def test_headers_of_any_bytes(kafka: Kafka, cluster: Cluster) -> None:
    raw = bytes(range(256))
    pairs = [["h", base64_of(raw)], ["h", base64_of(b"again")], ["n", None]]
    kafka.produce("", headers=pairs, encoding="base64")
    message = kafka.consume()
    assert message["encoding"] == "base64"
    assert message["headers"] == pairs
    (stored,) = cluster.read(message["topic"])
    assert stored.headers() == [("h", raw), ("h", b"again"), ("n", None)]


def test_list(kafka: Kafka, topic: str) -> None:
    messages = [{"msg": "1"}, {"msg": "2", "key": "other"}]
    answer = kafka.call(produce(*messages, key="k", report=True))
    assert reports(answer) == [
        {"topic": topic, "partition": 0, "offset": offset} for offset in (0, 1)
    ]
    assert kafka.call(produce({"msg": "3"})) == Answer(True)
    found = [kafka.consume() for _ in range(3)]
    assert [(m["key"], m["value"]) for m in found] == [
        ("k", "1"),
        ("other", "2"),
        (None, "3"),
    ]


def test_some_of_a_list_fail(kafka: Kafka, topic: str) -> None:
    answer = kafka.call(TOO_LARGE)
    assert answer.status == 2
    small, large = reports(answer)
    assert small == {"topic": topic, "partition": 0, "offset": 0}
    assert "too large" in large["error"]


def test_no_such_partition(
    kafka: Kafka, broker: KafkaBroker, topic: str
) -> None:
    kafka.produce("x")
    answer = kafka.call(produce({"msg": "1", "partition": 7}, {"msg": "2"}))
    assert answer.status == 2
    assert answer.body
    where = f"topic {topic} at {broker.address}"
    assert answer.body.startswith(f"1 of 2 messages failed: {where}: ")
    assert "nknown partition" in answer.body


def test_other_topic(kafka: Kafka, cluster: Cluster, topic: str) -> None:
    other = f"{topic}-other"
    cluster.create(other)
    kafka.produce("x", topic=other)
    (message,) = cluster.read(other)
    assert message.value() == b"x"


def test_one_partition_a_key(
    kafka: Kafka, cluster: Cluster, topic: str
) -> None:
    cluster.create(topic, 4)
    kafka.call(produce(*({"msg": "x", "key": str(i % 8)} for i in range(80))))
    where: dict[Any, set[Any]] = {}
    for message in cluster.read(topic):
        where.setdefault(message.key(), set()).add(message.partition())
    assert all(len(partitions) == 1 for partitions in where.values())
    assert len(set.union(*where.values())) > 1


def test_full_queue(nginx: Nginx, broker: KafkaBroker, topic: str) -> None:
    limits = {"queue.buffering.max.messages": 10, "linger.ms": 1000}
    kafka = Kafka(nginx, broker.address, topic, librdkafka=limits)
    kafka.produce("x")
    answers = kafka.calls([{"type": "produce", "msg": "x"}] * 50)
    full = Answer(False, "librdkafka's queue is full", 3)
    assert answers == [Answer(True)] * 10 + [full] * 40
    # Of a list, those that fit are sent.
    answer = kafka.call(produce(*[{"msg": "x"}] * 11, report=True))
    assert answer.status == 2
    assert reports(answer)[10] == {"error": full.body}
    assert "error" not in reports(answer)[9]


# ---- when it is sent

SLOW = """
from ffi.kafka import config, init

promised = config.Config.producer
config.Config.producer = lambda self: {**promised(self), "linger.ms": 50_000}
"""


def test_few_do_not_linger(broker: KafkaBroker, topic: str) -> None:
    """In this nginx so long that the test's request would not last."""
    with Nginx() as nginx:
        nginx.write_python("slow.py", SLOW)
        kafka = Kafka(
            nginx, broker.address, topic, module="slow", timeout=60_000
        )
        message = {"type": "produce", "msg": "x"}
        for _ in range(20):
            assert kafka.calls([message] * 4) == [Answer(True)] * 4


# ---- topics that are made


def test_partitions_of_a_new_topic(
    nginx: Nginx, broker: KafkaBroker, cluster: Cluster, topic: str
) -> None:
    kafka = Kafka(nginx, broker.address, topic, partitions=5, replication=1)
    kafka.produce("x")
    assert cluster.topics()[topic] == 5


def test_replication_that_cannot_be(
    nginx: Nginx, broker: KafkaBroker, cluster: Cluster, topic: str
) -> None:
    kafka = Kafka(nginx, broker.address, topic, timeout=4000, replication=2)
    answer = kafka.call({"type": "consume"})
    assert answer.status == 2
    assert "eplication factor" in (answer.body or "")
    assert topic in (answer.body or "")
    assert topic not in cluster.topics()


def test_no_topic_is_made(
    nginx: Nginx, broker: KafkaBroker, cluster: Cluster, topic: str
) -> None:
    kafka = Kafka(nginx, broker.address, topic, timeout=3000, create=False)
    requests = [{"type": "produce", "msg": "x"}, {"type": "consume"}]
    for answer in kafka.calls(requests):
        assert answer.status == 2
        assert topic in (answer.body or "")
        assert broker.address in (answer.body or "")
    assert topic not in cluster.topics()
    cluster.create(topic)
    kafka.produce("x")
    late = kafka.call({"type": "consume", "timeout": TIMEOUT_MS})
    assert late.value == "x"
