"""The nginx of the tests: nothing of it outlives a test."""

from __future__ import annotations

import contextlib
import http.client
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
