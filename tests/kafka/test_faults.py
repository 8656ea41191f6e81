"""Members that cannot work: each consume says why, until one works again."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
)

from tests.integration.client import eventually
from tests.integration.nginx import Nginx

from .broker import KafkaBroker
from .calls import CONSUME, REBALANCE, Answer, Kafka
from .cluster import Cluster
from .secure import USER, SecureBroker
from .test_secure import scram

INSTANCE = "group.instance.id"

# Each of them has to say it: sooner than librdkafka does, and later.
TIMEOUTS = (100, 300, 2500, 100, 4000)


class Other:
    """A member of the group that is another client's."""

    def __init__(
        self, servers: str, topic: str, group: str, **properties: Any
    ) -> None:
        self.values: list[bytes | None] = []
        self.faults: list[str] = []
        self.keys: set[int] = set()
        self._client = Consumer(
            {
                "bootstrap.servers": servers,
                "group.id": group,
                "auto.offset.reset": "earliest",
                **properties,
            }
        )
        self._client.subscribe([topic], on_assign=self._assigned)
        self._closed = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def __enter__(self) -> Other:
        eventually(lambda: self.keys, "the other one has a partition")
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        self._closed = True
        self._thread.join()

    def _run(self) -> None:
        while not self._closed:
            message = self._client.poll(0.1)
            if message is None:
                continue
            if (error := message.error()) is not None:
                self.faults.append(error.str())
            else:
                self.values.append(message.value())
        self._client.close()

    def _assigned(self, _: Consumer, parts: list[TopicPartition]) -> None:
        self.keys.update(part.partition for part in parts)


def assert_each_says(kafka: Kafka, why: str) -> None:
    for timeout in TIMEOUTS:
        answer = kafka.call({**CONSUME, "timeout": timeout})
        assert answer.status == 2, (timeout, answer)
        assert re.search(why, answer.body or ""), answer


def comes(kafka: Kafka) -> str:
    """The next message, as soon as a member works."""

    def value() -> str | None:
        answer = kafka.call({**CONSUME, "timeout": 2000})
        return answer.value if answer.body and answer.ok else None

    found = eventually(value, "a message comes", REBALANCE)
    assert found is not None
    return found


def wait_says(kafka: Kafka, why: str) -> None:
    """From now on each does."""

    def says() -> bool:
        answer = kafka.call({**CONSUME, "timeout": 2000})
        return answer.status == 2 and bool(re.search(why, answer.body or ""))

    eventually(says, why, REBALANCE)


# ---- what the group refuses


@pytest.fixture
def counted() -> Iterator[Nginx]:
    """Counts the members that are made anew, in ffi.kafka.renewals."""
    with Nginx() as nginx:
        nginx.python("""
            import ffi.kafka
            from ffi.kafka.member import Member
            renew = Member._renew
            ffi.kafka.renewals = 0
            def counted(self):
                ffi.kafka.renewals += 1
                renew(self)
            Member._renew = counted
            result = None
        """)
        yield nginx


def test_fatal_error(counted: Nginx, broker: KafkaBroker, topic: str) -> None:
    """No member can ever work; that costs little, and one line."""
    kafka = Kafka(
        counted,
        broker.address,
        topic,
        librdkafka={
            "group.protocol": "consumer",
            "group.remote.assignor": "bogus",
        },
    )
    kafka.produce("x")
    first = kafka.call(CONSUME)
    assert first.status == 2
    assert_each_says(kafka, f"^{topic} at {broker.address}: .*assignor")
    waiting = kafka.calls([{**CONSUME, "timeout": 60_000}] * 20)
    assert [answer.status for answer in waiting] == [2] * 20
    assert counted.count_log("consume: .*assignor") == 1
    renewals = int(
        counted.python("import ffi.kafka\nresult = ffi.kafka.renewals")
    )
    # 1, 3, 7, 15, 25 seconds after the first failed.
    assert 1 <= renewals <= 5


def test_nobody_consumes(counted: Nginx, broker: KafkaBroker) -> None:
    """A member that is spent costs nothing while nobody asks for one."""
    kafka = Kafka(
        counted,
        broker.address,
        "idle",
        librdkafka={
            "group.protocol": "consumer",
            "group.remote.assignor": "bogus",
        },
    )
    wait_says(kafka, "assignor")
    code = "import ffi.kafka\nresult = ffi.kafka.renewals"
    before = counted.python(code)
    counted.lua("ngx.sleep(4)")
    assert counted.python(code) == before


def test_instance_that_is_in_use(
    nginx: Nginx, broker: KafkaBroker, topic: str
) -> None:
    """With the newer protocol the first one keeps it."""
    since = len(nginx.log())
    properties = {"group.protocol": "consumer", INSTANCE: "one"}
    kafka = Kafka(nginx, broker.address, topic, librdkafka=properties)
    kafka.produce("1")
    with Other(broker.address, topic, topic, **properties) as other:
        eventually(lambda: other.values == [b"1"])
        assert kafka.call(CONSUME).status == 2
        assert_each_says(kafka, "instance ID is still used by another member")
        assert nginx.count_log(f"consume: {topic} at .*instance", since) == 1
        assert other.faults == []
    kafka.produce("2")
    assert comes(kafka) == "2"
    nginx.wait_log(f"consume: {topic} at .*: a member works again", since)


def test_other_assignor(nginx: Nginx, broker: KafkaBroker, topic: str) -> None:
    since = len(nginx.log())
    kafka = Kafka(nginx, broker.address, topic)
    kafka.produce("1")
    strategy = {"partition.assignment.strategy": "range"}
    with Other(broker.address, topic, topic, **strategy) as other:
        eventually(lambda: other.values == [b"1"])
        assert kafka.call(CONSUME).status == 2
        assert_each_says(kafka, "Inconsistent group protocol")
        line = f"consume: {topic} at .*Inconsistent group"
        assert nginx.count_log(line, since) == 1
    kafka.produce("2")
    assert comes(kafka) == "2"
    nginx.wait_log(f"consume: {topic} at .*: a member works again", since)


# ---- partitions


def commit(servers: str, group: str, part: TopicPartition) -> None:
    client = Consumer({"bootstrap.servers": servers, "group.id": group})
    client.commit(offsets=[part], asynchronous=False)
    client.close()


def test_offset_that_is_not_there(
    nginx: Nginx, broker: KafkaBroker, cluster: Cluster, topic: str
) -> None:
    """librdkafka says it once, and fetches nothing from then on."""
    cluster.create(topic, 2)
    commit(broker.address, topic, TopicPartition(topic, 0, 1000))
    kafka = Kafka(
        nginx,
        broker.address,
        topic,
        librdkafka={"auto.offset.reset": "error"},
    )
    cluster.produce(topic, [b"x"], 0)
    wait_says(kafka, rf"{topic}\[[01]\]: .*")
    assert_each_says(kafka, rf"{topic}\[[01]\]: .*")


def test_partition_of_several(
    nginx: Nginx, broker: KafkaBroker, cluster: Cluster, topic: str
) -> None:
    """The others' messages come; a consume without one says what is wrong."""
    cluster.create(topic, 2)
    commit(broker.address, topic, TopicPartition(topic, 0, 1000))
    commit(broker.address, topic, TopicPartition(topic, 1, 0))
    kafka = Kafka(
        nginx,
        broker.address,
        topic,
        librdkafka={"auto.offset.reset": "error"},
    )
    wait_says(kafka, rf"{topic}\[0\]: .*")
    for value in (b"1", b"2", b"3"):
        cluster.produce(topic, [value], 1)
        assert kafka.consume()["value"] == value.decode()
        assert_each_says(kafka, rf"{topic}\[0\]: .*")


# ---- permissions


class Acl:
    """Rules about USER."""

    def __init__(self, cluster: Cluster) -> None:
        self._admin = cluster.admin

    def deny(self, kind: ResourceType, name: str) -> AclBinding:
        """To read; all else is allowed."""
        self._create(kind, name, AclOperation.ALL, AclPermissionType.ALLOW)
        return self._create(
            kind, name, AclOperation.READ, AclPermissionType.DENY
        )

    def allow(self, denied: AclBinding) -> None:
        every = AclBindingFilter(
            denied.restype,
            denied.name,
            denied.resource_pattern_type,
            denied.principal,
            denied.host,
            denied.operation,
            denied.permission_type,
        )
        assert self._admin.delete_acls([every])[every].result(10)

    def _create(
        self,
        kind: ResourceType,
        name: str,
        operation: AclOperation,
        permission: AclPermissionType,
    ) -> AclBinding:
        binding = AclBinding(
            kind,
            name,
            ResourcePatternType.LITERAL,
            f"User:{USER}",
            "*",
            operation,
            permission,
        )
        self._admin.create_acls([binding])[binding].result(10)
        return binding


@pytest.fixture
def acl(secure_broker: SecureBroker) -> Acl:
    return Acl(Cluster(secure_broker.address))


def test_topic_that_must_not_be_read(
    nginx: Nginx, secure_broker: SecureBroker, acl: Acl, topic: str
) -> None:
    """librdkafka says it once, and goes on trying."""
    kafka = Kafka(
        nginx,
        secure_broker.scram_address,
        topic,
        librdkafka=scram(secure_broker),
    )
    kafka.produce("1")
    denied = acl.deny(ResourceType.TOPIC, topic)
    wait_says(kafka, "Topic authorization failed")
    assert_each_says(kafka, rf"{topic}\[0\]: .*Topic authorization failed")
    acl.allow(denied)
    assert comes(kafka) == "1"
    assert kafka.call({**CONSUME, "timeout": 500}) == Answer(True)


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_group_that_must_not_be_read(
    nginx: Nginx,
    secure_broker: SecureBroker,
    acl: Acl,
    topic: str,
    protocol: str,
) -> None:
    kafka = Kafka(
        nginx,
        secure_broker.scram_address,
        topic,
        librdkafka={**scram(secure_broker), "group.protocol": protocol},
    )
    kafka.produce("1")
    denied = acl.deny(ResourceType.GROUP, topic)
    wait_says(kafka, "Group authorization failed")
    assert_each_says(kafka, "Group authorization failed")
    acl.allow(denied)
    assert comes(kafka) == "1"
    assert kafka.call({**CONSUME, "timeout": 500}) == Answer(True)
