# SPDX-License-Identifier: BSD-2-Clause
"""Requests and answers: JSON, and what stands for it in Python."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson
from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Message

from .config import (
    INT32_MAX,
    LONGEST_MS,
    TOPIC,
    is_integer,
    is_number,
    shown,
)
from .ledger import Entry, Key

# Statuses of answers, beside 0.
BAD_REQUEST = 1
FAILED = 2
FULL = 3
REVOKED = 4

NO_TIME = TIMESTAMP_NOT_AVAILABLE

INT64_MAX = 2**63 - 1
ANY_PARTITION = -1
# librdkafka's; so a message cannot have it.
NOW = 0

Header = tuple[str, str | bytes | None]
Object = dict[str, Any]


class RequestError(ValueError):
    """What is wrong with a request."""


@dataclass
class Outgoing:
    """A message to be produced; without a value it is a tombstone."""

    topic: str
    value: bytes | None
    key: bytes | None = None
    partition: int = ANY_PARTITION
    timestamp: int = NOW
    headers: list[Header] | None = None


class Rest(NamedTuple):
    """What a message has besides topic and value, or takes from a list's."""

    encoding: str | None
    key: bytes | None
    partition: int
    timestamp: int
    headers: list[Header] | None


NOTHING = Rest(None, None, ANY_PARTITION, NOW, None)


# ---- requests


def parse(raw: bytes) -> Object:
    if not raw:
        raise RequestError("the request is empty")
    try:
        request = orjson.loads(raw)
    except ValueError as exc:
        raise RequestError(f"the request is not JSON: {exc}") from None
    if not isinstance(request, dict):
        raise RequestError("the request must be a JSON object")
    return request


def parse_messages(request: Object, topic: str | None) -> list[Outgoing]:
    """Of a produce; topic: where they go that do not say."""
    messages = request.get("messages")
    if messages is None:
        return [_parse_message(request, topic)]
    # Once: it must not grow with their number.
    common = _parse_rest(request, NOTHING)
    topic = parse_topic(request["topic"]) if "topic" in request else topic
    return [_parse_message(item, topic, common) for item in _objects(messages)]


def parse_flag(request: Object, name: str) -> bool:
    value = request.get(name)
    if value is not None and not isinstance(value, bool):
        raise RequestError(f"{name} must be true or false")
    return bool(value)


def parse_ms(request: Object, name: str, otherwise: float) -> float:
    """In seconds; otherwise: in ms, as in the request."""
    value = request.get(name)
    if value is None:
        value = otherwise
    elif not is_number(value, 1, LONGEST_MS):
        raise RequestError(
            f"{name} must be a number (ms) from 1 to {LONGEST_MS}"
        )
    return float(value) / 1000


def parse_max(request: Object) -> int | None:
    return _integer(request, "max", 1, INT32_MAX)


def parse_places(request: Object) -> list[tuple[Key, int]]:
    """Of an ack or a nack: partitions and offsets."""
    messages = request.get("messages")
    items = [request] if messages is None else _objects(messages)
    return [_parse_place(item) for item in items]


def _parse_message(
    item: Object, topic: str | None, common: Rest = NOTHING
) -> Outgoing:
    rest = _parse_rest(item, common)
    if "msg" not in item:
        raise RequestError("msg is missing")
    return Outgoing(
        parse_topic(item.get("topic"), topic),
        _parse_text("msg", item["msg"], rest.encoding),
        rest.key,
        rest.partition,
        rest.timestamp,
        rest.headers,
    )


def _parse_rest(item: Object, otherwise: Rest) -> Rest:
    encoding = item.get("encoding", otherwise.encoding)
    if encoding not in (None, "base64"):
        raise RequestError(f"unknown encoding: {shown(encoding)}")
    key, headers = otherwise.key, otherwise.headers
    partition, timestamp = otherwise.partition, otherwise.timestamp
    if "key" in item:
        key = _parse_text("key", item["key"], encoding)
    if "headers" in item:
        headers = _parse_headers(item["headers"], encoding)
    if "partition" in item:
        given = _integer(item, "partition", 0, INT32_MAX)
        partition = ANY_PARTITION if given is None else given
    if "timestamp" in item:
        timestamp = _integer(item, "timestamp", 1, INT64_MAX) or NOW
    return Rest(encoding, key, partition, timestamp, headers)


def _parse_text(
    name: str, value: object, encoding: str | None
) -> bytes | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise RequestError(f"{name} must be a string or null")
    return _bytes(name, value, encoding)


def parse_topic(name: object, topic: str | None = None) -> str:
    """A topic's name, or the default."""
    if name is None:
        name = topic
    if name is None:
        raise RequestError("topic is missing, and the config has not just one")
    if not isinstance(name, str) or not TOPIC.fullmatch(name):
        raise RequestError(f"topic is not a topic's name: {shown(name)}")
    return name


def _parse_headers(
    headers: object, encoding: str | None
) -> list[Header] | None:
    items: Iterable[Any]
    if headers is None:
        return None
    if isinstance(headers, dict):
        items = headers.items()
    elif isinstance(headers, list):
        items = headers
    else:
        raise RequestError("headers must be an object or a list")
    parsed = []
    for item in items:
        if not isinstance(item, (list, tuple)) or len(item) != 2:
            raise RequestError("headers: an item must be a name and a value")
        name, value = item
        if not isinstance(name, str):
            raise RequestError("headers: a name must be a string")
        _bytes("headers", name, None)
        if value is not None:
            if not isinstance(value, str):
                raise RequestError(
                    f"headers: {shown(name)} must be a string or null"
                )
            value = _bytes("headers", value, encoding)
        parsed.append((name, value))
    return parsed


def _parse_place(item: Object) -> tuple[Key, int]:
    topic = item.get("topic")
    if not isinstance(topic, str):
        raise RequestError("topic must be a string")
    partition = _integer(item, "partition", 0, INT32_MAX)
    offset = _integer(item, "offset", 0, INT64_MAX)
    if partition is None or offset is None:
        raise RequestError("partition and offset must be integers")
    return (topic, partition), offset


def _objects(items: object) -> list[Object]:
    if not isinstance(items, list) or not items:
        raise RequestError("messages must be a list that is not empty")
    if not all(isinstance(item, dict) for item in items):
        raise RequestError("messages must be a list of objects")
    return items


def _integer(item: Object, name: str, least: int, most: int) -> int | None:
    value = item.get(name)
    if value is not None and not is_integer(value, least, most):
        raise RequestError(f"{name} must be an integer from {least} to {most}")
    return value


def _bytes(name: str, value: str, encoding: str | None) -> bytes:
    try:
        if encoding is None:
            return value.encode()
        return base64.b64decode(value, validate=True)
    except ValueError as exc:
        raise RequestError(f"{name}: {exc}") from None


# ---- answers


def encode(value: object) -> bytes:
    return orjson.dumps(value)


def describe(
    entry: Entry[Message], *, offset: bool = False, count: bool = False
) -> list[Object]:
    """What a consumer is told of its messages."""
    described = []
    topic, partition = entry.partition.key
    for place, message in zip(entry.offsets, entry.messages, strict=True):
        key, value = message.key(), message.value()
        headers: Any = message.headers()
        kind, timestamp = message.timestamp()
        fields: Object = {
            "topic": topic,
            "partition": partition,
            "timestamp": None if kind == NO_TIME else timestamp,
        }
        try:
            fields["key"] = None if key is None else key.decode()
            fields["value"] = None if value is None else value.decode()
            if headers:
                fields["headers"] = [
                    (name, None if raw is None else raw.decode())
                    for name, raw in headers
                ]
        except UnicodeDecodeError:
            fields["key"] = _base64(key)
            fields["value"] = _base64(value)
            if headers:
                fields["headers"] = [
                    (name, _base64(raw)) for name, raw in headers
                ]
            fields["encoding"] = "base64"
        if offset:
            fields["offset"] = place
        if count:
            fields["delivery_count"] = entry.count
        described.append(fields)
    return described


def _base64(raw: bytes | None) -> str | None:
    return None if raw is None else base64.b64encode(raw).decode()


def dead_letter(topic: str, entry: Entry[Message]) -> Outgoing:
    """A message that nobody acknowledges, and where it comes from."""
    message = entry.messages[0]
    headers: Any = message.headers()
    source, partition = entry.partition.key
    return Outgoing(
        topic,
        message.value(),
        message.key(),
        headers=[
            *(headers or []),
            ("dead_letter.topic", source.encode()),
            ("dead_letter.partition", b"%d" % partition),
            ("dead_letter.offset", b"%d" % entry.offset),
            ("dead_letter.deliveries", b"%d" % entry.count),
        ],
    )
