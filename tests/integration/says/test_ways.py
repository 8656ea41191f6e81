# SPDX-License-Identifier: BSD-2-Clause
"""What handlers and applications say is in error.log, as nginx's own lines."""

from __future__ import annotations

import re

import pytest

from .conftest import WAYS, Talking

LINE = r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[%s\] \d+#\d+: \*\d+ "

each_way = pytest.mark.parametrize("way", WAYS)


def request_of(way: str) -> str:
    uri = f"/{way}?" if way in ("wsgi", "asgi") else "/lua "
    method = "GET" if way in ("wsgi", "asgi") else "POST"
    return f', client: unix:, server: , request: "{method} {uri}'


@each_way
@pytest.mark.parametrize(
    ("what", "level", "said"),
    [
        ("logging {text}", "info", r"talks\.shop: info {text}"),
        ("logging {text}", "notice", r"talks\.shop: notice {text}"),
        ("logging {text}", "warn", r"talks\.shop: warning {text}"),
        ("logging {text}", "error", r"talks\.shop: error {text}"),
        ("logging {text}", "crit", r"talks\.shop: critical {text}"),
        ("logging {text}", "info", "root: root {text}"),
        ("print {text}", "notice", "printed {text}"),
        ("stderr {text}", "error", "to stderr {text}"),
        (
            "warning {text}",
            "warn",
            r"\S*/talks\.py:\d+: UserWarning: warned {text}",
        ),
        ("parts {text}", "notice", "one two three {text}"),
        ("flush {text}", "notice", "flushed {text}"),
        ("buffer {text}", "notice", "bytes {text} é"),
    ],
)
@pytest.mark.valgrind
def test_a_line(
    talking: Talking, way: str, what: str, level: str, said: str
) -> None:
    entry = talking.hear(
        way, what, LINE % level + f"ffi_python3: {WAYS[way]}: {said},"
    )
    assert request_of(way) in entry
    assert entry.count("\n") == 1


@each_way
def test_what_logging_has_caught(talking: Talking, way: str) -> None:
    entry = talking.hear(
        way,
        "exception {text}",
        LINE % "error" + f"ffi_python3: {WAYS[way]}: talks.shop: caught\n",
    )
    assert re.search(r'talks\.py", line \d+, in by_exception', entry)
    assert re.search(r"\nValueError: text-\d+, client: unix:", entry)
    assert "resty_ffi/" not in entry


@each_way
def test_what_a_handler_raises(talking: Talking, way: str) -> None:
    """Of the user's frames alone, and of the method."""
    entry = talking.hear(
        way,
        "raising {text}",
        LINE % "error"
        + f"FFI030: ffi_python3: {WAYS[way]}: LookupError: {{text}}\n",
    )
    assert re.search(r'talks\.py", line \d+, in by_raising', entry)
    assert request_of(way) in entry
    assert "resty_ffi/" not in entry


@each_way
def test_what_a_thread_raises(talking: Talking, way: str) -> None:
    """It is the thread's business, and no request's."""
    name = WAYS[way].replace(r"\.speak", "")
    entry = talking.hear(
        way,
        "thread {text}",
        rf'\[error\] \d+#\d+: FFI033: ffi_python3: {name}\S*: thread "mine"'
        r" has ended: LookupError: {text}\n",
    )
    assert "client:" not in entry
    assert re.search(r'talks\.py", line \d+, in by_raising', entry)
    assert "threading.py" in entry


@each_way
def test_what_a_daemon_thread_says(talking: Talking, way: str) -> None:
    name = WAYS[way].replace(r"\.speak", "")
    start = rf"\] \d+#\d+: ffi_python3: {name}\S*: "
    talking.hear(way, "daemon {text}", start + r"talks\.shop: info {text}\n")
    talking.hear(way, "daemon {text}", start + r"printed {text}\n")
    talking.hear(way, "daemon {text}", start + r"never ended {text}\n")


@each_way
def test_what_cannot_be_raised(talking: Talking, way: str) -> None:
    talking.hear(
        way,
        "unraisable {text}",
        LINE
        % "error"
        + f"FFI034: ffi_python3: {WAYS[way]}: Exception ignored in: .*"
        "Fails.__del__.*: OSError: {text}\n",
    )


def test_a_task_that_nobody_has_awaited(talking: Talking) -> None:
    entry = talking.hear(
        "Loop",
        "{text}",
        r"\[error\] .*talks\.Loop\S*: asyncio: Task exception was never"
        " retrieved",
        "never_retrieved",
    )
    assert "LookupError" in entry


def test_a_callback_of_the_loop(talking: Talking) -> None:
    talking.hear(
        "Loop",
        "{text}",
        r"(?s)\[error\] [^\n]*talks\.Loop\S*: asyncio: Exception in callback"
        ".*LookupError: {text}",
        "in_a_callback",
    )


def test_another_thread_for_a_coroutine(talking: Talking) -> None:
    """It has the call's context, and so its request."""
    entry = talking.hear(
        "Loop",
        "print {text}",
        LINE % "notice" + r"ffi_python3: talks\.Loop\.to_thread: printed"
        " {text}",
        "to_thread",
    )
    assert request_of("Loop") in entry


def test_lines_of_two_tasks(talking: Talking) -> None:
    talking.hear("Loop", "{text}", "a begins, a ends {text},", "two_tasks")
    talking.hear("Loop", "{text}", "b begins, b ends {text},", "two_tasks")


def test_a_line_that_is_not_ended(talking: Talking) -> None:
    """The next call of that thread does not go on with it."""
    since = len(talking.log())
    talking.ask("Plain", "begun not-ended")
    talking.hear("Plain", "print {text}", r"speak: printed {text},")
    talking.wait_log(r"speak: begun not-ended\n", since)


@each_way
def test_control_characters(talking: Talking, way: str) -> None:
    talking.hear(
        way,
        "control {text}",
        r": a\\x00b\\x1b\[31m{text}\\x7f\\x9b\ttab,",
    )


@each_way
def test_lines_cannot_be_forged(talking: Talking, way: str) -> None:
    entry = talking.hear(way, "lines {text}", "first {text}\n")
    assert "\n    2000/01/01 00:00:00 [error] forged, client: " in entry


@each_way
@pytest.mark.parametrize("what", ["long_line", "long_part"])
def test_a_line_of_a_mebibyte(talking: Talking, way: str, what: str) -> None:
    since = len(talking.log())
    talking.hear(way, what + " {text}", f"ffi_python3: {WAYS[way]}: {{text}}")
    talking.wait_log(r"\.\.\. \(10\d{5} more characters\), client", since)
    assert len(talking.log(since)) < 20000


@each_way
def test_a_record_whose_text_logs(talking: Talking, way: str) -> None:
    talking.hear(way, "recursion {text}", "shop: recursion {text},")
    talking.hear(way, "recursion {text}", r"\(its text logs, too\),")


@each_way
def test_a_record_that_cannot_be_made(talking: Talking, way: str) -> None:
    talking.hear(
        way,
        "bad_arguments {text}",
        LINE
        % "error"
        + f"FFI036: ffi_python3: {WAYS[way]}: a record of talks.shop cannot be"
        " shown: TypeError: %d format",
    )
