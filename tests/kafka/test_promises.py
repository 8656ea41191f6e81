"""What docs/kafka.md says of requests and deliveries."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.integration.client import eventually
from tests.integration.nginx import Nginx

from .broker import KafkaBroker
from .calls import CONSUME, Answer, Kafka
from .secure import PASSWORD, USER, SecureBroker

REVOKED = Answer(False, "partition revoked", 4)


@pytest.fixture
def manual(nginx: Nginx, broker: KafkaBroker, topic: str) -> Kafka:
    return Kafka(nginx, broker.address, topic, ack="manual")


def place(message: dict[str, Any]) -> dict[str, Any]:
    return {key: message[key] for key in ("topic", "partition", "offset")}


def ack(message: dict[str, Any]) -> dict[str, Any]:
    return {"type": "ack", **place(message)}


def nack(message: dict[str, Any]) -> dict[str, Any]:
    return {"type": "nack", **place(message)}


def stats(kafka: Kafka) -> dict[str, Any]:
    return kafka.call({"type": "stats"}).message


def test_manual(manual: Kafka) -> None:
    manual.produce("a", "b")
    first, second = manual.consume(), manual.consume()
    assert (first["value"], first["offset"]) == ("a", 0)
    assert first["delivery_count"] == 1
    assert manual.call(nack(first)) == Answer(True)
    again = manual.consume()
    assert (again["value"], again["delivery_count"]) == ("a", 2)
    assert manual.call(ack(second)) == Answer(True)
    # None, or 0 once that has been committed
    assert not stats(manual)["assignment"][0]["committed"]
    assert manual.call(ack(again)) == Answer(True)
    assert manual.call(ack(again)) == Answer(True)
    eventually(
        lambda: stats(manual)["assignment"][0]["committed"] == 2, "a commit"
    )
    assert stats(manual)["assignment"][0]["lag"] == 0


def test_what_was_not_delivered_here(manual: Kafka) -> None:
    manual.produce("a", "b")
    first = manual.consume()
    other = {**first, "offset": 7}
    assert manual.call(ack(other)) == REVOKED
    assert manual.call(nack({**first, "partition": 5})) == REVOKED
    both = {"type": "ack", "messages": [place(other), place(first)]}
    assert manual.call(both) == REVOKED
    assert stats(manual)["acked"] == 1


def test_ack_timeout(nginx: Nginx, broker: KafkaBroker, topic: str) -> None:
    kafka = Kafka(nginx, broker.address, topic, ack="manual", ack_timeout=50)
    kafka.produce("a")
    assert kafka.consume()["delivery_count"] == 1
    assert kafka.consume()["delivery_count"] == 2


def test_max_outstanding(
    nginx: Nginx, broker: KafkaBroker, topic: str
) -> None:
    kafka = Kafka(
        nginx, broker.address, topic, ack="manual", max_outstanding=2
    )
    kafka.produce("a", "b", "c")
    first, second = json.loads(kafka.call({**CONSUME, "max": 10}).body or "")
    assert (first["value"], second["value"]) == ("a", "b")
    assert kafka.call({**CONSUME, "timeout": 500}) == Answer(True)
    assert kafka.call(ack(first)) == Answer(True)
    assert kafka.consume()["value"] == "c"


def test_dead_letter(nginx: Nginx, broker: KafkaBroker, topic: str) -> None:
    kafka = Kafka(
        nginx,
        broker.address,
        topic,
        ack="manual",
        max_deliveries=2,
        dead_letter=f"{topic}.dead",
    )
    kafka.produce("poison", key="k", headers={"h": "1"})
    kafka.produce("fine")
    for _ in range(2):
        message = kafka.consume()
        assert message["value"] == "poison"
        assert kafka.call(nack(message)) == Answer(True)
    assert kafka.call(ack(kafka.consume())) == Answer(True)
    eventually(
        lambda: stats(kafka)["assignment"][0]["committed"] == 2, "a commit"
    )
    assert stats(kafka)["dead_letters"] == 1
    dead = Kafka(nginx, broker.address, f"{topic}.dead").consume()
    assert (dead["key"], dead["value"]) == ("k", "poison")
    assert dead["headers"] == [
        ["h", "1"],
        ["dead_letter.topic", topic],
        ["dead_letter.partition", "0"],
        ["dead_letter.offset", "0"],
        ["dead_letter.deliveries", "2"],
    ]


def test_skipped(nginx: Nginx, broker: KafkaBroker, topic: str) -> None:
    kafka = Kafka(nginx, broker.address, topic, ack="manual", max_deliveries=1)
    kafka.produce("poison")
    assert kafka.call(nack(kafka.consume())) == Answer(True)
    nginx.wait_log(rf"{topic}\[0\] offset 0: skipped, nobody has acknowledged")
    assert stats(kafka)["skipped"] == 1


def test_no_ack_where_it_is_automatic(
    nginx: Nginx, broker: KafkaBroker, topic: str
) -> None:
    kafka = Kafka(nginx, broker.address, topic)
    kafka.produce("a")
    message = kafka.call({**CONSUME, "report": True}).message
    answer = kafka.call(ack(message))
    assert (answer.ok, answer.status) == (False, 1)


def test_report(nginx: Nginx, broker: KafkaBroker, topic: str) -> None:
    kafka = Kafka(nginx, broker.address, topic)
    produce = {"type": "produce", "report": True}
    assert kafka.call({**produce, "msg": "a"}).message == {
        "topic": topic,
        "partition": 0,
        "offset": 0,
    }
    answer = kafka.call(
        {
            **produce,
            "key": "k",
            "messages": [
                {"msg": "b"},
                {"msg": "c", "partition": 9},
                {"msg": "d", "key": "other"},
            ],
        }
    )
    assert (answer.ok, answer.status) == (False, 2)
    reports = json.loads(answer.body or "")
    assert [each.get("offset") for each in reports] == [1, None, 2]
    assert "Unknown partition" in reports[1]["error"]
    kafka.consume()
    assert [kafka.consume()["key"] for _ in range(2)] == ["k", "other"]


def test_full(nginx: Nginx, topic: str, broker: KafkaBroker) -> None:
    kafka = Kafka(
        nginx,
        broker.address,
        topic,
        librdkafka={"queue.buffering.max.messages": 1, "linger.ms": 500},
    )
    kafka.produce("the topic is there")
    answers = kafka.calls([{"type": "produce", "msg": "x"}] * 3)
    assert sorted(answer.ok for answer in answers) == [False, False, True]
    assert {(each.status, each.body) for each in answers if not each.ok} == {
        (3, "librdkafka's queue is full")
    }


def test_no_group(nginx: Nginx, broker: KafkaBroker, topic: str) -> None:
    kafka = Kafka(nginx, broker.address, topic, group_id=None)
    kafka.produce("a")
    answer = kafka.call(CONSUME)
    assert (answer.ok, answer.status) == (False, 1)
    assert set(stats(kafka)) == {
        "assignment",
        "producing",
        "produced",
        "failed",
    }


def test_pattern(nginx: Nginx, broker: KafkaBroker, topic: str) -> None:
    for name in ("a", "b"):
        Kafka(nginx, broker.address, f"{topic}-{name}").produce(name)
    kafka = Kafka(nginx, broker.address, f"^{topic}-.*", group_id=topic)
    assert set(kafka.consume_values(2)) == {"a", "b"}
    answer = kafka.call({"type": "produce", "msg": "x"})
    assert (answer.ok, answer.status) == (False, 1)


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ({"type": "produce", "msg": "x"}, "Message timed out"),
        (CONSUME, "there is no topic"),
    ],
    ids=["produce", "consume"],
)
def test_a_topic_that_is_not_there(
    nginx: Nginx, broker: KafkaBroker, topic: str, request_: Any, reason: str
) -> None:
    kafka = Kafka(nginx, broker.address, topic, create=False, timeout=3000)
    answer = kafka.call(request_)
    assert (answer.ok, answer.status) == (False, 2)
    assert reason in (answer.body or ""), answer


def secured(broker: SecureBroker, password: str) -> dict[str, str]:
    return {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-256",
        "sasl.username": USER,
        "sasl.password": password,
        "ssl.ca.location": str(broker.ca),
    }


def test_tls_and_scram(
    nginx: Nginx, secure_broker: SecureBroker, topic: str
) -> None:
    properties = secured(secure_broker, PASSWORD)
    kafka = Kafka(
        nginx, secure_broker.scram_address, topic, librdkafka=properties
    )
    kafka.produce("hello")
    assert kafka.consume()["value"] == "hello"


@pytest.mark.parametrize("request_", [{"type": "produce", "msg": ""}, CONSUME])
def test_a_wrong_password(
    nginx: Nginx, secure_broker: SecureBroker, topic: str, request_: Any
) -> None:
    properties = secured(secure_broker, "incorrect")
    kafka = Kafka(
        nginx,
        secure_broker.scram_address,
        topic,
        # Longer than the test's patience: it must fail before.
        timeout=50_000,
        librdkafka=properties,
    )
    answer = kafka.call(request_)
    assert (answer.ok, answer.status) == (False, 2)
    assert "uthentication failed" in (answer.body or ""), answer
    assert "incorrect" not in nginx.log()
