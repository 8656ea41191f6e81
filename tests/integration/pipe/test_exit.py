# SPDX-License-Identifier: BSD-2-Clause
"""Workers and runtimes that end while s:pipe() sends."""

from __future__ import annotations

import http.client
import os
import signal
from collections.abc import Iterator

import pytest

from ..client import eventually
from ..conftest import NewNginx
from ..nginx import Nginx
from ..pipes import SERVER, STREAMS, answer_of, ask, letters, settle, take

SOME = 'pipe("send", "parts=20 size=1000 sleep=30 last=3")'
WHOLE = letters(20, 1000) + b"..."


@pytest.fixture
def nginx(new_nginx: NewNginx) -> Iterator[Nginx]:
    main = "worker_shutdown_timeout 1s;"
    with new_nginx(server=SERVER, main=main) as nginx:
        yield nginx


@pytest.mark.valgrind
@pytest.mark.parametrize("how", ["quit", "reload"])
def test_a_worker_that_leaves_sends_the_rest(nginx: Nginx, how: str) -> None:
    answer = answer_of(ask(nginx, "/run", SOME))
    old = nginx.worker()
    getattr(nginx, how)()
    assert answer.read() == WHOLE
    if how == "reload":
        nginx.wait_gone(old)
        assert answer_of(ask(nginx, "/run", SOME)).read() == WHOLE
        assert take(nginx) == [len(WHOLE)]
    else:
        nginx.wait()


@pytest.mark.valgrind
@pytest.mark.parametrize("size", [10, 1_000_000])
def test_the_shutdown_timeout_ends_it(nginx: Nginx, size: int) -> None:
    sock = ask(nginx, "/run", f'pipe("endless", "size={size} sleep=20")')
    answer = answer_of(sock)
    nginx.quit()
    nginx.wait()
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        answer.read()


@pytest.mark.valgrind
def test_a_worker_that_is_stopped(nginx: Nginx) -> None:
    sock = ask(nginx, "/run", 'pipe("endless", "size=1000000")')
    answer = answer_of(sock)
    nginx.stop()
    nginx.wait()
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        answer.read()


@pytest.mark.valgrind
def test_a_runtime_is_unloaded(nginx: Nginx) -> None:
    """What it has begun it ends."""
    answer = answer_of(ask(nginx, "/run", SOME))
    assert nginx.lua(STREAMS + "return rt:__unload()") == [True]
    assert answer.read() == WHOLE
    assert take(nginx) == [len(WHOLE)]
    settle(nginx)


def test_a_worker_that_is_killed(nginx: Nginx) -> None:
    nginx.allow_log("exited on signal 9")
    answer = answer_of(ask(nginx, "/run", SOME))
    pid = nginx.worker()
    nginx.expect_other_worker()

    os.kill(pid, signal.SIGKILL)
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        answer.read()
    eventually(lambda: pid not in nginx.children(), "it is gone")
    nginx.wait_successor(pid)
