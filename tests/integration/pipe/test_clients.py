# SPDX-License-Identifier: BSD-2-Clause
"""Clients of s:pipe() that are slow, or go."""

from __future__ import annotations

import time

import pytest

from ..client import eventually
from ..nginx import Nginx
from ..pipes import (
    STREAMS,
    answer_of,
    ask,
    rest_of_response,
    take,
)


@pytest.mark.valgrind
@pytest.mark.parametrize("uri", ["/run", "/abort"])
def test_the_client_goes_in_the_middle(nginx: Nginx, uri: str) -> None:
    sock = ask(nginx, uri, 'pipe("endless", "size=10 sleep=10")')
    assert sock.recv(1000)
    sock.close()
    if uri == "/run":
        assert take(nginx) == [None, "the client has gone"]


@pytest.mark.valgrind
@pytest.mark.parametrize("uri", ["/run", "/abort"])
def test_the_client_goes_with_a_part_half_written(
    nginx: Nginx, uri: str
) -> None:
    sock = ask(nginx, uri, 'pipe("endless", "size=1000000")')
    assert sock.recv(1000)
    time.sleep(0.1)
    sock.close()
    if uri == "/run":
        assert take(nginx) == [None, "the client has gone"]


@pytest.mark.valgrind
def test_the_client_goes_before_the_first_part(nginx: Nginx) -> None:
    """At once, where the location looks for it."""
    before = nginx.lua(STREAMS + "return streams.gone()")[0]
    sock = ask(nginx, "/abort", 'pipe("wait", "")')
    eventually(lambda: nginx.lua(STREAMS + "return streams.running() == 1")[0])
    sock.close()
    nginx.lua(STREAMS + f'streams.wait("gone", {before + 1})')


def test_the_client_goes_while_nothing_comes(nginx: Nginx) -> None:
    before = nginx.lua(STREAMS + "return streams.gone()")[0]
    sock = ask(nginx, "/abort", 'pipe("wait", "parts=1 size=10")')
    assert sock.recv(1000)
    sock.close()
    nginx.lua(STREAMS + f'streams.wait("gone", {before + 1})')


def test_the_client_goes_when_the_answer_is_written(nginx: Nginx) -> None:
    """The one that pipe no longer waits for."""
    sock = ask(nginx, "/run", 'pipe("lent", "size=100000000")')
    assert sock.recv(1000)
    sock.close()
    assert take(nginx) == [None, "the client has gone"]


def test_a_slow_client_costs_no_memory(nginx: Nginx) -> None:
    sock = ask(nginx, "/run", 'pipe("send", "parts=2000 size=50000")')
    assert sock.recv(1000)
    before = nginx.resident()
    most = 0
    for _ in range(50):
        sock.recv(100_000)
        time.sleep(0.02)
        most = max(most, nginx.resident())
    assert most - before < 2000
    assert len(rest_of_response(sock)) > 90_000_000
    assert take(nginx) == [100_000_000]
    assert nginx.lua(STREAMS + "return streams.most() < 3000000")[0]


def test_two_gib_in_one_part(nginx: Nginx) -> None:
    size = 2 << 30
    sock = ask(
        nginx,
        "/run",
        f"""
        ngx.header.content_length = {size}
        pipe("mapped", "size={size}")
        """,
    )
    before = nginx.resident()
    answer = answer_of(sock)
    left = size
    buffer = bytearray(1 << 20)
    while n := answer.readinto(buffer):
        left -= n
    assert left == 0
    assert take(nginx) == [size]
    assert nginx.resident() - before < 3000
