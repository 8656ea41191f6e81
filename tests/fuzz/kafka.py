# SPDX-License-Identifier: BSD-2-Clause
"""Kafka's requests, config and ledger, for libFuzzer.

usage: python -m tests.fuzz.kafka TARGET [LIBFUZZER ARGUMENT ...]
"""

from __future__ import annotations

import contextlib
import logging
import re
import sys
import zlib
from collections.abc import Callable

import atheris
from confluent_kafka import Consumer, KafkaException, Producer

with atheris.instrument_imports(include=["ffi.kafka", "json"]):
    from ffi.kafka import config, wire
    from ffi.kafka.journal import Journal
    from ffi.kafka.stream import Options

    from . import ledger

from .build import Builder

LONGEST_TEXT = 1000
SECRET = "hunter2-c0ffee"


def check_text(text: str, begin: str = "") -> None:
    """That it may be an answer, and a line of a log."""
    assert text.startswith(begin), text
    assert 0 < len(text) <= LONGEST_TEXT, f"{len(text)} characters"
    assert not re.search(r"[\x00-\x1f\x7f-\x9f]", text), repr(text)
    text.encode()
    assert SECRET not in text, text


# ---- requests

PRODUCER = Producer({"bootstrap.servers": "127.0.0.1:1", "log_level": 0})


def check_outgoing(message: wire.Outgoing) -> None:
    assert config.TOPIC.fullmatch(message.topic)
    assert message.value is None or isinstance(message.value, bytes)
    assert message.key is None or isinstance(message.key, bytes)
    assert -1 <= message.partition <= config.INT32_MAX
    assert 0 <= message.timestamp <= wire.INT64_MAX
    for name, value in message.headers or []:
        name.encode()
        assert value is None or isinstance(value, bytes)
    with contextlib.suppress(KafkaException, BufferError):
        PRODUCER.produce(
            message.topic,
            message.value,
            message.key,
            message.partition,
            timestamp=message.timestamp,
            headers=message.headers,
        )


def check_produce(request: wire.Object) -> None:
    messages = wire.parse_messages(request, "default")
    assert len(messages) == len(request.get("messages") or [request])
    for message in messages:
        check_outgoing(message)
    PRODUCER.purge()
    PRODUCER.poll(0)


def check_places(request: wire.Object) -> None:
    for (topic, partition), offset in wire.parse_places(request):
        assert isinstance(topic, str)
        assert 0 <= partition <= config.INT32_MAX
        assert 0 <= offset <= wire.INT64_MAX


def check_timeout(request: wire.Object) -> None:
    seconds = wire.parse_ms(request, "timeout", 1.0)
    assert 0.001 <= seconds <= config.LONGEST_MS


def check_stream(request: wire.Object) -> None:
    options = Options.parse(request, 1.0)
    assert 0.001 <= options.quiet <= config.LONGEST_MS
    assert 0.001 <= options.patience <= config.LONGEST_MS


def check_max(request: wire.Object) -> None:
    most = wire.parse_max(request)
    assert most is None or 1 <= most <= config.INT32_MAX


def check_type(request: wire.Object) -> None:
    """As the service words it."""
    check_text(f"unknown type: {config.shown(request.get('type'))}")


def check_report(request: wire.Object) -> None:
    assert isinstance(wire.parse_flag(request, "report"), bool)


REQUEST = (
    *("type", "msg", "key", "headers", "encoding", "topic", "partition"),
    *("timestamp", "offset", "messages", "report", "timeout", "max"),
    *("format", "quiet"),
)


def requests(data: bytes) -> None:
    if not data.startswith(b"{"):
        data = Builder(data, REQUEST).object(['"msg":"m"']).encode()
    try:
        request = wire.parse(data)
    except wire.RequestError as exc:
        check_text(str(exc))
        return
    for check in (
        check_type,
        check_produce,
        check_places,
        check_timeout,
        check_stream,
        check_max,
        check_report,
    ):
        try:
            check(request)
        except wire.RequestError as exc:
            check_text(str(exc))
    assert wire.parse(data).keys() == request.keys()


# ---- config


class Said(logging.Handler):
    """Checks what is written to the log."""

    def emit(self, record: logging.LogRecord) -> None:
        check_text(record.getMessage())


# They open files, load libraries or start programs.
FOREIGN = ("ssl.", "plugin.", "sasl.kerberos", "sasl.oauth", "https.", "debug")


def check_clients(parsed: config.Config) -> None:
    """librdkafka takes it, or says in a line what it has against it."""
    if any(name.startswith(FOREIGN) for name in parsed.librdkafka):
        return
    journal = Journal(parsed.secrets, lambda: None)
    own = {"logger": journal, "error_cb": journal.on_error, "log_level": 0}
    try:
        Producer({**parsed.producer(), **own})
        if parsed.group_id is not None:
            Consumer({**parsed.consumer(), **own}).close()
    except (KafkaException, TypeError, ValueError) as exc:
        check_text(f"config: librdkafka: {journal.describe(exc)}")


CONFIG = (
    *config.Config.__dataclass_fields__,
    *("sasl.username", "group.protocol", "linger.ms", "acks", "group.id"),
    *("queue.buffering.max.messages", "sasl.mechanism", "security.protocol"),
)
LEAST = (
    '"servers":"s:1"',
    '"topic":"t"',
    f'"librdkafka":{{"sasl.password":"{SECRET}"}}',
)


def configs(data: bytes) -> None:
    text = data.decode(errors="replace")
    if not data.startswith(b"{"):
        text = Builder(data, CONFIG).object(LEAST)
    try:
        parsed = config.Config.parse(text)
    except ValueError as exc:
        check_text(str(exc), "config: ")
        return
    # NaN is not itself
    assert repr(parsed) == repr(config.Config.parse(text))
    assert SECRET not in repr(parsed)
    assert parsed.topics
    # A client costs as much as a thousand parses.
    if zlib.crc32(data) % 32 == 0:
        check_clients(parsed)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "requests": requests,
    "config": configs,
    "ledger": ledger.program,
}


def main() -> None:
    logger = logging.getLogger("ffi.kafka")
    logger.addHandler(Said())
    logger.propagate = False
    target = sys.argv.pop(1)
    atheris.Setup(sys.argv, TARGETS[target])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
