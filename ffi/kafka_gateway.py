"""One topic of a Kafka cluster, for many calls at once.

Callbacks (`done`) are called once, from any thread, and soon return.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from confluent_kafka import (
    OFFSET_INVALID,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)

from ffi.kafka_config import Config
from ffi.kafka_topic import NO_TOPIC, RETRY, Journal, Topic, describe

# Seconds.
SLICE = 0.2
IDLE = 1.0
CLOSE = 3.0

NO_FAULT = {KafkaError._PARTITION_EOF, KafkaError._MAX_POLL_EXCEEDED}

# What went wrong, or None.
Sent = Callable[[str | None], None]
# The same, and the message, if there was one.
Received = Callable[[str | None, Message | None], None]

log = logging.getLogger("ffi.kafka")


class Sender:
    """Produces; as many calls at once as librdkafka's queue takes."""

    def __init__(
        self,
        config: Config,
        journal: Journal,
        producer: Producer,
        topic: Topic,
    ) -> None:
        self._config = config
        self._journal = journal
        self._producer = producer
        self._topic = topic
        self._closed = threading.Event()

    def send(self, value: bytes, key: bytes | None, done: Sent) -> None:
        def delivered(error: KafkaError | None, message: Message) -> None:
            done(self._fault(error) if error else None)

        if self._closed.is_set():
            done("closed")
            return
        try:
            self._producer.produce(
                self._config.topic, value, key, on_delivery=delivered
            )
        except KafkaException as exc:
            done(self._fault(exc.args[0]))
        except BufferError:
            done("librdkafka's queue is full")

    def close(self) -> None:
        self._closed.set()

    def run(self) -> None:
        while not self._closed.is_set():
            self._serve(lambda: self._producer.poll(SLICE))
        if self._serve(lambda: self._producer.flush(CLOSE)):
            self._producer.purge()
            self._serve(lambda: self._producer.flush(1))

    def _serve(self, serve: Callable[[], int]) -> int:
        """Serves callbacks; what one raises, their caller would get."""
        try:
            return serve()
        except Exception:
            log.exception("ffi.kafka: produce")
            return 1

    def _fault(self, error: KafkaError) -> str:
        if error.code() in NO_TOPIC:
            self._topic.renew()
        if error.code() == KafkaError._MSG_TIMED_OUT:
            self._topic.look()
            return self._journal.explain(error.str())
        return error.str()


class Receiver:
    """Hands the group's messages, one each, to the calls that wait.

    Kafka is polled for messages only while a call waits.  An offset is
    stored, and so committed, after its message was handed over: each
    message arrives at least once.
    """

    def __init__(
        self, config: Config, consumer: Consumer, topic: Topic
    ) -> None:
        self._config = config
        self._consumer = consumer
        self._topic = topic
        self._version = 0
        self._paused = False
        self._held: deque[Message] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._number = itertools.count()
        self._calls: list[tuple[float, int, Received]] = []

    def receive(self, deadline: float, done: Received) -> None:
        with self._changed:
            if not self._closed:
                call = (deadline, next(self._number), done)
                heapq.heappush(self._calls, call)
                self._changed.notify()
                return
        done(None, None)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()
        while done := self._take():
            done(None, None)

    def run(self) -> None:
        while not self._closed:
            try:
                self._turn()
            except Exception as exc:
                log.exception("ffi.kafka: consume")
                self._fail(describe(exc))
                time.sleep(RETRY)
        try:
            self._leave()
        except Exception:
            log.exception("ffi.kafka: leave")

    def _turn(self) -> None:
        expired = list(iter(lambda: self._take(time.monotonic()), None))
        if expired:
            self._expire(expired)
        elif self._called():
            self._fetch()
        else:
            self._rest()

    def _take(self, until: float = math.inf) -> Received | None:
        with self._changed:
            if self._calls and self._calls[0][0] <= until:
                return heapq.heappop(self._calls)[2]
        return None

    def _called(self) -> bool:
        with self._changed:
            return self._changed.wait_for(
                lambda: bool(self._calls) or self._closed, IDLE
            )

    def _patience(self) -> float:
        with self._changed:
            first = self._calls[0][0] if self._calls else 0.0
        return min(max(first - time.monotonic(), 0.0), SLICE)

    def _fetch(self) -> None:
        if self._paused:
            self._consumer.resume(self._consumer.assignment())
            self._paused = False
        if self._topic.ready.is_set() and self._version < self._topic.version:
            # A member that has joined misses that its topic is a new one.
            self._forget()
            self._consumer.unsubscribe()
            self._consumer.subscribe([self._config.topic])
            self._version = self._topic.version
        if self._held:
            message = self._held.popleft()
        else:
            polled = self._consumer.poll(self._patience())
            if polled is None or self._is_fault(polled):
                return
            message = polled
        if done := self._take():
            done(None, message)
            with unless_lost():
                self._consumer.store_offsets(message)

    def _rest(self) -> None:
        """Stays a member while no call waits, without taking messages."""
        self._consumer.pause(self._consumer.assignment())
        self._paused = True
        message = self._consumer.poll(0)
        if message is not None and not message.error():
            self._held.append(message)

    def _is_fault(self, message: Message) -> bool:
        error = message.error()
        if error is None:
            return False
        if error.code() in NO_TOPIC:
            self._topic.renew()
        elif error.code() not in NO_FAULT and (done := self._take()):
            done(error.str(), None)
        return True

    def _expire(self, calls: Sequence[Received]) -> None:
        fault = self._topic.fault()
        if fault is None and not self._consumer.assignment():
            log.warning(
                "ffi.kafka: no message in time, and no partition of topic"
                " %s assigned: each nginx worker is one member of group %s,"
                " members beyond the number of partitions get nothing",
                self._config.topic,
                self._config.group_id,
            )
        for done in calls:
            done(fault, None)

    def _forget(self) -> None:
        """Leaves uncommitted what was stored."""
        forgotten = [
            TopicPartition(part.topic, part.partition, OFFSET_INVALID)
            for part in self._consumer.assignment()
        ]
        if forgotten:
            with unless_lost():
                self._consumer.store_offsets(offsets=forgotten)

    def _leave(self) -> None:
        if self._topic.fault():
            # close() would wait until a broker takes the offsets.
            self._forget()
        self._consumer.close()

    def _fail(self, fault: str) -> None:
        while done := self._take():
            done(fault, None)


@contextlib.contextmanager
def unless_lost() -> Iterator[None]:
    """A partition may be another member's by now, which starts over."""
    try:
        yield
    except KafkaException as exc:
        if exc.args[0].code() != KafkaError._STATE:
            raise


class Gateway:
    """Makes its clients at once, and connects them in the background."""

    def __init__(self, config: Config) -> None:
        """Raises ValueError for options that librdkafka does not take."""
        journal = Journal()
        shared = {"error_cb": journal.on_error, "logger": journal}
        try:
            producer = Producer({**config.producer(), **shared})
            consumer = Consumer({**config.consumer(), **shared})
        except (KafkaException, TypeError, ValueError) as exc:
            raise ValueError(f"config: options: {describe(exc)}") from None
        self._topic = Topic(config, journal, producer)
        self._sender = Sender(config, journal, producer, self._topic)
        self._receiver = Receiver(config, consumer, self._topic)
        self._threads = [
            threading.Thread(target=part.run, name=name, daemon=True)
            for name, part in (
                ("kafka-produce", self._sender),
                ("kafka-consume", self._receiver),
                ("kafka-topic", self._topic),
            )
        ]
        for thread in self._threads:
            thread.start()

    def produce(self, value: bytes, key: bytes | None, done: Sent) -> None:
        """Calls done when the broker has acknowledged the message."""
        self._sender.send(value, key, done)

    def consume(self, deadline: float, done: Received) -> None:
        """Calls done with a message; without one by time.monotonic()."""
        self._receiver.receive(deadline, done)

    def close(self) -> None:
        """Ends waiting consumes, sends what is on its way, leaves the group.

        Returns when that is done, or takes too long: without a broker.
        """
        self._receiver.close()
        self._sender.close()
        self._topic.close()
        end = time.monotonic() + CLOSE + 1
        # The topic's thread may be asking a broker that does not answer.
        for thread in self._threads[:2]:
            thread.join(max(0.0, end - time.monotonic()))
