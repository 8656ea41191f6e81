# SPDX-License-Identifier: BSD-2-Clause
"""The group's member: the one thread that calls librdkafka's consumer."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any, Protocol

from confluent_kafka import (
    OFFSET_INVALID,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from .config import INSTANCE_ID, Config
from .health import Health
from .instance import Claim, is_taken
from .journal import Journal
from .ledger import Key
from .progress import describe
from .topics import NO_TOPIC, RETRY, Topics
from .worker import Worker

# Seconds.
SLICE = 0.2
IDLE = 1.0
REVOKE = 5.0
ASK = 1.0
FENCED = 5.0
WELL = 3.0

# Messages fetched at once.
BATCH = 1000

NO_FAULT = {
    KafkaError._PARTITION_EOF,
    KafkaError._MAX_POLL_EXCEEDED,
    KafkaError._ALL_BROKERS_DOWN,
}

# A newer member has its group.instance.id; part of librdkafka's text.
IS_FENCED = KafkaError(KafkaError.FENCED_INSTANCE_ID).str()

log = logging.getLogger("ffi.kafka")


class Listener(Protocol):
    """What the thread tells, on the event loop and in this order."""

    def assigned(self, keys: Sequence[Key]) -> None: ...

    def arrived(self, messages: Sequence[Message]) -> None:
        """No more come than `Member.want` has asked for."""

    def failed(self, fault: str) -> None:
        """Kafka refuses to give messages."""

    async def revoked(self, keys: Sequence[Key]) -> dict[Key, int]:
        """What to commit of these before another member has them."""

    def lost(self, keys: Sequence[Key]) -> None:
        """Another member has them already."""


class Member(Worker):
    """Polls when it is told to, and keeps the membership while it is not.

    `want`, `store`, `stats` and `close` are the event loop's; all else is
    the thread's.
    """

    def __init__(
        self,
        config: Config,
        journal: Journal,
        topics: Topics,
        claim: Claim,
        listener: Listener,
    ) -> None:
        """Raises what librdkafka has against the config."""
        super().__init__("kafka-consume")
        self._config = config
        self._journal = journal
        self._topics = topics
        self._claim = claim
        self._listener = listener
        self._client = self._make_client()
        # Guarded by it: what the loop has told.
        self._changed = threading.Condition()
        self._wanted = 0
        self._positions: dict[Key, int] = {}
        self._questions: list[Future[list[dict[str, Any]]]] = []
        self._closed = False
        # The thread's.
        self._version = 0
        self._paused = False
        self._polled_at = 0.0
        self._batch: list[Message] = []
        self._health = Health()
        self._is_fenced = False
        # The fault that those who wait, and the log, have been told.
        self._told: str | None = None
        self._told_at = self._ill_at = 0.0
        self._logged: str | None = None

    def _make_client(self) -> Consumer:
        return Consumer(
            {
                **self._config.consumer(),
                "error_cb": self._journal.on_error,
                "logger": self._journal,
            }
        )

    # ---- for the event loop

    def want(self, number: int) -> None:
        """Fetch so many messages, as far and as soon as they are there."""
        with self._changed:
            self._wanted = number
            if number:
                self._changed.notify()

    def store(self, positions: dict[Key, int]) -> None:
        """They are committed soon."""
        with self._changed:
            self._positions.update(positions)
            self._changed.notify()

    async def stats(self) -> list[dict[str, Any]]:
        """How far each partition is; asks the broker."""
        future: Future[list[dict[str, Any]]] = Future()
        with self._changed:
            self._questions.append(future)
            self._changed.notify()
        return await asyncio.wrap_future(future)

    @property
    def fault(self) -> str | None:
        """Why no message comes, where that is the member's fault."""
        if not self._claim.is_mine:
            return self._about(
                f"{INSTANCE_ID} {self._config.instance_id}: the runtime before"
                " this one has not left the group yet"
            )
        fault = self._health.fault
        return None if fault is None else self._about(fault)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()

    # ---- the thread

    def run(self) -> None:
        try:
            while not self._closed:
                self._try_turn()
            self._client.close()
        except Exception:
            log.exception("ffi.kafka: leave")
        finally:
            self._claim.release()

    def _try_turn(self) -> None:
        try:
            self._turn()
        except Exception as exc:
            text = self._journal.describe(exc)
            if not isinstance(exc, KafkaException):
                log.exception("ffi.kafka: consume")
            elif exc.args[0].code() == KafkaError._FATAL:
                self._spend(text)
            self._fail(text)
            time.sleep(RETRY)

    def _turn(self) -> None:
        with self._changed:
            self._changed.wait_for(self._is_asked, IDLE)
            wanted, questions = self._wanted, self._questions
            self._questions = []
        self._store()
        if questions:
            self._answer(questions)
        if wanted:
            now = time.monotonic()
            self._health.look(now)
            if self._health.is_due(now):
                self._renew()
            self._fetch(min(wanted, BATCH))
        elif time.monotonic() - self._polled_at >= IDLE:
            self._rest()
        self._tell()

    def _is_asked(self) -> bool:
        return bool(
            self._wanted or self._positions or self._questions or self._closed
        )

    def _fetch(self, number: int) -> None:
        if self._paused:
            self._client.resume(self._client.assignment())
            self._paused = False
        if (
            self._topics.ready.is_set()
            and self._claim.is_mine
            and not self._health.is_spent
        ):
            self._subscribe()
        self._poll(number, SLICE)

    def _rest(self) -> None:
        """Stays a member while nobody asks, without taking messages.

        One that comes all the same is handed over, to be kept.
        """
        if self._version:
            self._client.pause(self._client.assignment())
            self._paused = True
        self._poll(1, 0)

    def _poll(self, number: int, seconds: float) -> None:
        self._polled_at = time.monotonic()
        first = self._client.poll(seconds)
        if first is None:
            return
        self._batch.append(first)
        if number > 1:
            # In here a rebalance may take the first away again.
            self._batch += self._client.consume(number - 1, 0)
        messages, self._batch = self._batch, []
        faults = [each for each in messages if each.error() is not None]
        if faults:
            messages = [each for each in messages if each.error() is None]
            for message in faults:
                self._report(message)
        if messages:
            with self._changed:
                self._wanted = max(self._wanted - len(messages), 0)
            self._health.arrived(map(key_of, messages))
            self.post(self._listener.arrived, messages)

    def _report(self, message: Message) -> None:
        error: Any = message.error()
        code, key = error.code(), key_of(message)
        text = self._journal.clean(error.str())
        if code in NO_FAULT:
            return
        if code == KafkaError._FATAL:
            self._spend(text)
        elif message.topic() is None:
            self._health.suffer(text, time.monotonic())
        elif code in NO_TOPIC:
            self._topics.renew(message.topic())
        elif key in self._health.keys:
            text = f"{key[0]}[{key[1]}]: {text}"
            self._health.suffer(text, time.monotonic(), key=key)
        else:
            # Of a topic: who looks after these finds it out as well.
            self._fail(text)

    def _fail(self, why: str) -> None:
        fault = self._about(why)
        self._journal.say(logging.ERROR, "consume", "consume: %s", fault)
        self.post(self._listener.failed, fault)

    def _about(self, why: str) -> str:
        return self._journal.clean(f"{self._config.place}: {why}")

    # ---- its health

    def _tell(self) -> None:
        """The log of what is new; who waits of that, and each second while
        no message can come.
        """
        fault, now = self._health.fault, time.monotonic()
        if fault is not None:
            self._ill_at = now
            if fault != self._told or (
                self._health.is_silent and now - self._told_at >= RETRY
            ):
                self._told_at = now
                # It may be no more than that Kafka is away.
                why = self._topics.fault or self._about(fault)
                self.post(self._listener.failed, why)
                self._topics.look()
        self._told = fault
        is_sure = fault is not None or now - self._ill_at >= WELL
        if fault != self._logged and is_sure:
            level = logging.WARNING if fault is None else logging.ERROR
            text = self._about(fault or "a member works again")
            if self._journal.say(level, "member", "consume: %s", text):
                self._logged = fault

    def _spend(self, text: str) -> None:
        if self._health.is_spent:
            return
        self._is_fenced = IS_FENCED in text
        if self._is_fenced:
            text = (
                f"{INSTANCE_ID} {self._config.instance_id} is a newer member's"
                f" now; this one waits until that has gone: {text}"
            )
        self._health.spend(text, time.monotonic())
        self._lose(list(self._health.keys))

    def _renew(self) -> None:
        """Another client, as another member."""
        now = time.monotonic()
        if self._is_fenced and is_taken(self._config, ASK):
            self._health.wait(now, FENCED)
            return
        fault = self._health.fault
        client = self._make_client()
        self._client.close()
        # A client that is spent tells nobody.
        self._lose(list(self._health.keys))
        self._client = client
        self._health.renewed(fault)
        self._is_fenced = self._paused = False
        self._version = 0
        # It has a moment to join.
        self._told_at = now

    def _subscribe(self) -> None:
        version = self._topics.version
        if self._version == version:
            return
        if self._version:
            # A member that has joined misses that its topic is a new one.
            self._forget()
            self._client.unsubscribe()
        self._client.subscribe(
            self._config.topics,
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_lost,
        )
        self._health.joining(time.monotonic())
        self._version = version

    def _store(self) -> None:
        with self._changed:
            positions, self._positions = self._positions, {}
        if positions:
            with unless_lost():
                self._client.store_offsets(offsets=places(positions))

    def _forget(self) -> None:
        """Leaves uncommitted what was stored."""
        keys = keys_of(self._client.assignment())
        if keys:
            with unless_lost():
                self._client.store_offsets(
                    offsets=places(dict.fromkeys(keys, OFFSET_INVALID))
                )

    # ---- rebalances, in a call of the consumer's

    def _on_assign(
        self, client: Consumer, parts: Sequence[TopicPartition]
    ) -> None:
        # Those it has had before stay paused.
        keys = keys_of(parts)
        self._health.assigned(keys)
        self.post(self._listener.assigned, keys)

    def _on_revoke(
        self, client: Consumer, parts: Sequence[TopicPartition]
    ) -> None:
        keys = keys_of(parts)
        self._health.gone(keys)
        self._drop(keys)
        try:
            positions = self._ask(self._listener.revoked, keys)
            self._drop(keys)
            if positions and self._topics.ready.is_set():
                offsets = places(positions)
                # It commits what it has stored behind this, be it older.
                with unless_lost():
                    client.store_offsets(offsets=offsets)
                client.commit(offsets=offsets, asynchronous=False)
        except Exception as exc:
            text = self._journal.describe(exc)
            log.warning("ffi.kafka: the last commit failed: %s", text)

    def _on_lost(
        self, client: Consumer, parts: Sequence[TopicPartition]
    ) -> None:
        self._health.joining(time.monotonic())
        self._lose(keys_of(parts))

    def _lose(self, keys: Sequence[Key]) -> None:
        self._health.gone(keys)
        self._drop(keys)
        self.post(self._listener.lost, keys)

    def _drop(self, keys: Sequence[Key]) -> None:
        """What is under way of these, to the loop and from it."""
        gone = set(keys)
        self._batch = [
            message for message in self._batch if key_of(message) not in gone
        ]
        with self._changed:
            for key in gone:
                self._positions.pop(key, None)

    def _ask(
        self,
        question: Callable[[Sequence[Key]], Awaitable[dict[Key, int]]],
        keys: Sequence[Key],
    ) -> dict[Key, int]:
        async def ask() -> dict[Key, int]:
            return await question(keys)

        coroutine = ask()
        try:
            future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except RuntimeError:
            # The loop has not waited for this thread.
            coroutine.close()
            return {}
        return future.result(REVOKE)

    # ---- stats

    def _answer(self, questions: list[Future[list[dict[str, Any]]]]) -> None:
        try:
            rows = describe(self._client, ASK)
        except Exception as exc:
            for question in questions:
                question.set_exception(exc)
            return
        for question in questions:
            question.set_result(rows)


def key_of(message: Message) -> Key:
    topic: Any = message.topic()
    partition: Any = message.partition()
    return topic, partition


def keys_of(parts: Sequence[TopicPartition]) -> list[Key]:
    return [(part.topic, part.partition) for part in parts]


def places(offsets: dict[Key, int]) -> list[TopicPartition]:
    return [
        TopicPartition(topic, partition, offset)
        for (topic, partition), offset in offsets.items()
    ]


@contextlib.contextmanager
def unless_lost() -> Iterator[None]:
    """A partition may be another member's by now, which starts over."""
    try:
        yield
    except KafkaException as exc:
        if exc.args[0].code() != KafkaError._STATE:
            raise
