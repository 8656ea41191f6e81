# SPDX-License-Identifier: BSD-2-Clause
"""Measures produce and consume, interleaved; see bench/README.md."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    NewTopic,
)

from tests.kafka.broker import KafkaBroker

from ..__main__ import chosen, on_signal, positive, say
from ..cells import Cell, Row
from ..measure import run, sample
from ..process import BenchError, cpu
from ..server import OUT, Server, environ
from .report import report
from .results import ALONE, JSON, TABLES, Consumed, Produced, Results
from .rows import (
    CELLS,
    ECHO,
    MAIN,
    PARTITIONS,
    SIZE,
    consume_row,
    produce_rows,
)

# the last that takes what lua-resty-kafka 0.07 sends
VERSION = "3.9.1"
JVM = ("-Xms1g", "-Xmx1g")
FILLED = "filled"
MAX = 500
CALLS = 4
WARM_UP = 10
PATIENCE = 60.0


class KafkaServer(Server):
    def probe(self, cell: Cell) -> None:
        """One message, which must be acknowledged."""
        status, body = self.ask("POST", cell.path, b"x" * cell.size)
        if status != 200:
            raise BenchError(f"{cell.name}: {status} {body[:300].decode()}")

    def ask(
        self, method: str, path: str, body: bytes | None = None
    ) -> tuple[int, bytes]:
        client = http.client.HTTPConnection(
            "127.0.0.1", self.port, timeout=PATIENCE
        )
        try:
            client.request(method, path, body)
            response = client.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            raise BenchError(f"{path}: {error!r}") from error
        finally:
            client.close()


class Bench:
    def __init__(
        self, broker: KafkaBroker, sockets: Path, rounds: int, seconds: int
    ) -> None:
        self.broker = broker
        self.sockets = sockets
        self.rounds = rounds
        self.seconds = seconds
        self.messages = positive("BENCH_MESSAGES", 500_000)
        self.results = Results()
        self.servers: dict[str, KafkaServer] = {}
        self.looker = Consumer(
            {"bootstrap.servers": broker.address, "group.id": "looker"}
        )
        rows = produce_rows(broker.address)
        self.rows = chosen("BENCH_ROWS", rows, [row.key for row in rows])
        self.cells = chosen("BENCH_CELLS", CELLS, [c.name for c in CELLS])
        self.consumer = KafkaServer(
            consume_row(broker.address, FILLED), sockets
        )

    # -- life

    def start(self) -> None:
        names = [FILLED, *(row.key for row in self.rows if row.key != ECHO)]
        admin = AdminClient({"bootstrap.servers": self.broker.address})
        topics = [NewTopic(name, PARTITIONS) for name in names]
        for made in admin.create_topics(topics).values():
            made.result(30)
        self.fill()
        for row in self.rows:
            server = KafkaServer(row, self.sockets)
            self.servers[row.key] = server
            try:
                server.start()
            except BenchError as error:
                self.drop(row, error)
            else:
                server.pause()
        self.consumer.start()
        self.consumer.pause()

    def fill(self) -> None:
        producer = Producer(
            {
                "bootstrap.servers": self.broker.address,
                "linger.ms": 5,
                "queue.buffering.max.messages": 0,
            }
        )
        for number in range(self.messages):
            producer.produce(
                FILLED, b"x" * SIZE, partition=number % PARTITIONS
            )
            if number % 10_000 == 0:
                producer.poll(0)
        if producer.flush(PATIENCE):
            sys.exit("bench: the broker does not take messages")

    def drop(self, row: Row, reason: BenchError) -> None:
        say(f"{row.key} is left out: {reason}")
        self.results.notes.append(f"{row.title}: left out: {reason}")
        self.servers.pop(row.key).stop()

    def stop(self) -> None:
        for server in (*self.servers.values(), self.consumer):
            server.stop()
        self.looker.close()

    def size(self, topic: str) -> int:
        """How many messages the topic has."""
        return sum(
            self.looker.get_watermark_offsets(
                TopicPartition(topic, partition), PATIENCE
            )[1]
            for partition in range(PARTITIONS)
        )

    def broker_cpu(self) -> int:
        return cpu(self.broker.pid)

    # -- produce

    def turns(self) -> Iterator[tuple[int, Cell, Row]]:
        for turn in range(self.rounds):
            for cell in self.cells:
                first = turn % len(self.rows)
                for row in self.rows[first:] + self.rows[:first]:
                    yield turn, cell, row

    def warm_up(self) -> None:
        """The JVM compiles what it has seen often enough."""
        for row in self.rows:
            if server := self.servers.get(row.key):
                say(f"warm-up {row.key}")
                server.resume()
                sample(server, MAIN, WARM_UP)
                server.pause()

    def produce(self) -> None:
        turns = list(self.turns())
        for number, (turn, cell, row) in enumerate(turns):
            if row.key not in self.servers:
                continue
            say(
                f"{number + 1}/{len(turns)}: round {turn + 1} {cell.name}"
                f" {row.key}"
            )
            server = self.servers[row.key]
            try:
                server.resume()
                server.probe(cell)
                self.results.add(row, cell, turn, self.produced(server, cell))
            except BenchError as error:
                self.drop(row, error)
            else:
                server.pause()

    def produced(self, server: KafkaServer, cell: Cell) -> Produced:
        topic = server.row.key
        real = topic != ECHO
        size = self.size(topic) if real else 0
        before = self.broker_cpu()
        found = sample(server, cell, self.seconds)
        cost = self.broker_cpu() - before
        answered = found.requests - found.errors
        # wrk drops its connections at the end: what they asked is done
        time.sleep(0.5)
        there = self.size(topic) - size if real else answered
        return Produced(
            **vars(found),
            broker=cost / 1000 / max(answered, 1),
            missing=max(answered - there, 0),
        )

    # -- consume

    def consume(self) -> None:
        ways = [ALONE, JSON, TABLES]
        for turn in range(self.rounds):
            first = turn % len(ways)
            for key in ways[first:] + ways[:first]:
                say(f"round {turn + 1} consume {key}")
                try:
                    found = self.consumed(key, f"{key}-{turn}")
                except BenchError as error:
                    say(f"{key} is left out: {error}")
                    self.results.notes.append(f"consume {key}: {error}")
                    ways.remove(key)
                else:
                    self.results.add_consumed(key, turn, found)

    def consumed(self, key: str, group: str) -> Consumed:
        before = self.broker_cpu()
        if key == ALONE:
            found, spent = self.consume_alone(group)
        else:
            found, spent = self.consume_in_nginx(group, key)
        count = found["messages"]
        return Consumed(
            rate=count / found["seconds"],
            client=spent / 1000 / count,
            broker=(self.broker_cpu() - before) / 1000 / count,
        )

    def consume_alone(self, group: str) -> tuple[dict[str, float], int]:
        began = os.times()
        command = [sys.executable, "-m", "bench.kafka.alone"]
        command += [self.broker.address, FILLED, group]
        output = run([*command, str(self.messages), str(MAX)], environ())
        ended = os.times()
        spent = (
            ended.children_user
            + ended.children_system
            - began.children_user
            - began.children_system
        )
        found: dict[str, float] = json.loads(output)
        return found, int(spent * 1e9)

    def consume_in_nginx(
        self, group: str, key: str
    ) -> tuple[dict[str, float], int]:
        server = self.consumer
        path = f"/consume?group={group}&count={self.messages}"
        path += f"&max={MAX}&calls={CALLS}"
        path += "&tables=1" if key == TABLES else ""
        server.resume()
        began = server.cpu()
        status, body = server.ask("GET", path)
        spent = server.cpu() - began
        server.pause()
        if status != 200:
            raise BenchError(f"consume: {status}, see {server.folder}")
        found: dict[str, float] = json.loads(body)
        return found, spent.nginx + spent.python


def main() -> None:
    if not shutil.which("wrk"):
        sys.exit("bench: there is no wrk")
    signal.signal(signal.SIGTERM, on_signal)
    OUT.mkdir(parents=True, exist_ok=True)
    rounds, seconds = positive("BENCH_ROUNDS", 5), positive("BENCH_SECONDS", 3)
    version = os.environ.get("BENCH_KAFKA") or VERSION
    settings = {"kafka": version, "rounds": rounds, "seconds": seconds}
    properties = {"connections.max.idle.ms": "3600000"}
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as sockets,
        KafkaBroker(properties, version=version, jvm=JVM) as broker,
    ):
        bench = Bench(broker, Path(sockets), rounds, seconds)
        bench.results.notes.append(f"broker: Apache Kafka {version}")
        try:
            bench.start()
            bench.warm_up()
            bench.produce()
            bench.consume()
        finally:
            bench.stop()
    report(bench.results, settings)


if __name__ == "__main__":
    main()
