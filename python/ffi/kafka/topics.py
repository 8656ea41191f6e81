# SPDX-License-Identifier: BSD-2-Clause
"""The topics, kept in being; and whether Kafka answers."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    NewTopic,
)

from .config import Config
from .journal import Journal
from .worker import Worker

# Seconds.
RETRY = 1.0
PROBE = 1.0
ADMIN = 3.0
CREATE = 1.0

NO_TOPIC = {
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_TOPIC,
}

log = logging.getLogger("ffi.kafka")


class Topics(Worker):
    """Creates those that are missing, and asks the brokers when told to.

    Any thread may ask; none waits for a broker.
    """

    def __init__(
        self,
        config: Config,
        journal: Journal,
        on_refused: Callable[[str], object],
    ) -> None:
        """on_refused: told, on the loop, why nothing will go through."""
        super().__init__("kafka-topic")
        # Grows when a topic is a new one.
        self.version = 0
        self.ready = threading.Event()
        self._config = config
        self._journal = journal
        self._on_refused = on_refused
        self._client: Producer | None = None
        self._admin: AdminClient | None = None
        self._fault: str | None = "no answer from the broker yet"
        self._asked_at: float | None = None
        self._wanted = threading.Event()
        self._closed = threading.Event()
        self._wanted.set()

    def use(self, client: Producer) -> None:
        """To be called before start(): what asks for metadata.

        Not the consumer, whose connection a fetch may hold for a while.
        """
        self._client = client

    def renew(self, topic: str | None) -> None:
        """It was gone, even if it is there again."""
        if topic in self._config.names:
            self._fault = f"topic {topic} is gone"
            self.ready.clear()
            self.look()

    def look(self) -> None:
        """Find out, soon, how things are."""
        self._wanted.set()

    @property
    def fault(self) -> str | None:
        """Why nothing may come, as far as that is known."""
        asked_at = self._asked_at
        if asked_at is not None and time.monotonic() - asked_at >= PROBE:
            return self._explain(self._fault or "no answer from the broker")
        if self._fault is not None:
            return self._explain(self._fault)
        return None

    def close(self) -> None:
        self._closed.set()
        self._wanted.set()

    def run(self) -> None:
        while not self._closed.is_set():
            self._wanted.wait()
            self._wanted.clear()
            while not self._closed.is_set() and not self._is_well():
                self._closed.wait(RETRY)

    def _is_well(self) -> bool:
        self._asked_at = time.monotonic()
        try:
            self._keep()
        except Exception as exc:
            self._fault = self._journal.describe(exc)
            if not isinstance(exc, KafkaException):
                log.exception("ffi.kafka: topic")
        else:
            self._fault = None
            self._journal.on_success()
        finally:
            self._asked_at = None
        if self._fault is not None and self._journal.is_refused:
            self.post(self._on_refused, self._explain(self._fault))
        return self._fault is None

    def _keep(self) -> None:
        """Raises what is wrong."""
        assert self._client
        if not self._config.names:
            self._client.list_topics(timeout=ADMIN)
        for name in self._config.names:
            if not self._exists(self._client, name):
                self.ready.clear()
                if not self._config.create:
                    raise KafkaException(f"there is no topic {name}")
                self._create(name)
                # What a produce needs to know.
                self._exists(self._client, name)
        if not self.ready.is_set():
            self.version += 1
            self.ready.set()

    def _exists(self, client: AdminClient | Producer, name: str) -> bool:
        self._asked_at = time.monotonic()
        error = client.list_topics(name, ADMIN).topics[name].error
        if error is None:
            return True
        if error.code() in NO_TOPIC:
            return False
        raise KafkaException(error)

    def _create(self, name: str) -> None:
        if self._admin is None:
            self._admin = AdminClient(self._config.admin())
        new = NewTopic(
            name,
            num_partitions=self._config.partitions,
            replication_factor=self._config.replication or -1,
        )
        done = self._admin.create_topics([new], request_timeout=CREATE)[name]
        try:
            done.result()
        except KafkaException as exc:
            if exc.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
                return
            # Without a controller it is made when a client asks for it.
            cluster = self._admin.list_topics(timeout=ADMIN)
            if cluster.controller_id in cluster.brokers:
                raise
            creator = AdminClient(self._config.admin(auto_create=True))
            creator.list_topics(name, ADMIN)
            if not self._exists(self._admin, name):
                raise

    def _explain(self, fault: str) -> str:
        return self._journal.explain(f"{self._config.place}: {fault}")
