"""Members of one group; what happens when one ends."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    NewTopic,
)

from tests.integration.client import eventually
from tests.integration.nginx import Nginx

from .broker import KafkaBroker
from .calls import CONSUME, Answer, Kafka

# Each worker consumes for as long as it lives.
WORKER = """
init_worker_by_lua_block {{
    ngx.timer.at(0, function()
        local kafka = assert({load})
        while not ngx.worker.exiting() do
            local ok, message = kafka:call('{{"type":"consume"}}')
            if message then
                ngx.log(ngx.NOTICE, "worker ", ngx.worker.id(), " got ",
                        message)
            end
        end
    end)
}}
"""

UNLOAD = """
local kafka = assert({load})
local calls, answers = {{}}, {{}}
for i = 1, {count} do
    calls[i] = ngx.thread.spawn(kafka.call, kafka, '{request}')
end
kafka:__unload()
for i = 1, {count} do
    answers[i] = {{select(2, ngx.thread.wait(calls[i]))}}
end
return unpack(answers)
"""


@pytest.fixture
def admin(broker: KafkaBroker) -> AdminClient:
    return AdminClient({"bootstrap.servers": broker.address})


@pytest.fixture
def two_partitions(admin: AdminClient, topic: str) -> str:
    admin.create_topics([NewTopic(topic, 2)])[topic].result(10)
    return topic


@pytest.fixture
def producer(broker: KafkaBroker) -> Iterator[Producer]:
    made = Producer({"bootstrap.servers": broker.address})
    yield made
    assert made.flush(10) == 0


def members(admin: AdminClient, group: str) -> int:
    described = admin.describe_consumer_groups([group])[group].result(10)
    return len(described.members)


def unload(kafka: Kafka, count: int, request: str) -> list[list[object]]:
    code = UNLOAD.format(load=kafka.load, count=count, request=request)
    return kafka.nginx.lua(code)


def kafka_threads(nginx: Nginx) -> int:
    return int(
        nginx.python(
            "import threading\n"
            "result = sum(t.name.startswith('kafka-')"
            " for t in threading.enumerate())"
        )
    )


def test_two_workers_share_two_partitions(
    broker: KafkaBroker, two_partitions: str, producer: Producer
) -> None:
    topic = two_partitions
    kafka = Kafka(None, broker.address, topic, timeout=1000)
    http = WORKER.format(load=kafka.load)
    with Nginx(workers=2, http=http) as nginx:

        def partition_of_worker(since: int) -> dict[str, set[str]]:
            found: dict[str, set[str]] = {}
            for worker, partition in re.findall(
                r'worker (\d) got .*?"partition":(\d)', nginx.log(since)
            ):
                found.setdefault(worker, set()).add(partition)
            return found

        def settled() -> bool:
            since = len(nginx.log())
            for partition in (0, 1):
                producer.produce(topic, b"x", partition=partition)
            assert producer.flush(10) == 0
            eventually(
                lambda: len(partition_of_worker(since)) > 0, "a message"
            )
            return len(partition_of_worker(0)) == 2

        eventually(settled, "both workers got messages")

        since = len(nginx.log())
        for partition in (0, 1) * 10:
            producer.produce(topic, b"y", partition=partition)
        assert producer.flush(10) == 0
        eventually(lambda: nginx.count_log(r'got .*"value":"y"', since) == 20)
        shares = partition_of_worker(since)
        assert sorted(shares) == ["0", "1"]
        assert sorted(shares.values(), key=min) == [{"0"}, {"1"}]


def test_more_members_than_partitions(
    nginx: Nginx, broker: KafkaBroker, topic: str
) -> None:
    pair = [
        Kafka(nginx, broker.address, topic, timeout=timeout)
        for timeout in (2000, 2001)
    ]

    def consume_both() -> list[Answer]:
        with ThreadPoolExecutor() as pool:
            return list(pool.map(lambda kafka: kafka.call(CONSUME), pair))

    def one_lacks_a_partition() -> bool:
        since = len(nginx.log())
        assert consume_both() == [Answer(True)] * 2
        return nginx.count_log(line, since) == 1

    line = f"no partition of topic {topic} assigned.* member of group {topic},"
    eventually(one_lacks_a_partition)

    pair[0].produce("only")
    values = [answer.body is not None for answer in consume_both()]
    assert sorted(values) == [False, True]


def test_member_at_rest_holds_up_nobody(
    nginx: Nginx, broker: KafkaBroker, two_partitions: str, producer: Producer
) -> None:
    topic = two_partitions
    resting = Kafka(nginx, broker.address, topic, timeout=1000)
    busy = Kafka(nginx, broker.address, topic)
    producer.produce(topic, b"first", partition=0)
    producer.flush(10)
    eventually(lambda: resting.call(CONSUME).body is not None)

    for partition in (0, 1):
        producer.produce(topic, b"next", partition=partition)
    producer.flush(10)
    assert busy.consume()["value"] == "next"


def test_member_at_rest_takes_no_messages(
    nginx: Nginx, broker: KafkaBroker, admin: AdminClient, topic: str
) -> None:
    first = Kafka(nginx, broker.address, topic)
    second = Kafka(nginx, broker.address, topic, timeout=12_000)
    first.produce("1", "2", "3")
    assert first.consume()["value"] == "1"
    nginx.lua("ngx.sleep(3)")
    first.produce("4")
    assert first.consume()["value"] == "2"
    nginx.lua("ngx.sleep(3)")
    first.unload()
    eventually(lambda: members(admin, topic) == 0, "the first has left")
    assert second.consume_values(2) == ["3", "4"]


def test_next_runtime_goes_on_where_the_last_ended(
    nginx: Nginx, broker: KafkaBroker, topic: str
) -> None:
    kafka = Kafka(nginx, broker.address, topic)
    kafka.produce("1", "2", "3")
    for value in ("1", "2", "3"):
        assert kafka.consume()["value"] == value
        kafka.unload()


def test_unload_answers_50_waiting_consumes(
    broker: KafkaBroker, admin: AdminClient, topic: str
) -> None:
    with Nginx() as nginx:
        kafka = Kafka(nginx, broker.address, topic)
        kafka.produce("1")
        assert kafka.consume()["value"] == "1"
        assert kafka_threads(nginx) == 3
        assert members(admin, topic) == 1

        assert unload(kafka, 50, '{"type":"consume"}') == [[True]] * 50

        eventually(lambda: members(admin, topic) == 0, "no ghost member")
        eventually(lambda: kafka_threads(nginx) == 0, "threads end")
        kafka.produce("2")
        assert kafka.consume()["value"] == "2"


def test_unload_sends_what_is_on_its_way(
    nginx: Nginx, broker: KafkaBroker, topic: str
) -> None:
    kafka = Kafka(nginx, broker.address, topic)
    answers = unload(kafka, 100, '{"type":"produce", "msg":"x"}')
    assert answers == [[True]] * 100
    assert kafka.consume_values(100) == ["x"] * 100


def test_end_of_nginx_leaves_the_group(
    broker: KafkaBroker, admin: AdminClient, topic: str
) -> None:
    with Nginx() as nginx:
        kafka = Kafka(nginx, broker.address, topic)
        kafka.produce("1", "2")
        assert kafka.consume()["value"] == "1"
        assert members(admin, topic) == 1
    eventually(lambda: members(admin, topic) == 0, "no ghost member")
    with Nginx() as nginx:
        kafka = Kafka(nginx, broker.address, topic)
        assert kafka.consume()["value"] == "2"
