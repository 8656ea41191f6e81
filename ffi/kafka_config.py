"""What ffi.kafka is told, and what it tells librdkafka."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass, field
from typing import Any

TIMEOUT_MS = 55_000
LONGEST_TIMEOUT_MS = 24 * 3600 * 1000

TOPIC = re.compile(r"(?!\.{1,2}$)[a-zA-Z0-9._-]{1,249}")

NEEDED = ("servers", "topic", "group_id")
KEYS = (*NEEDED, "timeout", "options")

# These have keys of their own, or are what the module promises.
OURS = {
    "bootstrap.servers",
    "metadata.broker.list",
    "group.id",
    "message.timeout.ms",
    "delivery.timeout.ms",
    "allow.auto.create.topics",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "delivery.report.only.error",
    "error_cb",
    "logger",
}

log = logging.getLogger("ffi.kafka")


@dataclass(frozen=True)
class Config:
    """
    servers   "host:port", several separated by commas
    topic     created with one partition where it is missing
    group_id  the consumer group
    timeout   ms (55 000): within it a produce is acknowledged or fails,
              and a consume has its message, or ends without one; it must
              be less than the time the callers wait
    options   properties of librdkafka (TLS, SASL, compression.type, ...)
    """

    servers: str
    topic: str
    group_id: str
    timeout: float = TIMEOUT_MS
    options: dict[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Raises ValueError that names the key."""
        for key in NEEDED:
            value = getattr(self, key)
            require(
                isinstance(value, str) and value.strip(),
                f"{key} must be a non-empty string",
            )
        require(
            TOPIC.fullmatch(self.topic),
            "topic may have letters, digits, '.', '_' and '-',"
            f" 249 at most: {self.topic!r}",
        )
        require(
            isinstance(self.timeout, (int, float))
            and not isinstance(self.timeout, bool)
            and 1 <= self.timeout <= LONGEST_TIMEOUT_MS,
            f"timeout must be a number (ms) from 1 to {LONGEST_TIMEOUT_MS}",
        )
        require(isinstance(self.options, dict), "options must be an object")
        for name, value in self.options.items():
            require(name not in OURS, f"options: {name} is not free")
            require(
                isinstance(value, (str, int, float)),
                f"options: {name} must be a string, a number or a boolean",
            )

    @classmethod
    def parse(cls, text: bytes | None) -> Config:
        """Raises ValueError that says what is wrong."""
        require(text, f"is missing: a JSON object with {', '.join(NEEDED)}")
        try:
            values = json.loads(text or b"")
        except (ValueError, RecursionError) as exc:
            raise ValueError(f"config: is not JSON: {exc}") from None
        require(isinstance(values, dict), "must be a JSON object")
        for key in NEEDED:
            require(key in values, f"{key} is missing")
        known = {key: values.pop(key) for key in KEYS if key in values}
        if values:
            names = ", ".join(values)
            log.warning("ffi.kafka: config: unknown keys: %s", names)
        return cls(**known)

    def producer(self) -> dict[str, Any]:
        return {
            "acks": "all",
            # Batches form while a request is under way; more than one
            # could change the order when it has to be repeated.
            "linger.ms": 0,
            "max.in.flight.requests.per.connection": 1,
            **self._client(),
            "message.timeout.ms": int(self.timeout),
        }

    def consumer(self) -> dict[str, Any]:
        return {
            "auto.offset.reset": "earliest",
            "auto.commit.interval.ms": 1000,
            **self._client(),
            "group.id": self.group_id,
            "enable.auto.commit": True,
            "enable.auto.offset.store": False,
        }

    def admin(self, *, auto_create: bool = False) -> dict[str, Any]:
        return {
            **self._client(),
            "allow.auto.create.topics": auto_create,
            # The other clients say the same.
            "log_level": 0,
        }

    def _client(self) -> dict[str, Any]:
        return {
            "reconnect.backoff.max.ms": 1000,
            "topic.metadata.refresh.interval.ms": 10_000,
            **self.options,
            "bootstrap.servers": self.servers,
            "allow.auto.create.topics": False,
        }


def require(holds: object, what: str) -> None:
    if not holds:
        raise ValueError(f"config: {what}")
