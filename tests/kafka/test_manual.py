# SPDX-License-Identifier: BSD-2-Clause
"""Messages that somebody has to acknowledge."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.client import eventually
from tests.integration.nginx import Nginx

from .broker import KafkaBroker
from .calls import CONSUME, REBALANCE, Answer, Kafka
from .cluster import Cluster

SHORT = {**CONSUME, "timeout": 1500}
REVOKED = Answer(False, "partition revoked", 4)


@pytest.fixture
def kafka(nginx: Nginx, broker: KafkaBroker, topic: str) -> Kafka:
    return Kafka(nginx, broker.address, topic, ack="manual")


def settle(kind: str, *messages: dict[str, Any]) -> dict[str, Any]:
    names = ("topic", "partition", "offset")
    places = [{name: m[name] for name in names} for m in messages]
    return {"type": kind, "messages": places}


def consume_all(kafka: Kafka, count: int) -> list[dict[str, Any]]:
    return [kafka.consume() for _ in range(count)]


def wait_committed(
    cluster: Cluster, topic: str, offset: int, partition: int = 0
) -> None:
    eventually(
        lambda: cluster.committed(topic, topic).get(partition) == offset,
        f"offset {offset} is committed",
    )


def test_a_message(kafka: Kafka, topic: str) -> None:
    kafka.produce("x")
    message = kafka.consume()
    assert message.pop("timestamp")
    assert message == {
        "topic": topic,
        "partition": 0,
        "offset": 0,
        "key": None,
        "value": "x",
        "delivery_count": 1,
    }


def test_the_finished_prefix_is_committed(
    kafka: Kafka, cluster: Cluster, topic: str
) -> None:
    kafka.produce("0", "1", "2", "3")
    messages = consume_all(kafka, 4)
    assert kafka.call({**messages[0], "type": "ack"}) == Answer(True)
    wait_committed(cluster, topic, 1)
    assert kafka.call(settle("ack", *messages[2:])) == Answer(True)
    kafka.unload()
    eventually(lambda: not cluster.members(topic), "it has left")
    assert cluster.committed(topic, topic) == {0: 1}

    again = consume_all(kafka, 3)
    assert [message["value"] for message in again] == ["1", "2", "3"]
    assert kafka.call(settle("ack", *again)) == Answer(True)
    wait_committed(cluster, topic, 4)


def test_ack_again_is_none(kafka: Kafka) -> None:
    kafka.produce("x")
    ack = settle("ack", kafka.consume())
    assert kafka.calls([ack, ack]) == [Answer(True)] * 2
    assert kafka.call(settle("nack", *ack["messages"])) == Answer(True)
    assert kafka.call(SHORT) == Answer(True)


def test_nack(kafka: Kafka) -> None:
    kafka.produce("first", "second")
    for count in (1, 2, 3):
        message = kafka.consume()
        assert message["value"] == "first"
        assert message["delivery_count"] == count
        assert kafka.call(settle("nack", message)) == Answer(True)


def test_unacknowledged_comes_again(
    nginx: Nginx, broker: KafkaBroker, topic: str
) -> None:
    kafka = Kafka(nginx, broker.address, topic, ack="manual", ack_timeout=300)
    kafka.produce("x")
    counts = [kafka.consume()["delivery_count"] for _ in range(3)]
    assert counts == [1, 2, 3]


def test_outstanding_is_bounded(
    nginx: Nginx, broker: KafkaBroker, topic: str
) -> None:
    kafka = Kafka(
        nginx, broker.address, topic, ack="manual", max_outstanding=2
    )
    kafka.produce("1", "2", "3")
    messages = consume_all(kafka, 2)
    assert kafka.call({**SHORT, "max": 10}) == Answer(True)
    assert kafka.call(settle("ack", messages[1])) == Answer(True)
    assert kafka.consume()["value"] == "3"


def test_ack_of_what_was_never_here(kafka: Kafka, topic: str) -> None:
    kafka.call({"type": "produce", "messages": [{"msg": "x"}, {"msg": "y"}]})
    message = kafka.consume()
    # The second is here already, for the next consume.
    assert kafka.call(settle("ack", {**message, "offset": 1})) == REVOKED
    assert kafka.call(settle("ack", {**message, "offset": 2})) == REVOKED
    assert kafka.call(settle("ack", {**message, "partition": 9})) == REVOKED
    assert kafka.call(settle("ack", {**message, "topic": "?"})) == REVOKED
    # The good one of a list counts.
    good_and_bad = settle("ack", {**message, "partition": 9}, message)
    assert kafka.call(good_and_bad) == REVOKED
    stats = kafka.call({"type": "stats"}).message
    assert (stats["acked"], stats["outstanding"]) == (1, 0)


def test_partition_that_is_revoked(
    nginx: Nginx, broker: KafkaBroker, cluster: Cluster, topic: str
) -> None:
    cluster.create(topic, 2)
    for partition in (0, 1):
        cluster.produce(topic, [b"%d" % partition], partition)
    first, second = (
        Kafka(nginx, broker.address, topic, ack="manual", timeout=timeout)
        for timeout in (10_000, 2000)
    )
    messages = consume_all(first, 2)

    def comes() -> dict[str, Any] | None:
        answer = second.call(CONSUME)
        return answer.message if answer.body else None

    moved = eventually(comes, "the other one has a partition", REBALANCE)
    assert moved
    assert moved["delivery_count"] == 1
    for message in messages:
        is_moved = message["partition"] == moved["partition"]
        for kind in ("nack", "ack"):
            answer = first.call(settle(kind, message))
            assert answer == (REVOKED if is_moved else Answer(True))
    assert second.call(settle("ack", moved)) == Answer(True)


@pytest.mark.parametrize("request_", [{"type": "ack"}, {"type": "nack"}])
def test_not_manual(
    nginx: Nginx, broker: KafkaBroker, topic: str, request_: Any
) -> None:
    place = {"topic": topic, "partition": 0, "offset": 0}
    answer = Kafka(nginx, broker.address, topic).call({**request_, **place})
    assert answer.status == 1
    assert '"ack":"manual"' in (answer.body or "")


# ---- a message that nobody wants


def work(kafka: Kafka, cluster: Cluster, topic: str, end: int) -> list[str]:
    """As a worker whom "poison" kills, until all before `end` is committed.

    What it has got, in this order.
    """
    seen = []

    def step() -> bool:
        answer = kafka.call(SHORT)
        if answer.body is not None:
            message = answer.message
            seen.append(message["value"])
            kind = "nack" if message["value"] == "poison" else "ack"
            assert kafka.call(settle(kind, message)) == Answer(True)
        return cluster.committed(topic, topic).get(0) == end

    eventually(step, f"offset {end} is committed")
    return seen


def test_poison_is_skipped(
    nginx: Nginx, broker: KafkaBroker, cluster: Cluster, topic: str
) -> None:
    since = len(nginx.log())
    kafka = Kafka(nginx, broker.address, topic, ack="manual", max_deliveries=3)
    kafka.produce("1", "poison", "2", "3")
    seen = work(kafka, cluster, topic, 4)
    assert seen.count("poison") == 3
    assert [value for value in seen if value != "poison"] == ["1", "2", "3"]
    line = rf"{topic}\[0\] offset 1: skipped, nobody .* in 3 deliveries"
    assert nginx.count_log(line, since) == 1
    stats = kafka.call({"type": "stats"}).message
    assert (stats["skipped"], stats["dead_letters"]) == (1, 0)
    assert stats["nacked"] == 3


def test_poison_among_the_dead_letters(
    nginx: Nginx, broker: KafkaBroker, cluster: Cluster, topic: str
) -> None:
    kafka = Kafka(
        nginx,
        broker.address,
        topic,
        ack="manual",
        max_deliveries=2,
        dead_letter=f"{topic}-dead",
    )
    kafka.produce("1")
    kafka.produce("poison", key="k", headers={"h": "v"})
    kafka.produce("2")
    assert work(kafka, cluster, topic, 3).count("poison") == 2
    (letter,) = cluster.read(f"{topic}-dead")
    assert (letter.key(), letter.value()) == (b"k", b"poison")
    assert letter.headers() == [
        ("h", b"v"),
        ("dead_letter.topic", topic.encode()),
        ("dead_letter.partition", b"0"),
        ("dead_letter.offset", b"1"),
        ("dead_letter.deliveries", b"2"),
    ]
    stats = kafka.call({"type": "stats"}).message
    assert (stats["skipped"], stats["dead_letters"]) == (0, 1)


def test_tombstone_among_the_dead_letters(
    nginx: Nginx, broker: KafkaBroker, cluster: Cluster, topic: str
) -> None:
    kafka = Kafka(
        nginx,
        broker.address,
        topic,
        ack="manual",
        max_deliveries=1,
        dead_letter=f"{topic}-dead",
    )
    kafka.call({"type": "produce", "msg": None, "key": "k"})
    assert kafka.call(settle("nack", kafka.consume())) == Answer(True)
    wait_committed(cluster, topic, 1)
    (letter,) = cluster.read(f"{topic}-dead")
    assert (letter.key(), letter.value()) == (b"k", None)


def test_nobody_acknowledges_in_time(
    nginx: Nginx, broker: KafkaBroker, cluster: Cluster, topic: str
) -> None:
    kafka = Kafka(
        nginx,
        broker.address,
        topic,
        ack="manual",
        ack_timeout=200,
        max_deliveries=1,
    )
    kafka.produce("1", "2")
    consume_all(kafka, 2)
    wait_committed(cluster, topic, 2)
