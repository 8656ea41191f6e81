# SPDX-License-Identifier: BSD-2-Clause
"""A broker that is not there, or says nothing, or comes back."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from tests.integration.client import eventually
from tests.integration.nginx import Nginx

from .broker import KafkaBroker, free_ports
from .calls import CONSUME, Answer, Kafka, Lua

PRODUCE = {"type": "produce", "msg": "x"}
TIMEOUT_MS = 2000

# Runs two calls that hang; meanwhile another location is asked.
ALIVE = """
local kafka = assert({load})
local calls = {{}}
for i, request in ipairs({{'{{"type":"consume"}}',
                          '{{"type":"produce", "msg":"x"}}'}})
do
    calls[i] = ngx.thread.spawn(function()
        local answer = {{kafka:call(request)}}
        calls.ended = true
        return unpack(answer, 1, 3)
    end)
end
local alive = 0
for _ = 1, 20 do
    local other = ngx.location.capture("/other")
    if other.body == "alive" and not calls.ended then
        alive = alive + 1
    end
end
local _, consumed = ngx.thread.wait(calls[1])
local _, produced = ngx.thread.wait(calls[2])
return alive, consumed, produced
"""


@pytest.fixture
def kafka(nginx: Nginx, frail: KafkaBroker, topic: str) -> Kafka:
    return Kafka(nginx, frail.address, topic, timeout=TIMEOUT_MS)


def assert_serves(kafka: Kafka, value: str) -> None:
    eventually(
        lambda: kafka.call({"type": "produce", "msg": value}).ok,
        "the broker acknowledges",
        60,
    )
    seen: list[str] = []

    def arrives() -> bool:
        answer = kafka.call(CONSUME)
        if answer.ok and answer.body is not None:
            seen.append(answer.value)
        return value in seen

    eventually(arrives, "the message arrives", 60)


def assert_fails(kafka: Kafka, reason: str = "") -> None:
    for answer in kafka.calls([CONSUME, PRODUCE, CONSUME]):
        assert answer.status == 2, answer
        assert answer.body
        assert reason in answer.body


def test_absent(nginx: Nginx, topic: str) -> None:
    (port,) = free_ports(1)
    kafka = Kafka(nginx, f"127.0.0.1:{port}", topic, timeout=TIMEOUT_MS)
    assert_fails(kafka, "Connection refused")


def test_unknown_host(nginx: Nginx, topic: str) -> None:
    kafka = Kafka(nginx, "broker.invalid:9092", topic, timeout=TIMEOUT_MS)
    assert_fails(kafka, "resolve")


def test_comes_later(kafka: Kafka, frail: KafkaBroker) -> None:
    frail.kill()
    assert_fails(kafka)
    frail.start()
    assert_serves(kafka, "later")


def test_killed(kafka: Kafka, frail: KafkaBroker) -> None:
    assert_serves(kafka, "before")
    frail.kill()
    assert_fails(kafka)
    frail.start()
    assert_serves(kafka, "after")


def test_stopped(kafka: Kafka, frail: KafkaBroker) -> None:
    assert_serves(kafka, "before")
    frail.stop()
    assert_fails(kafka)
    frail.start()
    assert_serves(kafka, "after")


def test_silent(kafka: Kafka, frail: KafkaBroker) -> None:
    assert_serves(kafka, "before")
    frail.pause()
    assert_fails(kafka)
    frail.resume()
    assert_serves(kafka, "after")


@contextlib.contextmanager
def proxy_without_server(address: str) -> Iterator[None]:
    """What a port forwarded to nobody does: hangs up at once."""
    host, _, port = address.rpartition(":")
    with socket.create_server((host, int(port))) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    server.accept()[0].close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_a_proxy_outlives_it(
    nginx: Nginx, frail: KafkaBroker, topic: str
) -> None:
    """No reason to give up what waits for the broker's return."""
    kafka = Kafka(nginx, frail.address, topic, timeout=9000)
    assert_serves(kafka, "before")
    frail.kill()
    with proxy_without_server(frail.address):
        answers = kafka.calls([PRODUCE, {**CONSUME, "timeout": 4000}])
    for answer in answers:
        assert answer.status == 2
        assert "security.protocol" not in (answer.body or "")


def test_silent_from_the_start(kafka: Kafka, frail: KafkaBroker) -> None:
    frail.pause()
    assert_fails(kafka)
    frail.resume()
    assert_serves(kafka, "after")


def test_nginx_serves_while_the_broker_is_silent(
    kafka: Kafka, frail: KafkaBroker
) -> None:
    assert_serves(kafka, "before")
    frail.pause()
    alive, consumed, produced = kafka.nginx.lua(ALIVE.format(load=kafka.load))
    assert (alive, consumed, produced) == (20, False, False)


def test_another_runtime_serves_while_the_broker_is_silent(
    kafka: Kafka, frail: KafkaBroker, broker: KafkaBroker, topic: str
) -> None:
    other = Kafka(kafka.nginx, broker.address, topic)
    assert_serves(kafka, "before")
    frail.pause()
    other.produce("hello")
    assert other.consume()["value"] == "hello"


def test_bad_requests_are_refused_while_the_broker_is_silent(
    kafka: Kafka, frail: KafkaBroker
) -> None:
    frail.pause()
    answers = kafka.calls([CONSUME, {"type": "other"}, Lua("nil")])
    assert [answer.status for answer in answers] == [2, 1, 1]


def test_calls_on_their_way_when_it_dies(
    nginx: Nginx, frail: KafkaBroker, topic: str
) -> None:
    kafka = Kafka(nginx, frail.address, topic, timeout=6000)
    assert_serves(kafka, "before")
    nginx.lua(f"""
        answers = {{}}
        ngx.timer.at(0, function()
            local kafka = assert({kafka.load})
            for i = 1, 5 do
                ngx.thread.spawn(function()
                    local ok, status = kafka:call('{{"type":"consume"}}')
                    answers[#answers + 1] = ok and "none" or status
                end)
            end
        end)
    """)
    frail.kill()

    def answers() -> list[int]:
        (found,) = nginx.lua("return answers")
        return found if len(found) == 5 else []

    assert eventually(answers) == [2] * 5


def test_load_does_not_wait_for_the_broker(
    nginx: Nginx, frail: KafkaBroker, topic: str
) -> None:
    frail.pause()
    kafka = Kafka(nginx, frail.address, topic)
    waiting = nginx.lua(f"""
        local kafka = assert({kafka.load})
        local call = ngx.thread.spawn(kafka.call, kafka, '{{"type":"?"}}')
        return select(3, ngx.thread.wait(call))
    """)
    assert waiting == [1, 'unknown type: "?"']


def test_unload_while_it_is_silent(
    kafka: Kafka, frail: KafkaBroker, topic: str
) -> None:
    assert_serves(kafka, "before")
    frail.pause()
    rows = kafka.nginx.lua(f"""
        local kafka = assert({kafka.load})
        local calls = {{}}
        for i = 1, 3 do
            calls[i] = ngx.thread.spawn(kafka.call, kafka,
                                        '{{"type":"consume"}}')
        end
        kafka:__unload()
        local answers = {{}}
        for i = 1, 3 do
            answers[i] = {{select(2, ngx.thread.wait(calls[i]))}}
        end
        return unpack(answers)
    """)
    assert rows == [[True]] * 3
    frail.resume()
    assert Kafka(kafka.nginx, frail.address, topic).call(PRODUCE) == Answer(
        True
    )
