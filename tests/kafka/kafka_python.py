# SPDX-License-Identifier: BSD-2-Clause
"""A program that uses kafka-python; what it has seen is JSON.

usage: kafka_python.py STEP ADDRESS VERSION TOPIC [ARGUMENT]

VERSION is that of the broker as kafka-python is to take it, or "-": it asks.
A program, since within the tests `import kafka` is this folder.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import kafka
from kafka.admin import KafkaAdminClient, NewTopic
from kafka.errors import KafkaError

_, STEP, ADDRESS, VERSION, TOPIC, *ARGUMENTS = sys.argv

OPTIONS: dict[str, Any] = {
    "bootstrap_servers": ADDRESS,
    "api_version": None
    if VERSION == "-"
    else tuple(map(int, VERSION.split("."))),
}


def create() -> Any:
    """The second time it is there."""
    admin = KafkaAdminClient(**OPTIONS)
    admin.create_topics([NewTopic(TOPIC, 1, 1)])
    try:
        admin.create_topics([NewTopic(TOPIC, 1, 1)])
    except KafkaError as exc:
        return type(exc).__name__
    return None


def produce(**options: Any) -> Any:
    """Values of the arguments; their offsets."""
    producer = kafka.KafkaProducer(**OPTIONS, **options)
    offsets = []
    for argument in ARGUMENTS:
        sent = producer.send(TOPIC, argument.encode(), key=b"k").get(10)
        offsets.append(sent.offset)
    producer.close()
    return offsets


def produce_compressed() -> Any:
    try:
        return produce(compression_type="gzip", retries=0)
    except KafkaError as exc:
        return type(exc).__name__


def consume() -> Any:
    """So many as the argument says, as a member, which commits them."""
    consumer = kafka.KafkaConsumer(
        TOPIC,
        **OPTIONS,
        group_id=TOPIC,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        consumer_timeout_ms=20_000,
    )
    values = [next(consumer).value.decode() for _ in range(int(ARGUMENTS[0]))]
    consumer.commit()
    consumer.close()
    return values


def find() -> Any:
    """Offsets of the arguments, which are times."""
    consumer = kafka.KafkaConsumer(**OPTIONS)
    part = kafka.TopicPartition(TOPIC, 0)
    found = [
        consumer.offsets_for_times({part: int(time)})[part]
        for time in ARGUMENTS
    ]
    consumer.close()
    return [each and each.offset for each in found]


STEPS: dict[str, Callable[[], Any]] = {
    "create": create,
    "produce": produce,
    "produce-compressed": produce_compressed,
    "consume": consume,
    "find": find,
}
print(json.dumps(STEPS[STEP]()))
