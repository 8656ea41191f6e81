# SPDX-License-Identifier: BSD-2-Clause
"""A real Apache Kafka broker, in KRaft mode, on free ports of this machine."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BUILD = ROOT / os.environ.get("BUILD_DIR", "build")
POM = HERE / "pom.xml"

READY = "Kafka Server started"
PATIENCE = 60.0
FETCH_PATIENCE = 240.0
# but for what it says of itself each time
MAVEN_ERROR = re.compile(
    r"\[(?:ERROR|FATAL)\] (?!To see the full|Re-run Maven|For more|\[Help)"
)
START_ATTEMPTS = 3

Broker = TypeVar("Broker", bound="KafkaBroker")

# small, and soon there
TEST_JVM = ("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")

LOGGING = [
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",
]

PROPERTIES = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "listeners": "PLAINTEXT://127.0.0.1:{port},"
    "CONTROLLER://127.0.0.1:{controller_port}",
    "advertised.listeners": "PLAINTEXT://127.0.0.1:{port}",
    "controller.listener.names": "CONTROLLER",
    "controller.quorum.bootstrap.servers": "127.0.0.1:{controller_port}",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,"
    "CONTROLLER:PLAINTEXT",
    "log.dirs": "{home}/data",
    "num.partitions": "1",
    "offsets.topic.num.partitions": "1",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.num.partitions": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    # a message of long ago is to stay until it is consumed
    "log.retention.ms": "-1",
    # a broker that was killed may come back only when its session is over
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "500",
}


class FetchError(Exception):
    """Why Maven has not brought the broker's jars, in few lines."""


def jars(version: str | None) -> Path:
    """The broker's jars, fetched once; version: other than pom.xml's."""
    key = POM.read_bytes() + (version or "").encode()
    folder = BUILD / "kafka" / hashlib.sha256(key).hexdigest()[:12]
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as name:
            fetched = Path(name) / "jars"
            fetch(version, fetched)
            # another test run may have been faster
            with contextlib.suppress(OSError):
                fetched.rename(folder)
    return folder


def fetch(version: str | None, folder: Path) -> None:
    log = BUILD / "kafka" / "mvn.log"
    command: list[str | Path] = [
        *("mvn", "-q", "-B", "-Dstyle.color=never", "-f", POM),
        "dependency:copy-dependencies",
        "-DincludeScope=runtime",
        # a relative one would be below the pom's folder
        f"-DoutputDirectory={folder.resolve()}",
        *([f"-Dkafka.version={version}"] if version else []),
    ]
    try:
        with log.open("wb") as output:
            subprocess.run(
                command,
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                timeout=FETCH_PATIENCE,
            )
    except (OSError, subprocess.SubprocessError) as error:
        said = telling(log.read_text(errors="replace")) or [f"{error}"]
        text = [f"no Kafka broker, since Maven fails; see {log}:", *said]
        raise FetchError("\n".join(text)) from None
    if not any(folder.glob("kafka_*.jar")):
        raise FetchError(f"no Kafka broker in what Maven brings; see {log}")


def telling(log: str) -> list[str]:
    """Of what a failing Maven says, the ten lines that tell most."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if MAVEN_ERROR.search(line)]
    chosen = errors[:10] or lines[-10:]
    # one names all that is missing, and then why
    return [
        line if len(line) < 400 else f"{line[:200]} ... {line[-200:]}"
        for line in chosen
    ]


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for sock in sockets:
        sock.bind(("127.0.0.1", 0))
    ports: list[int] = [sock.getsockname()[1] for sock in sockets]
    for sock in sockets:
        sock.close()
    return ports


class KafkaBroker:
    """Runs from __enter__ to __exit__; address and data stay across
    stop() or kill() and start().
    """

    def __init__(
        self,
        properties: Mapping[str, str] | None = None,
        *,
        version: str | None = None,
        jvm: Sequence[str] = TEST_JVM,
    ) -> None:
        self._version = version
        self._jvm = jvm
        self.home = Path(tempfile.mkdtemp(prefix="kafka-"))
        self.log = self.home / "broker.log"
        self._properties = {**PROPERTIES, **(properties or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._choose_ports()

    def _choose_ports(self) -> None:
        self.port, self._controller_port = free_ports(2)

    @property
    def address(self) -> str:
        """What clients call bootstrap.servers."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    def __enter__(self: Broker) -> Broker:
        try:
            self._start_anew()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """The end, of the data too."""
        self.kill()
        shutil.rmtree(self.home, ignore_errors=True)

    def start(self) -> None:
        """Returns when the broker serves."""
        assert not self.running()
        size = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._java(), "kafka.Kafka", self._config],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.home,
            )
        end = time.monotonic() + PATIENCE
        while READY not in self.log.read_bytes()[size:].decode():
            assert self.running(), f"no broker:\n{self.log.read_text()}"
            assert time.monotonic() < end, f"slow:\n{self.log.read_text()}"
            time.sleep(0.05)

    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """As an administrator would: all is flushed, clients are told."""
        self._signal(signal.SIGTERM)
        self._wait()

    def kill(self) -> None:
        """As a crash would."""
        if self.running():
            self._signal(signal.SIGKILL)
            self._wait()

    def pause(self) -> None:
        """The broker accepts connections, and is silent on them."""
        self._signal(signal.SIGSTOP)
        end = time.monotonic() + PATIENCE
        while not all(state == "T" for state in self._states()):
            assert time.monotonic() < end, "the broker did not stop"
            time.sleep(0.01)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    @property
    def _config(self) -> Path:
        return self.home / "server.properties"

    def _java(self) -> list[str | Path]:
        return [
            # the JVM must not outlive a run that is killed
            *("setpriv", "--pdeathsig", "KILL", "java"),
            *(*self._jvm, *LOGGING, "-cp", f"{jars(self._version)}/*"),
        ]

    def _start_anew(self) -> None:
        # another process may take a free port before the broker does
        for attempt in range(START_ATTEMPTS):
            self._format()
            try:
                return self.start()
            except AssertionError:
                self.kill()
                taken = "Address already in use" in self.log.read_text()
                if not taken or attempt == START_ATTEMPTS - 1:
                    raise
                self._choose_ports()
        return None

    def _format(self) -> None:
        shutil.rmtree(self.home / "data", ignore_errors=True)
        self._config.write_text(
            "".join(
                f"{key}={value.format(**self._names())}\n"
                for key, value in self._properties.items()
            )
        )
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=")
        subprocess.run(
            [
                *self._java(),
                *("kafka.tools.StorageTool", "format", "--standalone"),
                # '=': the id may begin with a dash
                *(f"--cluster-id={cluster.decode()}", "-c", self._config),
                *self._format_options(),
            ],
            check=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
        )

    def _names(self) -> dict[str, object]:
        """What stands in braces in the properties."""
        return {
            "port": self.port,
            "controller_port": self._controller_port,
            "home": self.home,
        }

    def _format_options(self) -> list[str]:
        return []

    def _states(self) -> Iterator[str]:
        """Of the broker's threads."""
        for thread in Path(f"/proc/{self.pid}/task").iterdir():
            with contextlib.suppress(OSError):
                stat = (thread / "stat").read_text()
                yield stat.rpartition(")")[2].split()[0]

    def _signal(self, number: signal.Signals) -> None:
        assert self._process
        self._process.send_signal(number)

    def _wait(self) -> None:
        assert self._process
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise AssertionError("the broker did not end") from None
