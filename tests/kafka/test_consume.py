# SPDX-License-Identifier: BSD-2-Clause
"""All that a consume may say, and what is there to be had."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from confluent_kafka import Producer

from tests.integration.client import eventually
from tests.integration.nginx import Nginx

from .broker import KafkaBroker
from .calls import CONSUME, Answer, Kafka
from .cluster import Cluster


@pytest.fixture
def kafka(nginx: Nginx, broker: KafkaBroker, topic: str) -> Kafka:
    return Kafka(nginx, broker.address, topic)


def consume(kafka: Kafka, most: int, count: int) -> list[list[str]]:
    """The values of so many messages, as they came."""
    parts: list[list[str]] = []
    while sum(map(len, parts)) < count:
        answer = kafka.call({**CONSUME, "max": most})
        parts.append([m["value"] for m in json.loads(answer.body or "")])
    return parts


def test_max(kafka: Kafka) -> None:
    values = [str(i) for i in range(20)]
    kafka.call(
        {"type": "produce", "messages": [{"msg": value} for value in values]}
    )
    parts = consume(kafka, 7, 20)
    assert list(itertools.chain(*parts)) == values
    assert max(map(len, parts)) == 7
    assert kafka.call({**CONSUME, "max": 7, "timeout": 500}) == Answer(True)


def test_each_message_goes_to_one(kafka: Kafka) -> None:
    values = [str(i) for i in range(300)]
    kafka.produce("first")
    assert kafka.consume()["value"] == "first"
    kafka.call(
        {"type": "produce", "messages": [{"msg": value} for value in values]}
    )
    requests = [{**CONSUME, "max": 5, "timeout": 2000}] * 100
    found = [
        message["value"]
        for answer in kafka.calls(requests)
        for message in json.loads(answer.body or "[]")
    ]
    assert sorted(found, key=int) == values


@pytest.mark.parametrize("kind", ["list", "pattern"])
def test_several_topics(
    nginx: Nginx, broker: KafkaBroker, cluster: Cluster, topic: str, kind: str
) -> None:
    names = [f"{topic}-{letter}" for letter in "ab"]
    cluster.create(f"not-{topic}-c")
    for name in names:
        cluster.create(name)
        cluster.produce(name, [name.encode()])
    chosen: str | list[str] = names if kind == "list" else f"^{topic}-."
    kafka = Kafka(nginx, broker.address, chosen, group_id=topic)
    assert sorted(kafka.consume_values(2)) == names

    answer = kafka.call({"type": "produce", "msg": "x"})
    assert answer.status == 1
    assert "topic is missing" in (answer.body or "")
    kafka.produce("x", topic=names[1])
    message = kafka.consume()
    assert (message["topic"], message["value"]) == (names[1], "x")


@pytest.mark.parametrize("ack", ["auto", "manual"])
def test_offsets_have_gaps(
    nginx: Nginx, broker: KafkaBroker, cluster: Cluster, topic: str, ack: str
) -> None:
    cluster.create(topic)
    producer = Producer(
        {"bootstrap.servers": broker.address, "transactional.id": topic}
    )
    producer.init_transactions(30)
    for values, end in (
        (["1", "2"], producer.commit_transaction),
        (["never"] * 5, producer.abort_transaction),
        (["3"], producer.commit_transaction),
    ):
        producer.begin_transaction()
        for value in values:
            producer.produce(topic, value)
        producer.flush(30)
        end(30)

    kafka = Kafka(nginx, broker.address, topic, ack=ack)
    messages = [
        kafka.call({**CONSUME, "report": True}).message for _ in range(3)
    ]
    assert [m["value"] for m in messages] == ["1", "2", "3"]
    assert [m["offset"] for m in messages] == [0, 1, 9]
    if ack == "manual":
        # In the order of the offsets they would be 1, 9, 0.
        for message in (messages[1], messages[2], messages[0]):
            assert kafka.call({**message, "type": "ack"}) == Answer(True)
    eventually(lambda: cluster.committed(topic, topic) == {0: 10})


def test_stats(kafka: Kafka, broker: KafkaBroker, topic: str) -> None:
    kafka.produce("1", "2", "3")
    assert kafka.consume_values(2) == ["1", "2"]

    def committed() -> dict[str, Any] | None:
        stats = kafka.call({"type": "stats"}).message
        # The first may be committed before the second has been consumed.
        return stats if stats["assignment"][0]["committed"] == 2 else None

    stats = eventually(committed, "the offset is committed")
    assert stats
    (partition,) = stats.pop("assignment")
    # One more may be here already, for the next consume.
    assert partition.pop("position") in (2, 3)
    assert partition == {
        "topic": topic,
        "partition": 0,
        "committed": 2,
        "end": 3,
        "lag": 1,
    }
    assert stats.pop("ready") in (0, 1)
    assert stats == {
        "producing": 0,
        "produced": 3,
        "failed": 0,
        "waiting": 0,
        "outstanding": 0,
        "delivered": 2,
        "redelivered": 0,
        "acked": 0,
        "nacked": 0,
        "dead_letters": 0,
        "skipped": 0,
    }


def test_no_group(nginx: Nginx, broker: KafkaBroker, topic: str) -> None:
    kafka = Kafka(nginx, broker.address, topic, group_id=None)
    kafka.produce("x")
    answer = kafka.call(CONSUME)
    assert answer.status == 1
    assert "no group_id" in (answer.body or "")
    assert kafka.call({"type": "stats"}).message == {
        "assignment": [],
        "producing": 0,
        "produced": 1,
        "failed": 0,
    }


def test_pattern_that_is_none(
    nginx: Nginx, broker: KafkaBroker, topic: str
) -> None:
    since = len(nginx.log())
    kafka = Kafka(nginx, broker.address, "^(\x1b\n", group_id=topic)
    for _ in range(3):
        answer = kafka.call(CONSUME)
        assert answer.status == 2
        place = rf"^(\x1b at {broker.address}: "
        assert (answer.body or "").startswith(place), answer
    assert nginx.count_log("ffi.kafka: consume: ", since) == 1
    assert "Traceback" not in nginx.log(since)
    assert "\x1b" not in nginx.log(since)
