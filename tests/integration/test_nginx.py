# SPDX-License-Identifier: BSD-2-Clause
"""The nginx of the tests: how it ends, and what it says of faults."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
from pathlib import Path

import pytest

from .client import eventually, is_there
from .conftest import NewNginx

DYING = "location = /die { content_by_lua_block { os.exit(1) } }"


def still_in(folder: Path) -> set[int]:
    """The processes whose working directory that is, or was."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            # behind the name of one that is gone stands that it is
            cwd = str((process / "cwd").readlink()).split()[0]
            if cwd == str(folder) and is_there(int(process.name)):
                found.add(int(process.name))
    return found


def test_a_worker_that_starts_while_nginx_is_killed(
    new_nginx: NewNginx,
) -> None:
    prefix = Path()

    def die() -> None:
        nonlocal prefix
        with new_nginx(server=DYING) as nginx:
            prefix = nginx.prefix
            assert still_in(prefix)
            # this leaves the block just when the master starts another
            nginx.get("/die")

    for _ in range(30):
        with pytest.raises(http.client.RemoteDisconnected):
            die()
        eventually(lambda: not still_in(prefix), "all end")


def test_what_a_checker_has_found_is_said_first(new_nginx: NewNginx) -> None:
    def fail() -> None:
        with new_nginx() as nginx:
            report = nginx.prefix / "checker.7"
            report.write_text("==7== Invalid read of size 8")
            worker = nginx.worker()
            os.kill(worker, signal.SIGSEGV)
            nginx.wait_successor(worker)

    with pytest.raises(AssertionError, match="Invalid read"):
        fail()
