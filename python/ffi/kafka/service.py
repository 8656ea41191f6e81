# SPDX-License-Identifier: BSD-2-Clause
"""The requests, and who answers them."""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any

from confluent_kafka import KafkaException, Message

from resty_ffi import Call, Error, current, on_unload, serve

from . import wire
from .config import Config, shown
from .consumer import ConsumeError, Receiver
from .instance import Claim
from .journal import Journal
from .ledger import Entry, RevokedError
from .producer import CLOSE, FullError, Outcome, Sender
from .stream import Options, Stream
from .topics import Topics
from .wire import BAD_REQUEST, FAILED, FULL, REVOKED

# The method whose request is the message itself; a name that no Lua code
# has by chance.
PRODUCE_BYTES = "produce bytes"

# What an answer needs to get back in time: a share of the time left, of at
# most so many seconds.
MARGIN = 0.1
LONGEST_MARGIN = 1.0

# Seconds until a dead letter that Kafka did not take is sent again.
BURY_AGAIN = 5.0

Answer = Coroutine[Any, Any, bytes | None]

log = logging.getLogger("ffi.kafka")


@serve
class Service:
    """Makes its clients at once; they connect in the background."""

    def __init__(self, config: str) -> None:
        """Raises ValueError that says what is wrong with the config."""
        self._config = Config.parse(config)
        self._loop = asyncio.get_running_loop()
        self._handlers: dict[object, Callable[[Any], Answer]] = {
            "ack": self._ack,
            "nack": self._nack,
            "stats": self._stats,
            "end": self._end,
        }
        self._streams: set[Stream] = set()
        self._funerals: set[asyncio.Task[None]] = set()
        self._dead_letters = 0
        self._skipped = 0
        self._receiver: Receiver | None = None
        self._journal = Journal(
            self._config.secrets, lambda: self._topics.look()
        )
        self._topics = Topics(self._config, self._journal, self._refused)
        self._claim = Claim(self._config)
        try:
            self._sender = Sender(self._config, self._journal, self._topics)
            if self._config.group_id is not None:
                self._receiver = Receiver(
                    self._config,
                    self._journal,
                    self._topics,
                    self._claim,
                    self._dead,
                )
        except (KafkaException, TypeError, ValueError) as exc:
            self._claim.release()
            text = self._journal.describe(exc)
            raise ValueError(f"config: librdkafka: {text}") from None
        on_unload(self._unload)
        self._topics.start()
        self._sender.start()
        if self._receiver:
            self._receiver.start()

    def __call__(
        self, raw: bytes
    ) -> asyncio.Future[Any] | AsyncGenerator[bytes, None]:
        call = current()
        try:
            if call.method == PRODUCE_BYTES:
                topic = wire.parse_topic(None, self._config.default_topic)
                return self._sender.deliver(wire.Outgoing(topic, raw))
            request = wire.parse(raw)
            kind = request.get("type")
            if kind == "produce":
                return self._produce(request)
            if kind == "consume":
                return self._answer(self._consume(call, request))
            if kind == "stream":
                return self._stream(call, request)
            handler = self._handlers.get(kind) if type(kind) is str else None
            if handler is None:
                raise wire.RequestError(f"unknown type: {shown(kind)}")
            return self._answer(handler(request))
        except wire.RequestError as exc:
            raise Error(BAD_REQUEST, str(exc)) from None
        except FullError as exc:
            raise Error(FULL, str(exc)) from None

    def _answer(self, answer: Answer) -> asyncio.Future[Any]:
        return self._loop.create_task(self._run(answer))

    async def _run(self, answer: Answer) -> bytes | None:
        try:
            return await answer
        except wire.RequestError as exc:
            raise Error(BAD_REQUEST, str(exc)) from None
        except ConsumeError as exc:
            raise Error(FAILED, str(exc)) from None
        except RevokedError:
            raise Error(REVOKED, "partition revoked") from None

    async def close(self) -> None:
        for funeral in self._funerals:
            funeral.cancel()
        self._topics.close()
        self._sender.close()
        closing = [self._sender.wait(CLOSE + 1)]
        if self._receiver:
            closing.append(self._receiver.close(CLOSE + 1))
        await asyncio.gather(*closing)

    # ---- requests

    def _produce(self, request: wire.Object) -> asyncio.Future[Any]:
        messages = wire.parse_messages(request, self._config.default_topic)
        is_list = "messages" in request
        report = wire.parse_flag(request, "report")
        if not (is_list or report):
            return self._sender.deliver(messages[0])
        futures = self._send(messages)
        return self._loop.create_task(
            self._produced(futures, is_list=is_list, report=report)
        )

    async def _produced(
        self,
        futures: list[asyncio.Future[Outcome]],
        *,
        is_list: bool,
        report: bool,
    ) -> bytes | None:
        outcomes = [await future for future in futures]
        faults = [text for text in outcomes if isinstance(text, str)]
        if report and is_list:
            body = wire.encode([self._report(each) for each in outcomes])
            if faults:
                raise Error(FAILED, body)
            return body
        if faults:
            raise Error(FAILED, self._summary(faults, len(outcomes)))
        return wire.encode(self._report(outcomes[0])) if report else None

    def _send(
        self, messages: list[wire.Outgoing]
    ) -> list[asyncio.Future[Outcome]]:
        futures: list[asyncio.Future[Outcome]] = []
        for message in messages:
            try:
                future = self._sender.send(message)
            except FullError as exc:
                if not futures:
                    raise
                future = self._loop.create_future()
                future.set_result(str(exc))
            futures.append(future)
        return futures

    def _report(self, outcome: Outcome) -> wire.Object:
        if isinstance(outcome, str):
            return {"error": outcome}
        return {
            "topic": outcome.topic(),
            "partition": outcome.partition(),
            "offset": outcome.offset(),
        }

    def _summary(self, faults: list[str], number: int) -> str:
        if number == 1:
            return faults[0]
        return f"{len(faults)} of {number} messages failed: {faults[0]}"

    async def _consume(self, call: Call, request: wire.Object) -> bytes | None:
        receiver = self._consumer()
        seconds = wire.parse_ms(request, "timeout", self._config.timeout)
        most = wire.parse_max(request)
        offset = wire.parse_flag(request, "report")
        if call.deadline is not None:
            left = call.deadline - time.monotonic()
            margin = min(left * MARGIN, LONGEST_MARGIN)
            seconds = max(min(seconds, left - margin), 0.0)
        entries = await receiver.receive(most or 1, seconds)
        if not entries:
            return None
        try:
            items = [
                item
                for entry in entries
                for item in wire.describe(
                    entry,
                    offset=offset or self._config.manual,
                    count=self._config.manual,
                )
            ]
            body = wire.encode(items[0] if most is None else items)
            call.on_delivered(functools.partial(receiver.settle, entries))
        except BaseException:
            receiver.settle(entries, False)
            raise
        return body

    def _stream(
        self, call: Call, request: wire.Object
    ) -> AsyncGenerator[bytes, None]:
        receiver = self._consumer()
        options = Options.parse(request, self._config.timeout)
        manual = self._config.manual
        stream = Stream(receiver, call, options, manual=manual)
        return stream.parts(self._streams)

    async def _end(self, request: wire.Object) -> None:
        for stream in self._streams:
            stream.end()
        self._consumer().end_streams()

    async def _ack(self, request: wire.Object) -> None:
        self._manual().ack(wire.parse_places(request))

    async def _nack(self, request: wire.Object) -> None:
        self._manual().nack(wire.parse_places(request))

    async def _stats(self, request: wire.Object) -> bytes:
        stats: wire.Object = {
            "assignment": [],
            "producing": len(self._sender),
            "produced": self._sender.produced,
            "failed": self._sender.failed,
        }
        if self._receiver:
            ledger = self._receiver.ledger
            stats |= {
                "assignment": await self._receiver.stats(),
                "waiting": self._receiver.waiting,
                "ready": ledger.ready,
                "outstanding": ledger.outstanding,
                "delivered": ledger.delivered_count,
                "redelivered": ledger.redelivered_count,
                "acked": ledger.acked_count,
                "nacked": ledger.nacked_count,
                "dead_letters": self._dead_letters,
                "skipped": self._skipped,
            }
        return wire.encode(stats)

    def _consumer(self) -> Receiver:
        if self._receiver is None:
            raise wire.RequestError("the config has no group_id to consume in")
        return self._receiver

    def _manual(self) -> Receiver:
        if not self._config.manual:
            raise wire.RequestError('the config does not have "ack":"manual"')
        return self._consumer()

    # ---- what happens by itself

    def _refused(self, fault: str) -> None:
        """Nothing that waits will go through."""
        self._sender.purge(in_flight=False)
        if self._receiver:
            self._receiver.failed(fault)

    def _unload(self) -> None:
        self._claim.leave()
        if self._receiver:
            self._receiver.end_waiting()
        self._loop.call_later(CLOSE, self._give_up)

    def _give_up(self) -> None:
        self._sender.purge(in_flight=True)
        for stream in self._streams:
            stream.cancel()
        if self._receiver:
            # What is on its way still goes to the next owner, too.
            self._receiver.leave()

    def _dead(self, entry: Entry[Message]) -> None:
        task = self._loop.create_task(self._bury(entry))
        self._funerals.add(task)
        task.add_done_callback(self._funerals.discard)

    async def _bury(self, entry: Entry[Message]) -> None:
        """The message is finished when it is in the dead letters."""
        assert self._receiver
        topic, partition = entry.partition.key
        name = f"{topic}[{partition}] offset {entry.offset}"
        if self._config.dead_letter is None:
            log.error(
                "ffi.kafka: %s: skipped, nobody has acknowledged it in %d"
                " deliveries",
                name,
                entry.count,
            )
            self._skipped += 1
            self._receiver.finish(entry)
            return
        letter = wire.dead_letter(self._config.dead_letter, entry)
        while True:
            try:
                outcome = await self._sender.send(letter)
            except FullError as exc:
                outcome = str(exc)
            if not isinstance(outcome, str):
                break
            self._journal.say(
                logging.ERROR,
                "dead letter",
                "%s: not among the dead letters yet: %s",
                name,
                outcome,
            )
            await asyncio.sleep(BURY_AGAIN)
        self._dead_letters += 1
        self._receiver.finish(entry)


init = Service
