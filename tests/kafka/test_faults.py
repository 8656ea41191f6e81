# SPDX-License-Identifier: BSD-2-Clause
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
SESSION = {"session.timeout.ms": 6000}

# What librdkafka says of a consumer that is of no use any more.
FATAL = r"\[crit\] .* ffi\.kafka: FATAL: .*Fatal error: Broker: "
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
        nginx.allow_log(FATAL)
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
    nginx.allow_log(FATAL)
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


# ---- static members


def test_fenced(
    nginx: Nginx, broker: KafkaBroker, cluster: Cluster, topic: str
) -> None:
    """It does not fence back, and works again when the other has gone."""
    nginx.allow_log(FATAL)
    since = len(nginx.log())
    properties = {INSTANCE: "one", **SESSION}
    kafka = Kafka(nginx, broker.address, topic, librdkafka=properties)
    kafka.produce("1", "2")
    assert kafka.consume()["value"] == "1"
    strategy = {"partition.assignment.strategy": "cooperative-sticky"}
    with Other(
        broker.address, topic, topic, **properties, **strategy
    ) as other:
        wait_says(kafka, "group.instance.id one is a newer member's now")
        (member,) = cluster.members(topic)
        assert_each_says(kafka, "newer member's now.* fenced by other")
        nginx.lua("ngx.sleep(6)")
        assert_each_says(kafka, "newer member's now.* fenced by other")
        assert set(cluster.members(topic)) == {member}
        assert other.faults == []
        kafka.produce("3")
        eventually(lambda: b"3" in other.values)
        line = f"consume: {topic} at .* fenced by other"
        assert nginx.count_log(line, since) == 1
    kafka.produce("4")
    assert comes(kafka) == "4"
    nginx.wait_log(f"consume: {topic} at .*: a member works again", since)


def test_fenced_with_messages_outstanding(
    nginx: Nginx, broker: KafkaBroker, topic: str
) -> None:
    """They are the newer member's."""
    nginx.allow_log(FATAL)
    properties = {INSTANCE: "one", **SESSION}
    kafka = Kafka(
        nginx, broker.address, topic, ack="manual", librdkafka=properties
    )
    kafka.produce("1")
    message = kafka.consume()
    strategy = {"partition.assignment.strategy": "cooperative-sticky"}
    with Other(
        broker.address, topic, topic, **properties, **strategy
    ) as other:
        wait_says(kafka, "newer member")
        eventually(lambda: other.values == [b"1"])
        ack = kafka.call({**message, "type": "ack"})
        assert ack == Answer(False, "partition revoked", 4)
        stats = kafka.call({"type": "stats"}).message
        assert (stats["outstanding"], stats["assignment"]) == (0, [])


def test_two_runtimes_with_one_instance(
    nginx: Nginx, broker: KafkaBroker, topic: str
) -> None:
    one, two, other = (
        Kafka(
            nginx,
            broker.address,
            topic,
            timeout=timeout,
            librdkafka={INSTANCE: instance},
        )
        for timeout, instance in ((5000, "a"), (5001, "a"), (5000, "b"))
    )
    one.produce("1", "2")
    assert one.consume()["value"] == "1"
    runtime, error = nginx.lua(f"return {two.load}")
    assert runtime is None
    assert error.endswith(
        f"config: librdkafka: {INSTANCE}: a runtime of this process has"
        " a already"
    )
    assert nginx.lua(f"return {other.load} ~= nil") == [True]
    # It joins when the one before has committed and left.
    one.unload()
    assert comes(two) == "2"


def test_reload_of_a_runtime_with_an_instance(
    nginx: Nginx, broker: KafkaBroker, topic: str
) -> None:
    kafka = Kafka(
        nginx, broker.address, topic, librdkafka={INSTANCE: "reloaded"}
    )
    for value in ("1", "2", "3"):
        kafka.produce(value)
        assert kafka.consume()["value"] == value
        nginx.lua(f"return assert({kafka.load}):__reload()")
    assert kafka.call({**CONSUME, "timeout": 1500}) == Answer(True)


def test_load_that_fails_takes_no_instance(
    nginx: Nginx, broker: KafkaBroker, topic: str
) -> None:
    properties = {INSTANCE: "kept"}
    bad = Kafka(
        nginx,
        broker.address,
        topic,
        librdkafka={**properties, "session.timeout.ms": "x"},
    )
    assert nginx.lua(f"return {bad.load} == nil") == [True]
    kafka = Kafka(nginx, broker.address, topic, librdkafka=properties)
    kafka.produce("x")
    assert kafka.consume()["value"] == "x"


# Each worker consumes for as long as it lives.
STATIC = """
init_worker_by_lua_block {{
    ngx.timer.at(0, function()
        local kafka = require "resty.ffi.kafka"
        local k = assert(kafka.new({{servers = "{servers}",
            topic = "{topic}", group_id = "{topic}", timeout = 3000,
            librdkafka = {{["{name}"] = "{instance}"}}}}))
        while not ngx.worker.exiting() do
            local message, err = k:consume()
            if message then
                ngx.log(ngx.NOTICE, "worker ", ngx.worker.id(), " of ",
                        ngx.worker.pid(), " got ", message.value)
            elseif err then
                ngx.log(ngx.NOTICE, "worker ", ngx.worker.id(), " of ",
                        ngx.worker.pid(), " failed: ", err)
            end
        end
    end)
}}
"""


def static(broker: KafkaBroker, topic: str, instance: str) -> str:
    return STATIC.format(
        servers=broker.address, topic=topic, name=INSTANCE, instance=instance
    )


def test_workers_have_instances_of_their_own(
    broker: KafkaBroker, cluster: Cluster, topic: str
) -> None:
    """Those of a reload follow those before, who say so and give way."""
    cluster.create(topic, 2)

    def has_two() -> bool:
        members = cluster.members(topic).values()
        return sorted(map(len, members)) == [1, 1]

    def all_come(values: list[bytes]) -> None:
        since = len(nginx.log())
        for partition, value in enumerate(values):
            cluster.produce(topic, [value], partition)
        for value in values:
            nginx.wait_log(f"got {value.decode()}", since)

    http = static(broker, topic, "host-{worker}")
    with Nginx(workers=2, http=http) as nginx:
        nginx.allow_log(FATAL)
        eventually(has_two, "two members", REBALANCE)
        assert cluster.instances(topic) == {"host-0", "host-1"}
        all_come([b"a", b"b"])
        since = len(nginx.log())
        old = nginx.worker_pids()
        nginx.reload()
        for pid in old:
            nginx.wait_gone(pid)
        eventually(has_two, "two members", REBALANCE)
        assert cluster.instances(topic) == {"host-0", "host-1"}
        all_come([b"c", b"d"])
        for line in nginx.log(since).splitlines():
            if failed := re.search(r"of (\d+) failed: (.*)", line):
                assert int(failed[1]) in old, line
                assert "is a newer member's now" in failed[2]


def test_workers_with_one_instance() -> None:
    code = f"""
        local errors = {{}}
        for i, id in ipairs({{"host", 7, "host-{{worker}}"}}) do
            local k, err = require("resty.ffi.kafka").new({{
                servers = "127.0.0.1:1", topic = "t", group_id = "g",
                librdkafka = {{["{INSTANCE}"] = id}}}})
            errors[i] = k and "none" or err
        end
        return unpack(errors)
    """
    refused = (
        f"cfg: {INSTANCE} needs {{worker}} in it, as there is more than one"
        " worker: "
    )
    with Nginx(workers=2) as nginx:
        assert nginx.lua(code) == [f"{refused}host", f"{refused}7", "none"]
    with Nginx() as nginx:
        assert nginx.lua(code) == ["none"] * 3


def test_worker_in_a_raw_config(nginx: Nginx) -> None:
    """Nobody is there to replace it."""
    kafka = Kafka(
        nginx, "127.0.0.1:1", "t", librdkafka={INSTANCE: "host-{worker}"}
    )
    runtime, error = nginx.lua(f"return {kafka.load}")
    assert runtime is None
    assert error.endswith(
        f"config: librdkafka: {INSTANCE}: {{worker}} is for resty.ffi.kafka;"
        " here, put in ngx.worker.id()"
    )


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
    nginx.allow_log(FATAL)
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
