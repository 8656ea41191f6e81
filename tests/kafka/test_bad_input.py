# SPDX-License-Identifier: BSD-2-Clause
"""What the module is told wrongly; no broker is needed for that."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.integration.client import lua_string
from tests.integration.nginx import Nginx

from .calls import Kafka, Lua

GOOD = {"servers": "127.0.0.1:1", "topic": "t", "group_id": "g"}
SECRET = "hunter2"


def load(nginx: Nginx, config: str) -> list[Any]:
    cfg = lua_string(f"ffi.kafka,init{config}")
    return nginx.lua(f'return ngx.load_ffi("ffi_python3", {cfg})')


def without(key: str) -> dict[str, str]:
    return {name: GOOD[name] for name in GOOD if name != key}


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ("", "config: is missing"),
        (",", "config: is missing"),
        (",{", "config: is not JSON"),
        (",\xff", "config: is not JSON"),
        ("," + "[" * 100_000, "config: is not JSON"),
        (",[]", "config: must be a JSON object"),
        (",1", "config: must be a JSON object"),
        (",{}", "config: servers is missing"),
    ],
    ids=["none", "empty", "cut", "bytes", "deep", "list", "number", "no keys"],
)
def test_config_is_no_object(nginx: Nginx, config: str, reason: str) -> None:
    runtime, error = load(nginx, config)
    assert runtime is None
    assert error.startswith(
        f"ffi_python3: ffi.kafka.init: ValueError: {reason}"
    )


@pytest.mark.parametrize("key", ["servers", "topic"])
def test_config_lacks_a_key(nginx: Nginx, key: str) -> None:
    runtime, error = load(nginx, f",{json.dumps(without(key))}")
    assert runtime is None
    assert error.endswith(f"ValueError: config: {key} is missing")


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("servers", 9092, "servers must be"),
        ("servers", ["a:1"], "servers must be"),
        ("servers", " ", "servers must be"),
        ("topic", "", "topic must be"),
        ("topic", None, "topic must be"),
        ("topic", "a b", "topic may have"),
        ("topic", "..", "topic may have"),
        ("topic", "x" * 250, "topic may have"),
        ("group_id", False, "group_id must be"),
        ("group_id", "\0", "group_id must be"),
        ("group_id", "\ud800", "group_id must be"),
        ("servers", "\ud800", "servers must be"),
        ("topic", "^\ud800", "topic must be"),
        ("topic", "^a\0", "topic must be"),
        ("librdkafka", {"group.id\0": ""}, "librdkafka: .* without NUL"),
        ("librdkafka", {"client.id": "a\0b"}, "librdkafka: .* without NUL"),
        ("librdkafka", {"client.id": "\ud800"}, "librdkafka: client.id must"),
        ("librdkafka", {"\ud800": 1}, "librdkafka: .*ud800 must be UTF-8"),
        ("timeout", 0, "timeout must be"),
        ("timeout", -1, "timeout must be"),
        ("timeout", True, "timeout must be"),
        ("timeout", "1000", "timeout must be"),
        ("timeout", 1e12, "timeout must be"),
        ("librdkafka", [], "librdkafka must be"),
        ("librdkafka", {"linger.ms": None}, "librdkafka: linger.ms must be"),
        ("librdkafka", {"linger.ms": [1]}, "librdkafka: linger.ms must be"),
        (
            "librdkafka",
            {"linger.ms": "x"},
            "librdkafka: .*queue.buffering.max.ms",
        ),
        (
            "librdkafka",
            {"linger.ms": float("inf")},
            "librdkafka: .*queue.buffering.max.ms.* range 0..900000$",
        ),
        ("librdkafka", {"no.such": 1}, "librdkafka: .*no.such"),
        (
            "librdkafka",
            {"security.protocol": "?"},
            "librdkafka: .*security.proto",
        ),
        ("topic", [], "topic must be"),
        ("topic", ["a", 1], "topic must be"),
        ("topic", ["a", "b/c"], "topic may have"),
        ("create", 1, "create must be"),
        ("partitions", 0, "partitions must be"),
        ("partitions", 1.5, "partitions must be"),
        ("replication", 0, "replication must be"),
        ("ack", "none", "ack must be"),
        ("ack", True, "ack must be"),
        ("ack_timeout", 0, "ack_timeout must be"),
        ("max_outstanding", 0, "max_outstanding must be"),
        ("max_deliveries", -1, "max_deliveries must be"),
        ("dead_letter", "", "dead_letter must be"),
        ("dead_letter", "a b", "dead_letter may have"),
        ("dead_letter", "t", "dead_letter must not be one of the topics"),
        (
            "librdkafka",
            {"enable.auto.commit": True},
            "librdkafka: enable.auto.commit is not free",
        ),
        ("librdkafka", {"group.id": "g"}, "librdkafka: group.id is not free"),
        ("librdkafka", {"error_cb": "print"}, "librdkafka: .*error_cb"),
    ],
)
def test_config_has_a_wrong_value(
    nginx: Nginx, key: str, value: Any, reason: str
) -> None:
    runtime, error = load(nginx, "," + json.dumps({**GOOD, key: value}))
    assert runtime is None
    assert re.search(f"ValueError: config: {reason}", error)


def test_a_good_config_after_bad_ones(nginx: Nginx) -> None:
    assert load(nginx, f",{json.dumps(without('topic'))}")[0] is None
    assert load(nginx, f",{json.dumps(GOOD)}")[0] is not None


def test_unknown_keys_are_named_in_the_log(nginx: Nginx) -> None:
    since = len(nginx.log())
    config = {**GOOD, "group": "typo", "Timeout": 1}
    assert load(nginx, f",{json.dumps(config)}")[0] is not None
    nginx.wait_log("config: unknown keys: group, Timeout", since)


def test_names_are_cut_and_quoted(nginx: Nginx) -> None:
    since = len(nginx.log())
    name = "a\n" + "x" * 1000
    assert load(nginx, f",{json.dumps({**GOOD, name: 1})}")[0] is not None
    nginx.wait_log(r"config: unknown keys: a\\nxxx", since)
    config = {**GOOD, "librdkafka": {name: None}}
    runtime, error = load(nginx, f",{json.dumps(config)}")
    assert runtime is None
    assert "librdkafka: a\\nxxx" in error
    for text in (error, nginx.log(since)):
        assert "x" * 300 not in text


def test_credentials_stay_secret(nginx: Nginx) -> None:
    since = len(nginx.log())
    options = {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "user",
        "sasl.password": SECRET,
    }
    kafka = Kafka(nginx, "127.0.0.1:1", "t", timeout=1000, librdkafka=options)
    failed = kafka.call({"type": "produce", "msg": "x"})
    _, error = load(
        nginx,
        "," + json.dumps({**GOOD, "librdkafka": {**options, "no.such": 1}}),
    )
    assert "no.such" in error
    nginx.wait_log("Connection refused", since)
    for text in (failed.body or "", error, nginx.log(since)):
        assert SECRET not in text


@pytest.fixture
def kafka(nginx: Nginx) -> Kafka:
    return Kafka(nginx, "127.0.0.1:1", "t", timeout=1000)


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (Lua("nil"), "the request is empty"),
        ("", "the request is empty"),
        ("{", "the request is not JSON"),
        (b"\xff", "the request is not JSON"),
        ("[" * 100_000, "the request is not JSON"),
        ("9" * 10_000, "the request "),
        ([], "the request must be a JSON object"),
        ("null", "the request must be a JSON object"),
        ({}, "unknown type: null"),
        ({"type": "other"}, 'unknown type: "other"'),
        ({"type": "Produce"}, 'unknown type: "Produce"'),
        ({"type": ["produce"]}, 'unknown type: ["produce"]'),
        ({"type": "x" * 1000}, 'unknown type: "xxx'),
        ({"type": "produce"}, "msg is missing"),
        ({"type": "produce", "msg": 1}, "msg must be a string"),
        ({"type": "produce", "msg": {}}, "msg must be a string"),
        ({"type": "produce", "msg": "\ud800"}, "the request is not JSON: "),
        ({"type": "produce", "msg": "m", "key": 1}, "key must be a string"),
        (
            {"type": "produce", "msg": "m", "encoding": "hex"},
            'unknown encoding: "hex"',
        ),
        ({"type": "produce", "msg": "m", "encoding": {}}, "unknown encoding"),
        ({"type": "produce", "msg": "!", "encoding": "base64"}, "msg: "),
        (
            {"type": "produce", "msg": "", "key": "é", "encoding": "base64"},
            "key: ",
        ),
        ({"type": "produce", "msg": "m", "topic": "a b"}, "topic is not a"),
        ({"type": "produce", "msg": "m", "partition": -1}, "partition must"),
        ({"type": "produce", "msg": "m", "timestamp": "1"}, "timestamp must"),
        (
            {"type": "produce", "msg": "m", "timestamp": 0},
            "timestamp must be an integer from 1 to ",
        ),
        (
            {"type": "produce", "messages": [{"msg": "m", "timestamp": 0}]},
            "timestamp must be an integer from 1 to ",
        ),
        ({"type": "produce", "msg": "m", "headers": 1}, "headers must be"),
        ({"type": "produce", "msg": "m", "headers": ["a"]}, "headers: an"),
        ({"type": "produce", "msg": "m", "headers": {"a": 1}}, "headers: "),
        ({"type": "produce", "msg": "m", "report": 1}, "report must be"),
        ({"type": "produce", "messages": []}, "messages must be a list that"),
        ({"type": "produce", "messages": ["m"]}, "messages must be a list of"),
        ({"type": "produce", "messages": [{}]}, "msg is missing"),
        ({"type": "consume", "max": 0}, "max must be"),
        ({"type": "consume", "max": 1.5}, "max must be"),
        ({"type": "consume", "timeout": 0}, "timeout must be"),
        ({"type": "consume", "report": "yes"}, "report must be"),
    ],
)
def test_request(kafka: Kafka, request_: Any, reason: str) -> None:
    answer = kafka.call(request_)
    assert answer.status == 1
    assert answer.body is not None
    assert answer.body.startswith(reason)
    assert len(answer.body) < 300


def test_any_depth(kafka: Kafka) -> None:
    """What is read just so may be too deep to be written."""
    deep = [
        '{"type":"produce","msg":"","encoding":' + "[" * n + "]" * n + "}"
        for n in range(900, 1000)
    ]
    answers = kafka.calls([*deep, "{"])
    for answer in answers:
        assert answer.status == 1
        assert answer.body is not None
        assert re.match(
            "unknown encoding|the request is not JSON", answer.body
        )


def test_bad_requests_among_good_ones(kafka: Kafka) -> None:
    answers = kafka.calls(
        ["{", {"type": "consume"}, "", {"type": "produce", "msg": "x"}, "?"]
    )
    assert [answer.status for answer in answers] == [1, 2, 1, 2, 1]
