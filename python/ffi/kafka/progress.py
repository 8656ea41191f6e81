# SPDX-License-Identifier: BSD-2-Clause
"""How far a member is, in each of its partitions."""

from __future__ import annotations

from typing import Any

from confluent_kafka import Consumer, KafkaException

from .ledger import Key


def describe(client: Consumer, seconds: float) -> list[dict[str, Any]]:
    """Asks the broker; seconds: how long, twice.

    The rows of `assignment`, see docs/kafka.md.
    """
    parts = client.assignment()
    committed: dict[Key, int] = {}
    is_there = True
    try:
        for part in client.committed(parts, timeout=seconds):
            if part.offset >= 0:
                committed[part.topic, part.partition] = part.offset
    except KafkaException:
        is_there = False
    rows = []
    for part in client.position(parts):
        key = part.topic, part.partition
        low = end = None
        if is_there:
            try:
                low, end = client.get_watermark_offsets(part, seconds)
            except KafkaException:
                is_there = False
        known = committed.get(key)
        lag = None
        if low is not None and end is not None:
            lag = end - (low if known is None else known)
        rows.append(
            {
                "topic": part.topic,
                "partition": part.partition,
                "position": part.offset if part.offset >= 0 else None,
                "committed": known,
                "end": end,
                "lag": lag,
            }
        )
    return rows
