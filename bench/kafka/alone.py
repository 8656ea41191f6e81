# SPDX-License-Identifier: BSD-2-Clause
"""alone.py SERVERS TOPIC GROUP COUNT MAX: confluent-kafka without nginx."""

from __future__ import annotations

import json
import sys
import time

from confluent_kafka import Consumer, KafkaException


def main(servers: str, topic: str, group: str, count: int, limit: int) -> None:
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": group,
            "auto.offset.reset": "earliest",
            # as ffi.kafka's: with 1000, librdkafka's, it waits for long
            "fetch.queue.backoff.ms": 10,
        }
    )
    consumer.subscribe([topic])
    seen = first = size = 0
    began = 0.0
    while seen < count:
        for message in consumer.consume(limit, 1):
            if error := message.error():
                raise KafkaException(error)
            size += len(message.value() or b"")
            seen += 1
        if not first and seen:
            first, began = seen, time.monotonic()
    seconds = time.monotonic() - began
    consumer.close()
    print(json.dumps({"messages": seen - first, "seconds": seconds}))


if __name__ == "__main__":
    servers, topic, group, count, limit = sys.argv[1:]
    main(servers, topic, group, int(count), int(limit))
