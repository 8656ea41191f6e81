"""The in-memory broker, which cannot be told to create topics."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.integration.nginx import ROOT, Nginx

from .calls import CONSUME, Kafka


def start() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "ffi.kafka.devbroker", "--port", "0"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def devbroker() -> Iterator[str]:
    with start() as process:
        assert process.stdout
        yield process.stdout.readline().split()[-1]
        process.terminate()


def test_says_what_it_is() -> None:
    with start() as process:
        assert process.stdout
        first = process.stdout.readline()
        process.terminate()
        rest, _ = process.communicate()
    assert first.startswith("in-memory Kafka broker on localhost:")
    assert "are lost when it ends" in rest
    assert "not for production" in rest
    assert process.returncode == 0


def test_demo(nginx: Nginx, devbroker: str) -> None:
    kafka = Kafka(nginx, devbroker, "foobar")
    kafka.produce("hello", "world")
    answers = kafka.calls([CONSUME, CONSUME])
    assert {answer.value for answer in answers} == {"hello", "world"}


def test_1000_in_flight(nginx: Nginx, devbroker: str) -> None:
    kafka = Kafka(nginx, devbroker, "many", timeout=12_000)
    values = {str(i) for i in range(1000)}
    produced = kafka.calls({"type": "produce", "msg": v} for v in values)
    assert all(answer.ok for answer in produced)
    answers = kafka.calls([CONSUME] * 1000)
    assert {answer.value for answer in answers} == values
