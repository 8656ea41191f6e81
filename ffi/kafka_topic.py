"""The topic, kept in being; and what librdkafka says."""

from __future__ import annotations

import logging
import threading
import time
from queue import SimpleQueue

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    NewTopic,
)

from ffi.kafka_config import Config

# Seconds.
RETRY = 1.0
PROBE = 1.0
ADMIN = 3.0
CREATE = 1.0
QUIET = 10.0
RECENT = 60.0

NO_TOPIC = {
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION,
}

log = logging.getLogger("ffi.kafka")


class Journal:
    """librdkafka's log, shortened, and the last error of a connection."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next: dict[str, float] = {}
        self._error = ""
        self._error_at = 0.0

    def log(self, level: int, form: str, *args: str) -> None:
        """Called by librdkafka's clients in place of a logging.Logger."""
        kind, *_, text = args
        with self._lock:
            now = time.monotonic()
            if now < self._next.get(kind, now):
                return
            self._next[kind] = now + QUIET
        log.log(level, "ffi.kafka: %s: %.300s", kind, text)

    def on_error(self, error: KafkaError) -> None:
        # This one only counts the others.
        if error.code() != KafkaError._ALL_BROKERS_DOWN:
            self._error, self._error_at = error.str(), time.monotonic()

    def explain(self, text: str) -> str:
        """Adds what the connection last suffered from, if it is recent."""
        if self._error and time.monotonic() - self._error_at < RECENT:
            return f"{text} ({self._error})"
        return text


class Topic:
    """Sees to it that the topic is there."""

    def __init__(
        self, config: Config, journal: Journal, producer: Producer
    ) -> None:
        self.ready = threading.Event()
        self.version = 0
        self._reason = "no answer from the broker yet"
        self._config = config
        self._journal = journal
        self._producer = producer
        self._closed = threading.Event()
        self._wanted: SimpleQueue[bool] = SimpleQueue()
        self._wanted.put(True)

    def renew(self) -> None:
        """It was gone, even if it is there again."""
        self._reason = "the topic is gone"
        self.ready.clear()
        self.look()

    def look(self) -> None:
        """Finds out whether it is still there, soon."""
        if self._wanted.empty():
            self._wanted.put(True)

    def close(self) -> None:
        self._closed.set()
        self._wanted.put(False)

    def fault(self) -> str | None:
        """Why no message can come, after asking the broker."""
        if not self.ready.is_set():
            return self._journal.explain(self._reason)
        try:
            # A consumer's connection may be held by a fetch that waits.
            if not self._exists(self._producer, PROBE):
                self.renew()
                return self._reason
        except KafkaException as exc:
            return self._journal.explain(describe(exc))
        return None

    def run(self) -> None:
        while self._wanted.get():
            admin: AdminClient | None = None
            while not self._closed.is_set():
                try:
                    if admin is None:
                        admin = AdminClient(self._config.admin())
                    self._make(admin)
                except Exception as exc:
                    self._reason = describe(exc)
                    if not isinstance(exc, KafkaException):
                        log.exception("ffi.kafka: topic")
                if self.ready.is_set():
                    break
                self._closed.wait(RETRY)

    def _make(self, admin: AdminClient) -> None:
        name = self._config.topic
        if not self._exists(admin):
            self.ready.clear()
            try:
                self._create(admin)
            except KafkaException:
                # The broker may do of itself what it refuses to be told.
                creator = AdminClient(self._config.admin(auto_create=True))
                creator.list_topics(name, ADMIN)
                if not self._exists(admin):
                    raise
        self._producer.list_topics(name, ADMIN)
        if not self.ready.is_set():
            self.version += 1
            self.ready.set()

    def _exists(
        self, client: AdminClient | Producer, patience: float = ADMIN
    ) -> bool:
        name = self._config.topic
        error = client.list_topics(name, patience).topics[name].error
        if error is None:
            return True
        if error.code() in NO_TOPIC:
            return False
        raise KafkaException(error)

    def _create(self, admin: AdminClient) -> None:
        name = self._config.topic
        new = NewTopic(name, num_partitions=1)
        done = admin.create_topics([new], request_timeout=CREATE)[name]
        try:
            done.result()
        except KafkaException as exc:
            if exc.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise


def describe(exc: Exception) -> str:
    if isinstance(exc, KafkaException) and exc.args:
        error = exc.args[0]
        return error.str() if isinstance(error, KafkaError) else str(error)
    return f"{type(exc).__name__}: {exc}"
