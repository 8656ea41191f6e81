# SPDX-License-Identifier: BSD-2-Clause
"""Members of one group; what happens when one ends."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from confluent_kafka import Producer

from tests.integration.client import eventually
from tests.integration.nginx import Nginx

from .broker import KafkaBroker
from .calls import CONSUME, REBALANCE, Answer, Kafka
from .cluster import Cluster

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
def two_partitions(cluster: Cluster, topic: str) -> str:
    cluster.create(topic, 2)
    return topic


@pytest.fixture
def producer(broker: KafkaBroker) -> Iterator[Producer]:
    made = Producer({"bootstrap.servers": broker.address})
    yield made
    assert made.flush(10) == 0


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


def keys_of_member(nginx: Nginx, group: str) -> int:
    """Partitions of the group's members here, asking no broker."""
    return int(
        nginx.python(
            "import gc\n"
            "from ffi.kafka.consumer import Receiver\n"
            "result = sum(len(each.ledger.keys) for each in gc.get_objects()"
            f" if type(each) is Receiver and not each._closed and"
            f" each._config.group_id == {group!r})"
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

        eventually(settled, "both workers got messages", REBALANCE)

        since = len(nginx.log())
        for partition in (0, 1) * 10:
            producer.produce(topic, b"y", partition=partition)
        assert producer.flush(10) == 0
        eventually(lambda: nginx.count_log(r'got .*"value":"y"', since) == 20)
        shares = partition_of_worker(since)
        assert sorted(shares) == ["0", "1"]
        assert sorted(shares.values(), key=min) == [{"0"}, {"1"}]


def test_more_members_than_partitions(
    nginx: Nginx, broker: KafkaBroker, cluster: Cluster, topic: str
) -> None:
    cluster.create(topic)
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

    line = f"no partition of topic {topic} assigned: group {topic} .* members"
    eventually(one_lacks_a_partition, patience=REBALANCE)

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

    def comes(kafka: Kafka) -> str | None:
        answer = kafka.call(CONSUME)
        return answer.value if answer.ok and answer.body else None

    assert eventually(lambda: comes(resting)) == "first"

    for partition in (0, 1):
        producer.produce(topic, b"next", partition=partition)
    producer.flush(10)
    assert eventually(lambda: comes(busy), patience=REBALANCE) == "next"


def test_member_at_rest(
    nginx: Nginx, broker: KafkaBroker, cluster: Cluster, topic: str
) -> None:
    """It takes no messages, for longer than it may do without a poll."""
    limits = {"session.timeout.ms": 6000, "max.poll.interval.ms": 6000}
    first = Kafka(nginx, broker.address, topic, librdkafka=limits)
    second = Kafka(nginx, broker.address, topic, timeout=12_000)
    first.produce("1", "2", "3")
    assert first.consume()["value"] == "1"
    (member,) = cluster.members(topic)
    nginx.lua("ngx.sleep(4)")
    first.produce("4")
    nginx.lua("ngx.sleep(4)")
    assert first.consume()["value"] == "2"
    assert set(cluster.members(topic)) == {member}
    first.unload()
    eventually(lambda: not cluster.members(topic), "the first has left")
    assert second.consume_values(2) == ["3", "4"]


def test_rebalance_of_a_member_at_rest(
    nginx: Nginx, broker: KafkaBroker, cluster: Cluster, two_partitions: str
) -> None:
    """What it has kept goes on with what it gets."""
    topic = two_partitions
    first, second = (
        Kafka(nginx, broker.address, topic, timeout=timeout)
        for timeout in (1000, 1001)
    )

    def partitions(kafka: Kafka) -> list[int]:
        rows = kafka.call({"type": "stats"}).message["assignment"]
        return [row["partition"] for row in rows]

    def shared() -> bool:
        for kafka in (first, second):
            kafka.call(CONSUME)
        return len(partitions(first)) == len(partitions(second)) == 1

    eventually(shared, "each has a partition", REBALANCE)
    (kept,) = partitions(first)
    cluster.produce(topic, [b"1"], kept)
    assert eventually(lambda: first.call(CONSUME).body)
    nginx.lua("ngx.sleep(2)")
    cluster.produce(topic, [b"2"], kept)
    second.unload()

    def has_both() -> bool:
        return keys_of_member(nginx, topic) == 2

    # Before it rests again.
    eventually(has_both, "it has both", REBALANCE)
    assert first.call({**CONSUME, "timeout": 5000}).value == "2"


def test_next_runtime_goes_on_where_the_last_ended(
    nginx: Nginx, broker: KafkaBroker, topic: str
) -> None:
    kafka = Kafka(nginx, broker.address, topic)
    kafka.produce("1", "2", "3")
    for value in ("1", "2", "3"):
        assert kafka.consume()["value"] == value
        kafka.unload()


def test_unload_answers_50_waiting_consumes(
    broker: KafkaBroker, cluster: Cluster, topic: str
) -> None:
    with Nginx() as nginx:
        kafka = Kafka(nginx, broker.address, topic)
        kafka.produce("1")
        assert kafka.consume()["value"] == "1"
        assert kafka_threads(nginx) == 3
        assert len(cluster.members(topic)) == 1

        assert unload(kafka, 50, '{"type":"consume"}') == [[True]] * 50

        eventually(lambda: not cluster.members(topic), "no ghost member")
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
    broker: KafkaBroker, cluster: Cluster, topic: str
) -> None:
    with Nginx() as nginx:
        kafka = Kafka(nginx, broker.address, topic)
        kafka.produce("1", "2")
        assert kafka.consume()["value"] == "1"
        assert len(cluster.members(topic)) == 1
    eventually(lambda: not cluster.members(topic), "no ghost member")
    with Nginx() as nginx:
        kafka = Kafka(nginx, broker.address, topic)
        assert kafka.consume()["value"] == "2"


@pytest.mark.parametrize("end", ["unload", "reload", "quit"])
def test_end_while_50_wait_and_50_are_outstanding(
    broker: KafkaBroker, cluster: Cluster, topic: str, end: str
) -> None:
    values = [str(i) for i in range(50)]
    with Nginx() as nginx, ThreadPoolExecutor() as pool:
        kafka = Kafka(nginx, broker.address, topic, ack="manual")
        kafka.produce(*values)
        taken: list[str] = []
        while len(taken) < 50:
            answer = kafka.call({**CONSUME, "max": 50})
            taken += [m["value"] for m in json.loads(answer.body or "[]")]
        assert taken == values

        wait = {**CONSUME, "timeout": 3000}
        waiting = pool.submit(kafka.calls, [wait] * 50)
        eventually(
            lambda: kafka.call({"type": "stats"}).message["waiting"] == 50
        )
        worker = nginx.worker()
        getattr(kafka if end == "unload" else nginx, end)()
        assert waiting.result() == [Answer(True)] * 50
        if end == "reload":
            nginx.wait_gone(worker)
        if end == "quit":
            nginx.wait()
        eventually(lambda: not cluster.members(topic), "no ghost member")

    with Nginx() as nginx:
        kafka = Kafka(nginx, broker.address, topic)
        assert sorted(kafka.consume_values(50), key=int) == values


def test_partitions_of_a_dead_nginx_go_to_the_others(
    broker: KafkaBroker, cluster: Cluster, topic: str
) -> None:
    cluster.create(topic, 8)
    kafka = Kafka(
        None,
        broker.address,
        topic,
        timeout=1000,
        librdkafka={"session.timeout.ms": 6000},
    )
    http = WORKER.format(load=kafka.load)

    def shares() -> list[int]:
        members = cluster.members(topic).values()
        # No partition is with two members.
        assert len(set().union(*members)) == sum(map(len, members))
        return sorted(map(len, members))

    with Nginx(workers=2, http=http) as one, Nginx(workers=2, http=http):
        eventually(lambda: shares() == [2] * 4, "four members", 60)
        one.kill()
        eventually(lambda: shares() == [4] * 2, "two are left", 60)


def test_assignment_is_cooperative(
    nginx: Nginx, broker: KafkaBroker, cluster: Cluster, topic: str
) -> None:
    kafka = Kafka(nginx, broker.address, topic)
    kafka.produce("1")
    assert kafka.consume()["value"] == "1"
    assert cluster.assignor(topic) == "cooperative-sticky"
