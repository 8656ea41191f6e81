# SPDX-License-Identifier: BSD-2-Clause
"""The ways in which nginx may run its processes."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from .checker import VALGRIND
from .client import (
    PATIENCE,
    children_of,
    eventually,
    is_stopped,
    is_there,
)
from .conftest import NewNginx
from .nginx import Nginx

ASK = """
    local probe = require("probe").load()
    local py = assert(ngx.load_ffi("ffi_python3", "evaluate,init"))
    local _, pid = py:run("import os; result = os.getpid()")
    return probe:call("x"), tonumber(pid)
"""

# A signal to a process with threads: the kernel's goes to the one that waits
# for events, and wakes it.
only_the_kernel = pytest.mark.skipif(
    VALGRIND, reason="any thread may get the signal there"
)


class Daemon:
    """That configuration, but with `daemon on`: nobody's child."""

    def __init__(self, nginx: Nginx) -> None:
        text = nginx.conf.read_text()
        nginx.conf.write_text(text.replace("daemon off;", "daemon on;"))
        self.nginx = nginx
        subprocess.run(
            nginx._command(),
            env=nginx._environ,
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=PATIENCE,
        )
        self.pid = int(eventually(self._pid, "the file of the pid"))

    def _pid(self) -> str:
        path = self.nginx.prefix / "nginx.pid"
        return path.read_text().strip() if path.exists() else ""

    def there(self) -> bool:
        return is_there(self.pid)

    def workers(self) -> set[int]:
        return children_of(self.pid)


@pytest.fixture
def daemons(new_nginx: NewNginx) -> Iterator[list[Daemon]]:
    started: list[Daemon] = []
    yield started
    for daemon in started:
        for pid in {daemon.pid, *daemon.workers()} if daemon.there() else ():
            os.kill(pid, signal.SIGKILL)
        daemon.nginx._end()


@pytest.mark.parametrize("workers", [1, 2])
def test_daemon(
    new_nginx: NewNginx, daemons: list[Daemon], workers: int
) -> None:
    daemon = Daemon(new_nginx(workers=workers))
    daemons.append(daemon)
    nginx = daemon.nginx
    eventually(lambda: len(daemon.workers()) == workers, "workers")
    for _ in range(3):
        ok, res = nginx.lua(ASK)
        assert ok is True
        assert res in daemon.workers()
    old = daemon.workers()
    os.kill(daemon.pid, signal.SIGHUP)
    eventually(
        lambda: (
            not old & daemon.workers() and len(daemon.workers()) == workers
        ),
        "new workers instead of the old",
    )
    assert nginx.lua(ASK)[0] is True
    os.kill(daemon.pid, signal.SIGQUIT)
    eventually(lambda: not daemon.there(), "the end")
    nginx._check_log(0)


@only_the_kernel
def test_daemon_without_a_master(
    new_nginx: NewNginx, daemons: list[Daemon]
) -> None:
    daemon = Daemon(new_nginx(master=False))
    daemons.append(daemon)
    assert daemon.nginx.lua(ASK) == [True, daemon.pid]
    os.kill(daemon.pid, signal.SIGQUIT)
    eventually(lambda: not daemon.there(), "the end")
    daemon.nginx._check_log(0)


@only_the_kernel
@pytest.mark.parametrize("how", ["quit", "stop"])
def test_no_master(new_nginx: NewNginx, how: str) -> None:
    with new_nginx(master=False) as nginx:
        assert nginx.lua(ASK) == [True, nginx.pid]
        getattr(nginx, how)()
        nginx.wait()


@pytest.mark.parametrize("workers", [1, 8])
def test_workers(new_nginx: NewNginx, workers: int) -> None:
    """Each with a Python of its own, before and after a reload."""
    http = """
        init_worker_by_lua_block {
            assert(ngx.load_ffi("ffi_python3", "evaluate,init"))
            assert(require("probe").load())
        }
    """
    with new_nginx(workers=workers, http=http) as nginx:
        for _ in range(2):
            pids = nginx.worker_pids()
            assert len(pids) == workers
            seen: set[int] = set()

            def ask(pids: set[int] = pids, seen: set[int] = seen) -> bool:
                ok, pid = nginx.lua(ASK)
                assert ok is True
                seen.add(pid)
                return seen & pids == pids

            # connections go to whoever is first: stop those that were
            stopped: set[int] = set()
            try:
                while not ask():
                    for pid in seen - stopped:
                        os.kill(pid, signal.SIGSTOP)
                        stopped.add(pid)
                        # a connection may still wake it until then
                        eventually(functools.partial(is_stopped, pid))
            finally:
                for pid in stopped:
                    os.kill(pid, signal.SIGCONT)
            nginx.reload()
            for pid in pids:
                nginx.wait_gone(pid)


def test_privileged_agent(new_nginx: NewNginx) -> None:
    """A process of OpenResty's that takes no connections."""
    http = """
        lua_shared_dict board 64k;
        init_by_lua_block {
            local process = require "ngx.process"
            local ok, err = process.enable_privileged_agent(10)
            ngx.shared.board:set("enabled", tostring(ok or err))
        }
        init_worker_by_lua_block {
            if require("ngx.process").type() ~= "privileged agent" then
                return
            end
            ngx.timer.at(0, function()
                local py = assert(ngx.load_ffi("ffi_python3",
                                               "evaluate,init"))
                local _, res = py:run("import os; result = os.getpid()")
                ngx.shared.board:set("agent", tonumber(res))
            end)
        }
    """
    with new_nginx(http=http) as nginx:
        (enabled,) = nginx.lua('return ngx.shared.board:get("enabled")')
        if "missing" in enabled:
            pytest.skip(f"this nginx has none: {enabled}")
        agent = eventually(
            lambda: nginx.lua('return ngx.shared.board:get("agent")')[0]
        )
        assert agent in nginx.children() - {nginx.worker()}
        nginx.quit()
        nginx.wait()
