# SPDX-License-Identifier: BSD-2-Clause
"""resty.ffi.kafka: tables in and out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.integration.client import lua_string
from tests.integration.nginx import LuaError, Nginx

from .broker import KafkaBroker, free_ports
from .calls import TIMEOUT_MS

BINARY = bytes(range(256))


def lua(value: Any) -> str:
    """A Lua expression."""
    if isinstance(value, dict):
        items = (f"[{lua(k)}]={lua(v)}" for k, v in value.items())
        return f"{{{','.join(items)}}}"
    if isinstance(value, list):
        return f"{{{','.join(map(lua, value))}}}"
    if isinstance(value, (str, bytes)):
        return lua_string(value)
    return json.dumps(value)


class LuaKafka:
    """One object of resty.ffi.kafka, for code that calls it `k`."""

    def __init__(
        self, nginx: Nginx, servers: str, topic: str, **more: Any
    ) -> None:
        self.nginx = nginx
        self.config = {
            "servers": servers,
            "topic": topic,
            "group_id": topic,
            "timeout": TIMEOUT_MS,
            **more,
        }

    def run(self, code: str) -> list[Any]:
        """What the code returns: trailing nils are lost, nil is None."""
        return self.nginx.lua(f"""
            local k = assert(require("resty.ffi.kafka").new(
                {lua(self.config)}))
            {code}
        """)


@pytest.fixture
def kafka(nginx: Nginx, broker: KafkaBroker, topic: str) -> LuaKafka:
    return LuaKafka(nginx, broker.address, topic)


@pytest.fixture
def manual(nginx: Nginx, broker: KafkaBroker, topic: str) -> LuaKafka:
    return LuaKafka(nginx, broker.address, topic, ack="manual")


@pytest.fixture
def nobody(nginx: Nginx, topic: str) -> LuaKafka:
    """Where no broker is."""
    (port,) = free_ports(1)
    return LuaKafka(nginx, f"127.0.0.1:{port}", topic, timeout=1000)


def test_roundtrip(kafka: LuaKafka, topic: str) -> None:
    assert kafka.run("""
        local ok, err, rc = k:produce("hello")
        local m = assert(k:consume())
        return ok, err, rc, m.topic, m.partition, m.value, m.key, m.headers,
               type(m.timestamp)
    """) == [True, None, None, topic, 0, "hello", None, None, "number"]


@pytest.mark.parametrize("value", ["", "\0", "Grüße", '"\\', "\x7f\x1f\r\n"])
def test_text(kafka: LuaKafka, value: str) -> None:
    assert kafka.run(f"""
        local value = {lua(value)}
        assert(k:produce({{msg = value, key = value}}))
        local m = assert(k:consume())
        return m.value == value, m.key == value
    """) == [True, True]


def test_bytes_as_they_are(kafka: LuaKafka) -> None:
    """A string alone does not go through JSON."""
    assert kafka.run(f"""
        local value = {lua(BINARY)}
        local ok, err = k:produce(value)
        assert(k:produce("") and k:produce('{{"type":"consume"}}'))
        local a, b, c = k:consume(), k:consume(), k:consume()
        return ok, err, a.value == value, b.value, c.value
    """) == [True, None, True, "", '{"type":"consume"}']


def test_tombstones(kafka: LuaKafka) -> None:
    assert kafka.run(f"""
        local binary = {lua(BINARY)}
        assert(k:produce({{msg = ngx.null, key = "a"}}))
        assert(k:produce({{{{msg = ngx.null, key = binary}}, {{msg = ""}}}}))
        local a, b, c = k:consume(), k:consume(), k:consume()
        return a.key, a.value == nil, b.key == binary, b.value == nil, c.value
    """) == ["a", True, True, True, ""]


def test_timestamp(kafka: LuaKafka) -> None:
    assert kafka.run("""
        local ok, err, rc = k:produce({msg = "", timestamp = 0})
        assert(k:produce({msg = "", timestamp = 1}))
        return ok, err, rc, k:consume().timestamp
    """) == [
        None,
        f"timestamp must be an integer from 1 to {2**63 - 1}",
        1,
        1,
    ]


def test_bytes_without_a_topic(nginx: Nginx, broker: KafkaBroker) -> None:
    kafka = LuaKafka(nginx, broker.address, "^any-.*")
    nothing, reason, status = kafka.run('return k:produce("x")')
    assert (nothing, status) == (None, 1)
    assert "topic is missing" in reason


def test_close(kafka: LuaKafka) -> None:
    assert kafka.run("""
        local waiting = ngx.thread.spawn(k.consume, k)
        ngx.sleep(0)
        local closed = k:close()
        return closed, {select(2, ngx.thread.wait(waiting))},
               {k:produce("x")}
    """) == [True, [], [None, "task queue is finished"]]


def test_new_fails(nginx: Nginx) -> None:
    runtime, error = nginx.lua(
        'return require("resty.ffi.kafka").new({topic = "t"})'
    )
    assert runtime is None
    assert error.endswith("config: servers is missing")


def test_new_of_what_is_no_json(nginx: Nginx) -> None:
    assert (
        nginx.lua('return require("resty.ffi.kafka").new({topic = print})')[0]
        is None
    )


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ("k.new('x')", "bad argument #1 to 'new'"),
        ("k:produce()", "bad argument #1 to 'produce'"),
        ("k:produce(1)", "bad argument #1 to 'produce'"),
    ],
)
def test_misuse(nobody: LuaKafka, call: str, reason: str) -> None:
    with pytest.raises(LuaError, match=reason):
        nobody.run(f"return {call}")


def test_bad_message(nobody: LuaKafka) -> None:
    for message, reason in (
        ("{msg = 1}", "msg must be a string or null"),
        ("{key = 'k'}", "msg is missing"),
    ):
        code = f"return k:produce({message})"
        assert nobody.run(code) == [None, reason, 1]


def test_given_up(nginx: Nginx, topic: str, nobody: LuaKafka) -> None:
    result, reason, *_ = nobody.run('return k:produce("x", {timeout = 1})')
    assert (result, reason) == (None, "timeout")
