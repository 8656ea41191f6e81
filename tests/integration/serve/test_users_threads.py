# SPDX-License-Identifier: BSD-2-Clause
"""Threads that handlers start are as in plain Python: no daemons."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..client import PATIENCE, eventually
from ..conftest import NewNginx
from ..nginx import Nginx
from .calls import SETTINGS, call, load, loaded, unload

CUT_OFF = "threads that are no daemons and have not ended"
KINDS = ["plain", "threads", "loop", "Pooled"]
WHATS = ["thread", "timer", "pool", "nested"]


@contextlib.contextmanager
def running(new_nginx: NewNginx, notes: Path, timeout: str) -> Iterator[Nginx]:
    http = f"ffi_exit_timeout {timeout};"
    settings = {**SETTINGS, "http": http, "environ": {"NOTES": str(notes)}}
    with new_nginx(**settings) as nginx:
        yield nginx


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    return tmp_path / "notes"


def read(notes: Path) -> list[str]:
    return notes.read_text().splitlines() if notes.exists() else []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "how", ["HUP", pytest.param("quit", marks=pytest.mark.valgrind)]
)
def test_the_worker_waits_for_them(
    new_nginx: NewNginx, notes: Path, kind: str, how: str
) -> None:
    with running(new_nginx, notes, "60s") as nginx:
        for what in [*WHATS, *(["to_thread"] if kind == "loop" else [])]:
            assert call(nginx, f"workers,{kind}", f"{what} 0.6") == [
                True,
                "False",
            ]
        call(nginx, f"workers,{kind}", "daemon 3600")
        old = nginx.worker()
        if how == "HUP":
            nginx.reload()
            nginx.wait_gone(old)
        else:
            nginx.quit()
            nginx.wait()
        done = read(notes)
        for what in WHATS:
            assert done.count(f"{what} False") == (3 if what == "pool" else 1)
        if kind == "loop":
            assert "to_thread False" in done
        assert "daemon True" not in done
        assert not nginx.count_log("ffi_python3: .*threads")


@pytest.mark.parametrize("how", ["unload", "reload"])
def test_an_unload_leaves_them_alone(
    new_nginx: NewNginx, notes: Path, how: str
) -> None:
    with running(new_nginx, notes, "60s") as nginx:
        cfg = "workers?,plain"
        for what in WHATS:
            call(nginx, cfg, f"{what} 0.6")
        if how == "unload":
            unload(nginx, cfg)
        else:
            assert nginx.lua(f"return {loaded(cfg)}:__reload()") == [True]
        eventually(lambda: len(read(notes)) == 6, "all work is done")


@pytest.mark.parametrize("kind", ["plain", "loop"])
def test_what_is_cut_off_is_named(
    new_nginx: NewNginx, notes: Path, kind: str
) -> None:
    """With its stack; what ends before that is not."""
    with running(new_nginx, notes, "3s") as nginx:
        cfg = f"workers,{kind}"
        for what in ("thread", "timer", "pool"):
            call(nginx, cfg, f"{what} 3600")
        call(nginx, cfg, "nested 0.3")
        since = len(nginx.log())
        nginx.quit()
        nginx.wait(PATIENCE)
        assert read(notes) == ["nested False"]
        entries = re.split(
            r"^(?=\d{4}/\d\d/\d\d )", nginx.log(since), flags=re.M
        )
        (text,) = (e for e in entries if CUT_OFF in e)
        assert "[warn]" in text
        assert len(re.findall(r"^thread ", text, re.M)) == 3
        where = r'File ".*/workers\.py", line \d+, in job\n    time\.sleep'
        for title, stack in [
            ('"thread":', rf"  {where}"),
            ('"users-pool_0":', rf"(  .*\n)+  {where}"),
            ('".*", waiting to call workers.job:', r"  File .*, in wait\n"),
        ]:
            pattern = rf"^thread \d+ {title}\n{stack}"
            assert re.search(pattern, text, re.M), pattern


def test_a_job_that_takes_nearly_all_of_the_time(
    new_nginx: NewNginx, notes: Path
) -> None:
    with running(new_nginx, notes, "20s") as nginx:
        call(nginx, "workers,plain", "pool 6")
        nginx.quit()
        nginx.wait(30)
        assert read(notes) == ["pool False"] * 3


def test_threads_of_import_and_init(new_nginx: NewNginx, notes: Path) -> None:
    with running(new_nginx, notes, "5s") as nginx:
        assert load(nginx, "workers,poll_loop") is None
        assert nginx.python("import workers; result = workers.PLACE") == str(
            {"at_import": False, "in_init": False}
        )


def test_runtimes_are_not_waited_for_as_users_threads(
    new_nginx: NewNginx, notes: Path
) -> None:
    """They end at once, however long the worker would wait."""
    with running(new_nginx, notes, "600s") as nginx:
        for kind in KINDS:
            call(nginx, f"workers,{kind}", "nested 0")
        nginx.quit()
        nginx.wait()
        assert not nginx.count_log("ffi_python3: .*threads")
