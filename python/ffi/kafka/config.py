# SPDX-License-Identifier: BSD-2-Clause
"""What ffi.kafka is told, and what it tells librdkafka."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass, field
from typing import Any

LONGEST_MS = 24 * 3600 * 1000
INT32_MAX = 2**31 - 1
INT16_MAX = 2**15 - 1

MODES = ("auto", "manual")

TOPIC = re.compile(r"(?!\.{1,2}$)[a-zA-Z0-9._-]{1,249}")
SECRET = re.compile(r"password|passphrase|secret|key\.pem|oauthbearer\.config")

# Messages under way that are too few to be gathered; not more than requests
# in flight (5): librdkafka's flush spins where messages wait for one to end.
FEW = 4
GATHERING = {
    "linger.ms",
    "queue.buffering.max.ms",
    "max.in.flight",
    "max.in.flight.requests.per.connection",
}

INSTANCE_ID = "group.instance.id"
# What resty.ffi.kafka puts the number of the nginx worker in place of.
WORKER = "{worker}"

# These have keys of their own, or are what the module promises.
OURS = {
    "bootstrap.servers",
    "metadata.broker.list",
    "group.id",
    "transactional.id",
    "message.timeout.ms",
    "delivery.timeout.ms",
    "allow.auto.create.topics",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "delivery.report.only.error",
    "error_cb",
    "logger",
}

Properties = dict[str, Any]

log = logging.getLogger("ffi.kafka")


@dataclass(frozen=True)
class Config:
    """The keys of the JSON object; docs/kafka.md says what they mean."""

    servers: str
    topic: str | list[str]
    group_id: str | None = None
    timeout: float = 55_000
    create: bool = True
    partitions: int = 1
    replication: int | None = None
    ack: str = "auto"
    ack_timeout: float = 30_000
    max_outstanding: int = 10_000
    max_deliveries: int = 0
    dead_letter: str | None = None
    librdkafka: Properties = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Raises ValueError that names the key."""
        for key in ("servers", "group_id"):
            value = getattr(self, key)
            require(
                is_text(value) or (key == "group_id" and value is None),
                f"{key} must be a non-empty string",
            )
        self._check_topics()
        for key in ("timeout", "ack_timeout"):
            require(
                is_number(getattr(self, key), 1, LONGEST_MS),
                f"{key} must be a number (ms) from 1 to {LONGEST_MS}",
            )
        for key, least, most in (
            ("partitions", 1, INT32_MAX),
            ("replication", 1, INT16_MAX),
            ("max_outstanding", 1, INT32_MAX),
            ("max_deliveries", 0, INT32_MAX),
        ):
            value = getattr(self, key)
            require(
                is_integer(value, least, most)
                or (key == "replication" and value is None),
                f"{key} must be an integer from {least} to {most}",
            )
        require(isinstance(self.create, bool), "create must be true or false")
        require(self.ack in MODES, 'ack must be "auto" or "manual"')
        self._check_librdkafka()

    def _check_topics(self) -> None:
        topics = self.topic if isinstance(self.topic, list) else [self.topic]
        require(
            topics and all(is_text(name) for name in topics),
            "topic must be a non-empty string, or a list of them",
        )
        for name in topics:
            require_topic("topic", name, pattern=True)
        if self.dead_letter is not None:
            require(
                is_text(self.dead_letter),
                "dead_letter must be a non-empty string",
            )
            require_topic("dead_letter", self.dead_letter)
            require(
                self.dead_letter not in topics,
                "dead_letter must not be one of the topics consumed from",
            )

    def _check_librdkafka(self) -> None:
        require(
            isinstance(self.librdkafka, dict), "librdkafka must be an object"
        )
        for name, value in self.librdkafka.items():
            require(name not in OURS, f"librdkafka: {name} is not free")
            require(
                isinstance(value, (str, int, float)),
                f"librdkafka: {shown_name(name)} must be a string,"
                " a number or a boolean",
            )
            require(
                is_c_string(f"{name}{value}"),
                f"librdkafka: {shown_name(name)} must be UTF-8 without NUL",
            )
        require(
            WORKER not in (self.instance_id or ""),
            f"librdkafka: {INSTANCE_ID}: {WORKER} is for resty.ffi.kafka;"
            " here, put in ngx.worker.id()",
        )

    @classmethod
    def parse(cls, text: str) -> Config:
        """Raises ValueError that says what is wrong."""
        require(text, "is missing: a JSON object with servers and topic")
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as exc:
            raise ValueError(f"config: is not JSON: {exc}") from None
        require(isinstance(values, dict), "must be a JSON object")
        for key in ("servers", "topic"):
            require(key in values, f"{key} is missing")
        keys = cls.__dataclass_fields__
        known = {key: values.pop(key) for key in keys if key in values}
        if values:
            names = shown_name(", ".join(values))
            log.warning("ffi.kafka: config: unknown keys: %s", names)
        return cls(**known)

    @property
    def topics(self) -> list[str]:
        """What is consumed from: names, and patterns that begin with ^."""
        return [self.topic] if isinstance(self.topic, str) else self.topic

    @property
    def names(self) -> list[str]:
        """The topics that are to be there."""
        names = [name for name in self.topics if not name.startswith("^")]
        return (
            names if self.dead_letter is None else [*names, self.dead_letter]
        )

    @property
    def place(self) -> str:
        """What an error is about."""
        return f"{', '.join(self.topics)} at {self.servers}"

    @property
    def default_topic(self) -> str | None:
        """Where a message goes that does not say."""
        only = self.topics[0] if len(self.topics) == 1 else "^"
        return None if only.startswith("^") else only

    @property
    def instance_id(self) -> str | None:
        """Of a static member of the group; None where it is a dynamic one."""
        value = self.librdkafka.get(INSTANCE_ID)
        return None if None in (value, self.group_id) else str(value)

    @property
    def manual(self) -> bool:
        return self.ack == "manual"

    @property
    def secrets(self) -> list[str]:
        """What must not be read in a log or an answer."""
        return [
            str(value)
            for name, value in self.librdkafka.items()
            if SECRET.search(name) and str(value)
        ]

    @property
    def few(self) -> int:
        """With so many messages under way none lingers."""
        return 0 if GATHERING & self.librdkafka.keys() else FEW

    def producer(self) -> Properties:
        return {
            "acks": "all",
            "enable.idempotence": True,
            # What comes within this time is one batch: a request of its own
            # for each message costs broker and client several times as much.
            "linger.ms": 0.5,
            **self._client(),
            "message.timeout.ms": int(self.timeout),
        }

    def consumer(self) -> Properties:
        classic = {"partition.assignment.strategy": "cooperative-sticky"}
        return {
            "auto.offset.reset": "earliest",
            "auto.commit.interval.ms": 1000,
            # Its default of 1 s is how long a partition rests once so much
            # is fetched, however soon that is consumed.
            "fetch.queue.backoff.ms": 10,
            **(classic if self._has_classic_group() else {}),
            **self._client(),
            "group.id": self.group_id,
            "enable.auto.commit": True,
            "enable.auto.offset.store": False,
        }

    def admin(self, *, auto_create: bool = False) -> Properties:
        return {
            **self._client(),
            "allow.auto.create.topics": auto_create,
            # The other clients say the same.
            "log_level": 0,
        }

    def _has_classic_group(self) -> bool:
        return bool(
            self.librdkafka.get("group.protocol", "classic") == "classic"
        )

    def _client(self) -> Properties:
        return {
            "reconnect.backoff.max.ms": 1000,
            "topic.metadata.refresh.interval.ms": 10_000,
            **{
                name: str(value).lower() if isinstance(value, bool) else value
                for name, value in self.librdkafka.items()
            },
            "bootstrap.servers": self.servers,
            "allow.auto.create.topics": False,
        }


def require(holds: object, what: str) -> None:
    if not holds:
        raise ValueError(f"config: {what}")


def require_topic(key: str, name: str, *, pattern: bool = False) -> None:
    require(
        TOPIC.fullmatch(name) or (pattern and name.startswith("^")),
        f"{key} may have letters, digits, '.', '_' and '-',"
        f" 249 at most: {name!r:.300}",
    )


def shown(value: object) -> str:
    """JSON of one line, for a text; what is long is cut."""
    try:
        return f"{json.dumps(value):.200}"
    except RecursionError:
        return "too deep to be shown"


def shown_name(name: str) -> str:
    return shown(name).strip('"')


def is_text(value: object) -> bool:
    """confluent-kafka ends the process at a group that is none."""
    return (
        isinstance(value, str) and bool(value.strip()) and is_c_string(value)
    )


def is_c_string(value: str) -> bool:
    """Whether librdkafka sees the whole of it."""
    try:
        return b"\0" not in value.encode()
    except UnicodeEncodeError:
        # JSON may have half of a surrogate pair.
        return False


def is_integer(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and is_number(value, least, most)


def is_number(value: object, least: int, most: int) -> bool:
    return (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and least <= value <= most
    )
