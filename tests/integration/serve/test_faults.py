# SPDX-License-Identifier: BSD-2-Clause
"""What a handler may do to the process that it runs in."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException

import pytest

from ..checker import CHECKED
from ..client import eventually
from ..conftest import NewNginx
from ..nginx import Nginx
from .calls import SETTINGS, at_once, call, loaded

# what watches the memory would die with it, or report its end
unwatched = pytest.mark.skipif(CHECKED, reason="is a fault on purpose")


@pytest.fixture
def several(new_nginx: NewNginx) -> Iterator[Nginx]:
    with new_nginx(workers=2, **SETTINGS) as nginx:
        yield nginx


# -- recursion


@pytest.mark.parametrize("target", ["Deep", "deep_async"])
@pytest.mark.parametrize("kind", ["call", "sort", "attribute"])
def test_default_depth(nginx: Nginx, target: str, kind: str) -> None:
    ok, rc, err = call(
        nginx, f"faults,{target}", f"{kind} 100000 1000", method=""
    )
    assert (ok, rc) == (False, 1)
    assert err.startswith("RecursionError: maximum recursion depth exceeded")
    assert call(nginx, f"faults,{target}", f"{kind} 100 1000", method="") == [
        *(True, "100"),
    ]


@pytest.mark.parametrize("target", ["Deep", "deep_async"])
@pytest.mark.parametrize("kind", ["call", "sort", "attribute"])
def test_10_000_frames(nginx: Nginx, target: str, kind: str) -> None:
    """Reached, or told that it is too deep; where frames of C are between
    those of Python, too."""
    for depth in (9_900, 1_000_000):
        ok, *answer = call(
            nginx, f"faults,{target}", f"{kind} {depth} 10000", method=""
        )
        if ok:
            assert answer == [str(depth)]
            assert depth < 10_000
        else:
            assert answer[1].startswith("RecursionError: ")


# -- memory


@unwatched
@pytest.mark.parametrize("method", ["at_once", "bit_by_bit"])
def test_no_memory(nginx: Nginx, method: str) -> None:
    for _ in range(3):
        assert call(nginx, "faults,Memory", method=method) == [
            *(False, 1, "MemoryError"),
        ]
        assert call(nginx, "faults,Memory", "x", method="fine") == [True, "x"]


# -- the CPU


def test_beside_busy_threads(nginx: Nginx) -> None:
    assert call(nginx, "faults,Busy", "3", method="start") == [True, None]
    try:
        for cfg in ("kinds,upper", "kinds,eight", "kinds,fetch"):
            (answers,) = nginx.lua(f"{at_once(cfg, 24)} return all")
            assert [answer[0] for answer in answers] == [True] * 24
            assert nginx.get("/ping").text == "pong"
    finally:
        assert call(nginx, "faults,Busy", method="stop") == [True, None]


# -- the end of the process


def ask(nginx: Nginx) -> int:
    ok, pid = call(nginx, "faults,Dead", method="pid")
    assert ok is True
    return int(pid)


@unwatched
@pytest.mark.parametrize(
    ("method", "status"),
    [
        ("exit", "exited with code 3"),
        ("abort", "exited on signal 6"),
        ("segfault", "exited on signal 11"),
        ("kill", "exited on signal 9"),
    ],
)
def test_a_dead_worker(several: Nginx, method: str, status: str) -> None:
    """Has a successor, which starts clean; the other worker goes on."""
    nginx = several
    nginx.allow_log(status)
    pids = nginx.worker_pids()
    with pytest.raises((HTTPException, OSError)):
        call(nginx, "faults,Dead", method=method)
    nginx.expect_other_worker()
    eventually(
        lambda: (
            len(nginx.worker_pids() & pids) == 1
            and len(nginx.worker_pids()) == 2
        ),
        "a successor",
    )
    eventually(lambda: ask(nginx) in nginx.worker_pids() - pids, "it serves")
    eventually(lambda: ask(nginx) in pids, "the other one serves")
    assert nginx.count_log(status) == 1


def test_a_killed_worker_loses_its_own_calls(several: Nginx) -> None:
    """Those of the other worker are answered; nothing is left behind."""
    nginx = several
    nginx.allow_log("exited on signal 9")
    pids = nginx.worker_pids()
    code = f"return ngx.worker.pid(), {loaded('faults,held')}:call('1.5')"
    with ThreadPoolExecutor(16) as pool:
        calls = [pool.submit(nginx.lua, code) for _ in range(16)]
        begun = """
            local py = assert(ngx.load_ffi("ffi_python3", "faults,Dead"))
            return ngx.worker.pid()
        """
        victim = nginx.lua(begun)[0]
        os.kill(victim, signal.SIGKILL)
        answered = [done.result() for done in calls if not done.exception()]
        lost = [done for done in calls if done.exception()]
    assert all(
        pid in nginx.worker_pids() and (ok, res) == (True, str(pid))
        for pid, ok, res in answered
    )
    assert len(answered) + len(lost) == 16
    nginx.wait_successor(victim)
    assert nginx.worker_pids() > pids - {victim}
    eventually(lambda: ask(nginx) in nginx.worker_pids() - pids, "it serves")
