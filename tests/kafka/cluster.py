# SPDX-License-Identifier: BSD-2-Clause
"""What other clients see of a broker: confluent-kafka without nginx."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

from confluent_kafka import (
    OFFSET_BEGINNING,
    ConsumerGroupTopicPartitions,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka import Consumer as ConfluentConsumer
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    ConsumerGroupDescription,
    NewTopic,
)

from tests.integration.client import eventually

PATIENCE = 30.0
BATCH = 1000

Key = tuple[str, int]


class Cluster:
    """Every method waits for the broker's answer."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.admin = AdminClient({"bootstrap.servers": address})

    def create(self, topic: str, partitions: int = 1, **config: str) -> None:
        """config: the topic's, with _ for each dot."""
        new = NewTopic(
            topic,
            partitions,
            config={
                name.replace("_", "."): value for name, value in config.items()
            },
        )
        self.admin.create_topics([new])[topic].result(PATIENCE)

    def topics(self) -> dict[str, int]:
        """How many partitions each has."""
        # To ask for one would make it.
        found = self.admin.list_topics(timeout=PATIENCE).topics
        return {name: len(topic.partitions) for name, topic in found.items()}

    def produce(
        self, topic: str, values: Iterable[bytes], partition: int = -1
    ) -> None:
        """partition: of all of them; -1: any."""
        producer = Producer(
            {
                "bootstrap.servers": self.address,
                # Any: each message its own.
                "sticky.partitioning.linger.ms": 0,
            }
        )
        for value in values:
            while True:
                try:
                    producer.produce(topic, value, partition=partition)
                    break
                except BufferError:
                    producer.poll(0.1)
        assert producer.flush(PATIENCE) == 0

    def read(self, topic: str) -> Iterator[Message]:
        """All that is in the topic now."""
        consumer = ConfluentConsumer(
            {
                "bootstrap.servers": self.address,
                "group.id": "none",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
            }
        )
        left = self.topics()[topic]
        consumer.assign(
            [TopicPartition(topic, i, OFFSET_BEGINNING) for i in range(left)]
        )
        while left:
            for message in consumer.consume(BATCH, 0.2):
                if message.error() is None:
                    yield message
                else:
                    left -= 1
        consumer.close()

    def ends(self, topic: str) -> dict[int, int]:
        """The offset behind the last message, of partitions with any."""
        consumer = ConfluentConsumer(
            {"bootstrap.servers": self.address, "group.id": "none"}
        )
        found = {}
        for number in range(self.topics()[topic]):
            part = TopicPartition(topic, number)
            _, end = consumer.get_watermark_offsets(part, PATIENCE)
            if end:
                found[number] = end
        consumer.close()
        return found

    def committed(self, group: str, topic: str) -> dict[int, int]:
        """Of each partition that has a committed offset."""
        request = ConsumerGroupTopicPartitions(group)
        future = self.admin.list_consumer_group_offsets([request])[group]
        return {
            part.partition: part.offset
            for part in future.result(PATIENCE).topic_partitions
            if part.topic == topic and part.offset >= 0
        }

    def members(self, group: str) -> dict[str, set[Key]]:
        """Their partitions, by the members' ids."""
        return {
            member.member_id: {
                (part.topic, part.partition)
                for part in member.assignment.topic_partitions
            }
            for member in self._describe(group).members
        }

    def instances(self, group: str) -> set[str | None]:
        """The group.instance.ids of its members."""
        members = self._describe(group).members
        return {member.group_instance_id for member in members}

    def assignor(self, group: str) -> str:
        """The strategy that its members have agreed on."""
        return str(self._describe(group).partition_assignor)

    def _describe(self, group: str) -> ConsumerGroupDescription:
        def description() -> ConsumerGroupDescription | None:
            future = self.admin.describe_consumer_groups(
                [group], request_timeout=5
            )[group]
            found: ConsumerGroupDescription | None = None
            # The coordinator may just have begun.
            with contextlib.suppress(KafkaException):
                found = future.result(PATIENCE)
            return found

        found = eventually(description, f"group {group} is described")
        assert found
        return found
