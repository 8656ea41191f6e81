# SPDX-License-Identifier: BSD-2-Clause
"""Very many messages, while all sorts of things break."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from tests.integration.client import eventually
from tests.integration.nginx import Nginx

from .broker import KafkaBroker
from .calls import Kafka, base64_of
from .cluster import Cluster
from .connection import Connection, LostError, location

pytestmark = pytest.mark.once

MESSAGES = int(os.environ.get("KAFKA_MESSAGES") or 20_000)
PARTITIONS = 8
PLACE = ("topic", "partition", "offset")
CONNECTIONS = 64
PATIENCE = 300.0


def beside(work: Callable[[], Coroutine[Any, Any, None]]) -> Future[None]:
    """Runs it on an event loop in a thread, as a test is to go on.

    What a thread starts ends with it, so a broker is the test's own.
    """
    future: Future[None] = Future()

    def run() -> None:
        try:
            future.set_result(asyncio.run(work()))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def until(work: Future[None], probe: Callable[[], bool]) -> None:
    """While that goes on."""

    def happened() -> bool:
        if work.done():
            work.result()
            return True
        return probe()

    eventually(happened, patience=PATIENCE)


# ---- produce


def payload(number: int, attempt: int) -> bytes:
    """Bytes that differ from all others, few or many."""
    prefix = b"%d %d " % (number, attempt)
    return prefix + random.Random(prefix).randbytes(number % 500)


class Producers:
    """Sends each number, until an attempt is answered with success."""

    def __init__(self, socket: Path) -> None:
        self.acknowledged: set[bytes] = set()
        self.failed: Counter[str] = Counter()
        self._socket = socket
        self._numbers = iter(range(MESSAGES))

    async def run(self) -> None:
        await asyncio.gather(*(self._produce() for _ in range(CONNECTIONS)))

    async def _produce(self) -> None:
        connection = Connection(self._socket, "/kafka")
        for number in self._numbers:
            attempt = 0
            while not await self._send(connection, payload(number, attempt)):
                attempt += 1
        connection.drop()

    async def _send(self, connection: Connection, value: bytes) -> bool:
        status, text = await connection.ask(
            {
                "type": "produce",
                "msg": base64_of(value),
                "key": base64_of(value[:8]),
                "headers": {"number": base64_of(value.split()[0])},
                "encoding": "base64",
            }
        )
        if status != "0":
            self.failed[f"{status} {text}"] += 1
            return False
        self.acknowledged.add(value)
        return True


def break_broker(
    broker: KafkaBroker, clients: Producers, work: Future[None]
) -> None:
    """Each time until clients have noticed."""

    def wait(count: Callable[[], int], least: int) -> None:
        until(work, lambda: count() >= least)

    for share, end in ((0.2, broker.kill), (0.6, broker.stop)):
        wait(lambda: len(clients.acknowledged), int(share * MESSAGES))
        end()
        wait(clients.failed.total, clients.failed.total() + CONNECTIONS)
        broker.start()


def test_produce_while_the_broker_breaks(
    frail: KafkaBroker, topic: str
) -> None:
    Cluster(frail.address).create(topic, 4)
    kafka = Kafka(None, frail.address, topic, timeout=3000)
    with Nginx(server=location("/kafka", kafka.load)) as nginx:
        clients = Producers(nginx.socket)
        begin = time.monotonic()
        work = beside(clients.run)
        break_broker(frail, clients, work)
        work.result(PATIENCE)
        seconds = time.monotonic() - begin

    found: Counter[bytes] = Counter()
    for message in Cluster(frail.address).read(topic):
        value = message.value()
        assert value is not None
        assert message.key() == value[:8]
        assert message.headers() == [("number", value.split()[0])]
        number, attempt, _ = value.split(b" ", 2)
        assert value == payload(int(number), int(attempt))
        found[value] += 1
    print(
        f"kafka: produce: {seconds:.0f} s, {MESSAGES} messages,"
        f" {len(clients.acknowledged)} acknowledged,"
        f" {len(clients.acknowledged - set(found))} of them missing,"
        f" {clients.failed.total()} attempts failed,"
        f" {len(set(found) - clients.acknowledged)} of them arrived,"
        f" {found.total() - len(found)} duplicates"
    )
    print(clients.failed)
    assert len(clients.acknowledged) == MESSAGES
    assert clients.acknowledged <= set(found)
    assert found.total() == len(found)


# ---- consume


class Consumers:
    """Take messages as careless clients do, until told to end."""

    def __init__(self, seed: int) -> None:
        self.ended = False
        self.seconds = 0.0
        self.counts: Counter[str] = Counter()
        self.received: Counter[int] = Counter()
        # Those that a client has, and has sent an ack for.
        self.acked: set[int] = set()
        # Of these, those whose ack was answered with success.
        self.confirmed: set[int] = set()
        self._random = random.Random(seed)

    async def run(self, sockets: Sequence[Path], uri: str) -> None:
        """uri: of a location; it acknowledges where that is /manual."""
        await asyncio.gather(
            *(
                self._consume(Connection(socket, uri), uri == "/manual")
                for _ in range(CONNECTIONS // len(sockets))
                for socket in sockets
            )
        )

    async def _consume(self, connection: Connection, manual: bool) -> None:
        while not self.ended:
            request = {
                "type": "consume",
                "max": self._random.randint(1, 10),
                "timeout": 300,
            }
            try:
                if self._happens():
                    # In mid-consume, or when the answer is on its way.
                    await connection.send(request)
                    await asyncio.sleep(self._random.uniform(0, 0.02))
                    connection.drop()
                    self.counts["consumes dropped"] += 1
                    continue
                messages = self._take(*await connection.ask(request))
                if not messages:
                    # The next one may be another worker's.
                    connection.drop()
                elif manual:
                    await self._acknowledge(connection, messages)
            except LostError:
                self.counts["connections lost"] += 1
        connection.drop()

    def _happens(self) -> bool:
        return self._random.random() < 0.02

    def _take(self, status: str, text: str) -> list[Any]:
        if status != "0":
            self.counts[f"consume: {status} {text}"] += 1
            return []
        messages = json.loads(text) if text else []
        for message in messages:
            self.received[int(message["value"])] += 1
        return list(messages)

    async def _acknowledge(
        self, connection: Connection, messages: list[Any]
    ) -> None:
        request = {
            "type": "ack",
            "messages": [
                {name: message[name] for name in PLACE} for message in messages
            ],
        }
        numbers = {int(message["value"]) for message in messages}
        if self._happens():
            connection.drop()
            self.counts["clients gone with messages"] += 1
            return
        self.acked |= numbers
        if self._happens():
            await connection.send(request)
            connection.drop()
            self.counts["acks dropped"] += 1
            return
        status, text = await connection.ask(request)
        if status == "0":
            self.confirmed |= numbers
        else:
            self.counts[f"ack: {status} {text}"] += 1

    def report(self, what: str, reached: set[int]) -> None:
        missing = MESSAGES - len(reached)
        again = self.received.total() - len(self.received)
        print(
            f"kafka: consume, {what}: {self.seconds:.0f} s,"
            f" {MESSAGES} messages, {missing} missing, {again} received again"
        )
        for name, count in self.counts.items():
            print(f"  {count} x {name}")


@contextlib.contextmanager
def four_members(
    kafka: Kafka, cluster: Cluster, topic: str, uri: str, note: str = ""
) -> Iterator[tuple[Nginx, Nginx, Consumers, Future[None]]]:
    """Two nginx of two workers each, clients, and messages for them.

    At the end all messages are committed.
    """
    cluster.create(topic, PARTITIONS)
    clients = Consumers(random.randrange(2**32))
    # Whether nginx notices that a client has gone.
    one, other = (
        Nginx(
            workers=2,
            server=location(uri, kafka.load, abort=abort, note=note),
        )
        for abort in (True, False)
    )
    with one, other:
        sockets = [one.socket, other.socket]
        work = beside(lambda: clients.run(sockets, uri))

        def shares() -> list[int]:
            return sorted(map(len, cluster.members(topic).values()))

        until(work, lambda: shares() == [2] * 4)
        begin = time.monotonic()
        cluster.produce(topic, (b"%d" % i for i in range(MESSAGES)))
        ends = cluster.ends(topic)
        yield one, other, clients, work
        until(work, lambda: cluster.committed(topic, topic) == ends)
        clients.seconds = time.monotonic() - begin
        clients.ended = True
        work.result(PATIENCE)


def test_consume_manual_while_workers_end(
    broker: KafkaBroker, cluster: Cluster, topic: str
) -> None:
    kafka = Kafka(
        None,
        broker.address,
        topic,
        ack="manual",
        ack_timeout=3000,
        librdkafka={"session.timeout.ms": 6000},
    )
    with four_members(kafka, cluster, topic, "/manual") as running:
        killed, reloaded, clients, work = running
        killed.allow_log(r"exited on signal 9")
        until(work, lambda: len(clients.acked) > MESSAGES * 0.2)
        pid = min(killed.worker_pids())
        os.kill(pid, signal.SIGKILL)
        killed.wait_successor(pid)
        until(work, lambda: len(clients.acked) > MESSAGES * 0.5)
        reloaded.reload()
    clients.report("manual", clients.acked)
    assert not set(range(MESSAGES)) - clients.acked


# Told by the coroutine that has got them, whether its client lives or not.
NOTE = """
local file = assert(io.open("{path}", "a"))
for value in (ok and res or ""):gmatch('"value":"(%d+)"') do
    file:write(value, " ")
end
file:close()
"""


def test_consume_auto_while_one_reloads(
    broker: KafkaBroker, cluster: Cluster, topic: str, tmp_path: Path
) -> None:
    kafka = Kafka(None, broker.address, topic)
    note = NOTE.format(path=tmp_path / "resumed")
    with four_members(kafka, cluster, topic, "/auto", note) as running:
        _, reloaded, clients, work = running
        until(work, lambda: len(clients.received) > MESSAGES * 0.3)
        reloaded.reload()
    resumed = [int(n) for n in (tmp_path / "resumed").read_text().split()]
    clients.report("auto", set(resumed))
    print(f"  {len(resumed) - len(set(resumed))} resumed with again")
    assert not set(range(MESSAGES)) - set(resumed)
    assert set(clients.received) <= set(resumed)
