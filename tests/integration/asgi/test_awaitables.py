# SPDX-License-Identifier: BSD-2-Clause
"""What receive() and send() return does what Python's coroutines do."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from .site import Site


@pytest.fixture(
    scope="module",
    params=["uvloop", pytest.param("asyncio", marks=pytest.mark.asan)],
)
def server(request: pytest.FixtureRequest) -> Iterator[Site]:
    with Site("awaitables:app", uvloop=request.param == "uvloop") as site:
        yield site


@pytest.mark.valgrind
def test_kinds(site: Site) -> None:
    found = ast.literal_eval(site.ask("/kinds").text)
    usual = [True, True, True, "CORO_CREATED"]
    assert found == [
        [*usual, "_receive", "Exchange._receive"],
        [*usual, "_send", "Exchange._send"],
        ["CORO_CLOSED"],
        ["CORO_CLOSED"],
        ["CORO_SUSPENDED", True],
        ["CORO_CLOSED", True],
        ["CORO_CLOSED", True],
    ]


@pytest.mark.valgrind
def test_unawaited(site: Site) -> None:
    found = ast.literal_eval(site.ask("/unawaited").text)
    assert found == [
        "coroutine 'Exchange._send' was never awaited",
        "coroutine 'Exchange._receive' was never awaited",
    ]


def test_impatient(site: Site) -> None:
    assert site.ask("/impatient", "POST", b"body").body == b"body"


@pytest.mark.valgrind
def test_by_hand(site: Site) -> None:
    found = ast.literal_eval(site.ask("/by-hand", "POST", b"body").text)
    again = "RuntimeError('cannot reuse already awaited coroutine')"
    value = {"type": "http.request", "body": b"body", "more_body": False}
    assert found == [
        'TypeError("can\'t send non-None value to a just-started coroutine")',
        "KeyError('thrown')",
        again,
        again,
        f"StopIteration({value!r})",
        again,
        again,
        "StopIteration()",
        None,
    ]


def test_unusual(site: Site) -> None:
    found = site.ask("/unusual")
    assert (found.status, found.body) == (201, b"abc")


def test_mistakes(site: Site) -> None:
    assert site.ask("/mistakes").text == (
        "RuntimeError KeyError RuntimeError KeyError TypeError TypeError"
    )


@pytest.mark.valgrind
def test_headers_that_send(site: Site) -> None:
    found = site.ask("/headers-that-send")
    assert found.headers["x-a"] == "b"
    assert found.text == "RuntimeError RuntimeError"


def test_turns(site: Site) -> None:
    found = site.ask("/turns").text
    assert found.startswith("." * 100)
    assert 5 <= int(found[100:]) <= 20


@pytest.mark.valgrind
def test_in_tasks(site: Site) -> None:
    assert site.ask("/in-tasks", "POST", b"body").body == b"aaaabody"


@pytest.mark.valgrind
def test_in_a_cycle(site: Site) -> None:
    for _ in range(3):
        assert site.ask("/in-a-cycle").text == "ok"
    site.ask("/collect")
    before = int(site.ask("/collect").text)
    for _ in range(100):
        site.ask("/in-a-cycle")
    assert int(site.ask("/collect").text) <= before + 20
