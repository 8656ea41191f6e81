# SPDX-License-Identifier: BSD-2-Clause
"""Heads of web requests, and of answers, each for FUZZ_S seconds.

TEST_ASAN=1 has nginx's modules, the loader and the bridge under ASan. And
that the fuzzer sees what is wrong.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

from . import heads
from .app import answer_heads
from .test_fuzz import SECONDS, SEED

pytestmark = pytest.mark.once

SPLIT = b"HTTP/1.1 200 OK\r\nA: b\r\nInjected: yes\r\n\r\n"


@pytest.mark.timeout(SECONDS + 300)
@pytest.mark.parametrize("name", heads.TARGETS)
def test_fuzz(name: str) -> None:
    seed = int(SEED) or random.SystemRandom().getrandbits(31)
    print(f"seed {seed}")
    assert heads.TARGETS[name](SECONDS, seed)


def case(kind: str) -> answer_heads.Case:
    fields = [(b"A", b"b")]
    return answer_heads.Case(kind, 200, fields, b"", 200, fields)


@pytest.mark.parametrize(
    ("kind", "data", "errors"),
    [
        ("good", SPLIT, []),
        ("good", b"HTTP/1.1 200 OK\r\nA: c\r\n\r\n", []),
        ("good", b"HTTP/1.1 200 OK\r\n\r\n", []),
        ("good", b"HTTP/1.1 200 OK\r\nA: b\r\nA: b\r\n\r\n", []),
        ("good", b"HTTP/1.1 201 OK\r\nA: b\r\n\r\n", []),
        (
            "good",
            b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n",
            ['ffi: "fuzzed:a" has x'],
        ),
        ("bad", b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n", []),
        ("bad", b"HTTP/1.1 500 No\r\n\r\n", []),
        ("odd", b"HTTP/1.1 500 No\r\n\r\n", ["something else"]),
        ("odd", b"", []),
        ("odd", b"HTTP/1.1 200 OK\r\nA b\r\n\r\n", []),
    ],
)
def test_a_wrong_answer_is_seen(
    kind: str, data: bytes, errors: list[str]
) -> None:
    with pytest.raises(AssertionError):
        heads.check_answer(case(kind), data, errors)


def test_a_right_answer() -> None:
    data = b"HTTP/1.1 200 OK\r\nDate: x\r\nA: b\r\n\r\n"
    assert heads.check_answer(case("good"), data, []) == "arrived"
    errors = ["ffi_python3: fuzzed:a: x", 'FFI051: ffi: "fuzzed:a" has x']
    data = b"HTTP/1.1 500 No\r\n\r\n"
    assert heads.check_answer(case("bad"), data, errors) == "refused"


SAID = {
    "F_ID": "1",
    "F_METHOD": "GET",
    "F_URI": "/\xc3\xa9",
    "F_ARGS": "a",
    "F_TARGET": "/%C3%A9?a",
    "F_PROTOCOL": "HTTP/1.1",
    "F_SCHEME": "http",
    "F_HOST": "h",
    "F_TYPE": "",
    "F_LENGTH": "",
    "F_COOKIE": "k; l",
    "F_AGENT": "",
    "F_STATUS": "200",
}
FIELDS = [("host", "h"), ("cookie", "k"), ("cookie", "l")]
SCOPE: dict[str, Any] = {
    "method": "GET",
    "path": "/\xe9",
    "scheme": "http",
    "client": None,
    "root_path": "",
    "http_version": "1.1",
    "state": {"params": {}},
    "query_string": {"bytes": "a"},
    "raw_path": {"bytes": "/%C3%A9"},
    "headers": [({"bytes": n}, {"bytes": v}) for n, v in FIELDS],
}
ENVIRON = {
    "REQUEST_METHOD": "GET",
    "SCRIPT_NAME": "",
    "PATH_INFO": "/\xc3\xa9",
    "QUERY_STRING": "a",
    "REQUEST_URI": "/%C3%A9?a",
    "scheme": "http",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "HTTP_HOST": "h",
    "HTTP_COOKIE": "k; l",
    **{name: value for name, value in SAID.items() if name != "F_STATUS"},
}


@pytest.mark.parametrize(
    "change",
    [
        {"method": "HEAD"},
        {"path": "/e"},
        {"query_string": {"bytes": ""}},
        {"raw_path": {"bytes": "/"}},
        {"http_version": "1.0"},
        {"headers": []},
        {"headers": [({"bytes": "Host"}, {"bytes": "h"})]},
        {"state": {"params": {"F_ID": "2"}}},
    ],
)
def test_a_wrong_scope_is_seen(change: dict[str, Any]) -> None:
    heads.check_scope(SCOPE, SAID)
    with pytest.raises(AssertionError):
        heads.check_scope({**SCOPE, **change}, SAID)


@pytest.mark.parametrize(
    "change",
    [
        {"REQUEST_METHOD": "HEAD"},
        {"PATH_INFO": "/\xe9"},
        {"SCRIPT_NAME": "/"},
        {"QUERY_STRING": ""},
        {"REQUEST_URI": "/"},
        {"HTTP_COOKIE": "k"},
        {"HTTP_PROXY": "x"},
        {"F_ID": "2"},
    ],
)
def test_a_wrong_environ_is_seen(change: dict[str, str]) -> None:
    heads.check_environ(ENVIRON, SAID)
    with pytest.raises(AssertionError):
        heads.check_environ({**ENVIRON, **change}, SAID)


def test_a_wrong_body_is_seen() -> None:
    sent = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nab"
    fields = [("host", "h"), ("content-length", "1")]
    head = {"headers": [({"bytes": n}, {"bytes": v}) for n, v in fields]}
    report = {"kind": "asgi", "head": head, "body": {"bytes": "a"}}
    read = heads.clean(sent)
    assert read is not None
    heads.check_clean(*read, report)
    for wrong in (
        {**report, "body": {"bytes": "ab"}},
        {**report, "head": {"headers": []}},
    ):
        with pytest.raises(AssertionError):
            heads.check_clean(*read, wrong)
