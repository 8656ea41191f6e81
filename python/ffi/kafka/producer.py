# SPDX-License-Identifier: BSD-2-Clause
"""Produces, as many messages at once as librdkafka's queue takes."""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from resty_ffi import Error

from .config import Config
from .journal import Journal
from .topics import NO_TOPIC, Topics
from .wire import FAILED, Outgoing
from .worker import Worker

# Seconds.
SLICE = 0.2
CLOSE = 3.0

# Seconds without more than a few messages under way until none lingers, and
# seconds until that is looked at again.
QUIET = 0.05
LOOK = 0.02

PURGED = {KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT}

# Where a message is, or why it is not.
Outcome = Message | str
# Called on the loop with a message's future and its outcome.
Settle = Callable[[asyncio.Future[Any], Outcome], object]
Report = tuple[Settle, asyncio.Future[Any], KafkaError | None, Message]

log = logging.getLogger("ffi.kafka")


class FullError(Exception):
    """librdkafka's queue takes no message at the moment."""

    def __str__(self) -> str:
        return "librdkafka's queue is full"


class Sender(Worker):
    """Its methods are the event loop's; the thread serves librdkafka."""

    def __init__(
        self, config: Config, journal: Journal, topics: Topics
    ) -> None:
        """Raises what librdkafka has against the config."""
        super().__init__("kafka-produce")
        self.produced = 0
        self.failed = 0
        self._config = config
        self._journal = journal
        self._topics = topics
        self._client = self._make_client()
        self._is_fatal = False
        self._closed = False
        self._sent = threading.Event()
        # The thread's.
        self._busy_until = 0.0
        self._gathers = False
        self._reports: list[Report] = []
        topics.use(self._client)

    def __len__(self) -> int:
        """Messages that are not acknowledged yet."""
        return len(self._client)

    def send(self, message: Outgoing) -> asyncio.Future[Outcome]:
        """FullError where that is so; the future never fails."""
        return self._send(message, asyncio.Future.set_result)

    def deliver(self, message: Outgoing) -> asyncio.Future[None]:
        """As send; a future that an answer can be made of."""
        return self._send(message, set_answer)

    def _send(self, message: Outgoing, settle: Settle) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = self._loop.create_future()
        try:
            self._client.produce(
                message.topic,
                message.value,
                message.key,
                message.partition,
                on_delivery=functools.partial(self._delivered, settle, future),
                timestamp=message.timestamp,
                headers=message.headers,
            )
        except BufferError:
            self.failed += 1
            raise FullError from None
        except KafkaException as exc:
            settle(future, self._fault(exc.args[0], message.topic))
        if not self._sent.is_set():
            self._sent.set()
        return future

    def purge(self, *, in_flight: bool) -> None:
        """Give up what waits, and what may have arrived already."""
        self._client.purge(True, in_flight, False)

    def close(self) -> None:
        self._closed = True

    # ---- the thread

    def run(self) -> None:
        while not self._closed:
            try:
                self._serve()
            except Exception:
                log.exception("ffi.kafka: produce")
            if self._is_fatal:
                self._renew()
        if self._flush(CLOSE):
            self._client.purge()
            self._flush(1)

    def _serve(self) -> None:
        """Gathers messages to batches only where there are many."""
        waiting = len(self._client)
        under_way = waiting + len(self._reports)
        self._hand_over()
        now = time.monotonic()
        if under_way > self._config.few:
            self._busy_until = now + QUIET
        self._gathers = now < self._busy_until
        if self._gathers:
            self._client.poll(QUIET)
        elif waiting:
            # While it lasts librdkafka lets no message linger.
            self._client.flush(LOOK)
        else:
            self._rest()

    def _rest(self) -> None:
        self._client.poll(0)
        self._sent.clear()
        if not len(self._client):
            self._sent.wait(SLICE)

    def _flush(self, seconds: float) -> int:
        left = self._client.flush(seconds)
        self._hand_over()
        return left

    def _delivered(
        self,
        settle: Settle,
        future: asyncio.Future[Any],
        error: KafkaError | None,
        message: Message,
    ) -> None:
        self._reports.append((settle, future, error, message))
        if not self._gathers:
            self._hand_over()

    def _hand_over(self) -> None:
        if self._reports:
            reports, self._reports = self._reports, []
            self.post(self._resolve, reports)

    def _on_error(self, error: KafkaError) -> None:
        self._journal.on_error(error)
        if error.fatal():
            self._is_fatal = True

    def _renew(self) -> None:
        """An idempotent producer that has lost count sends nothing more."""
        old, self._client = self._client, self._make_client()
        self._is_fatal = False
        self._topics.use(self._client)
        old.purge()
        old.flush(1)
        self._hand_over()

    def _make_client(self) -> Producer:
        return Producer(
            {
                **self._config.producer(),
                "error_cb": self._on_error,
                "logger": self._journal,
            }
        )

    # ---- the loop again

    def _resolve(self, reports: list[Report]) -> None:
        for settle, future, error, message in reports:
            outcome: Outcome = message
            if error is None:
                self.produced += 1
            else:
                outcome = self._fault(error, message.topic())
            # A caller who has gone has cancelled it.
            if not future.done():
                settle(future, outcome)

    def _fault(self, error: KafkaError, topic: str | None) -> str:
        self.failed += 1
        code, text = error.code(), error.str()
        if code in NO_TOPIC:
            self._topics.renew(topic)
        text = f"topic {topic} at {self._config.servers}: {text}"
        if code == KafkaError._MSG_TIMED_OUT:
            self._topics.look()
        if code == KafkaError._MSG_TIMED_OUT or code in PURGED:
            return self._journal.explain(text)
        return self._journal.clean(text)


def set_answer(future: asyncio.Future[None], outcome: Outcome) -> None:
    if isinstance(outcome, str):
        future.set_exception(Error(FAILED, outcome))
    else:
        future.set_result(None)
