# SPDX-License-Identifier: BSD-2-Clause
"""An event loop ends as asyncio.run ends it, and within a bound."""

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

LEFT = "generator task jobs"
ENDED = {"generator closed", "task cancelled", "task saved", "job done"}


@pytest.fixture(
    scope="module",
    params=[pytest.param("asyncio", marks=pytest.mark.asan), "uvloop"],
)
def loop(request: pytest.FixtureRequest) -> str:
    name = request.param
    assert isinstance(name, str)
    return name


@contextlib.contextmanager
def running(
    new_nginx: NewNginx, loop: str, notes: Path, timeout: str = "5s"
) -> Iterator[Nginx]:
    http = f"ffi_exit_timeout {timeout};"
    settings = {**SETTINGS, "http": http, "environ": {"NOTES": str(notes)}}
    with new_nginx(**settings) as nginx:
        if loop == "asyncio":
            nginx.write_python("uvloop.py", "raise ImportError('not here')\n")
        yield nginx


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    return tmp_path / "notes"


def shorten(nginx: Nginx) -> None:
    """What does not end is given up sooner."""
    nginx.python("import resty_ffi._ending as it; it.END_S = 1.0")


def read(notes: Path) -> list[str]:
    return notes.read_text().splitlines() if notes.exists() else []


def end(nginx: Nginx, cfg: str, how: str) -> None:
    """Begins it; quit and HUP wait for the worker."""
    old = nginx.worker()
    if how == "unload":
        unload(nginx, cfg)
    elif how == "reload":
        assert nginx.lua(f"return {loaded(cfg)}:__reload()") == [True]
    elif how == "HUP":
        nginx.reload()
        nginx.wait_gone(old)
    else:
        nginx.quit()
        nginx.wait()


@pytest.mark.parametrize(
    "how",
    [
        "unload",
        pytest.param("reload", marks=pytest.mark.valgrind),
        "HUP",
        pytest.param("quit", marks=pytest.mark.valgrind),
    ],
)
@pytest.mark.parametrize("name", ["leave", "WithClose"])
def test_all_that_is_left_ends(
    new_nginx: NewNginx, loop: str, notes: Path, name: str, how: str
) -> None:
    """Also jobs that wait in the executor's queue."""
    with running(new_nginx, loop, notes, "30s") as nginx:
        cfg = f"endings,{name}"
        assert call(nginx, cfg, LEFT) == [True, LEFT]
        jobs = nginx.python("import endings; result = len(endings.kept) - 2")
        end(nginx, cfg, how)
        eventually(lambda: set(read(notes)) >= ENDED, "all of it ends")
        eventually(lambda: read(notes).count("job done") == int(jobs))
        said = read(notes)
        if name == "WithClose":
            assert said.index("close begins") < said.index("task cancelled")
            assert "close ends beside 1 tasks" in said
        assert said.index("task saved") < said.index("generator closed")
        assert not nginx.count_log("have not ended|leaves without")


@pytest.mark.parametrize(
    "how", ["unload", pytest.param("quit", marks=pytest.mark.valgrind)]
)
def test_a_task_that_fails_as_it_is_cancelled(
    new_nginx: NewNginx, loop: str, notes: Path, how: str
) -> None:
    """It is logged, as asyncio.run does; not if somebody has awaited it."""
    with running(new_nginx, loop, notes) as nginx:
        cfg = "endings,leave"
        nginx.allow_log("a task has failed as its loop ended|ValueError")
        assert call(nginx, cfg, "fails awaited") == [True, "fails awaited"]
        end(nginx, cfg, how)
        nginx.wait_log(
            "a task has failed as its loop ended\n(.*\n)+?"
            "ValueError: as the loop ended"
        )
        eventually(lambda: "failure awaited" in read(notes))
        assert nginx.count_log("a task has failed as its loop ended") == 1
        assert not nginx.count_log("never retrieved")


def test_close_runs_in_the_loop(
    new_nginx: NewNginx, loop: str, notes: Path
) -> None:
    with running(new_nginx, loop, notes) as nginx:
        assert call(nginx, "endings,PlainClose", "x") == [True, "x"]
        unload(nginx, "endings,PlainClose")
        eventually(lambda: any("close in" in line for line in read(notes)))


def test_an_init_that_fails(
    new_nginx: NewNginx, loop: str, notes: Path
) -> None:
    """What it has started ends before the load does."""
    with running(new_nginx, loop, notes) as nginx:
        assert load(nginx, "endings,FailingInit") == (
            "ffi_python3: endings.FailingInit: ValueError: no"
        )
        assert read(notes) == ["turn", "task cancelled", "task saved"]


@pytest.mark.parametrize(
    ("left", "line"),
    [
        (
            "refuses",
            r"endings\.leave: tasks have not ended within 1 s, and are left:"
            r" Task-\d+ in refuse \(.*/endings\.py:\d+\)",
        ),
        (
            "unclosable",
            r"endings\.leave: asynchronous generators have not ended within"
            r" 1 s, and are left: Task-\d+ in never_closed"
            r" \(.*/endings\.py:\d+\), refuse \(.*/endings\.py:\d+\)",
        ),
        (
            "long-job",
            r"endings\.leave: its executor's jobs have not ended within 1 s,"
            r" and go on: endings\.leave_0 in doze"
            r" \(.*/endings\.py:\d+\)",
        ),
    ],
)
def test_what_does_not_end_is_named(
    new_nginx: NewNginx, loop: str, notes: Path, left: str, line: str
) -> None:
    """Once, in one line; and all else ends."""
    with running(new_nginx, loop, notes, "1s") as nginx:
        shorten(nginx)
        cfg = "endings,leave"
        assert call(nginx, cfg, f"{left} task generator") == [
            True,
            f"{left} task generator",
        ]
        unload(nginx, cfg)
        nginx.wait_log(r"\[warn\].*" + line)
        assert "task saved" in read(notes)
        eventually(lambda: "generator closed" in read(notes))
        assert nginx.count_log("and are left|and go on") == 1
        assert nginx.count_log("destroyed but it is pending") == 0
        assert call(nginx, cfg, "x") == [True, "x"]


def test_a_call_that_refuses_to_be_cancelled(
    new_nginx: NewNginx, loop: str, notes: Path
) -> None:
    """Its caller has gone; the runtime does not stay for it."""
    with running(new_nginx, loop, notes, "1s") as nginx:
        shorten(nginx)
        cfg = "endings,WithClose"
        assert call(nginx, cfg, "stay", timeout=500) == [False, "timeout"]
        unload(nginx, cfg)
        nginx.wait_log(
            r"endings\.WithClose: tasks have not ended within 1 s, and are"
            r" left: Task-\d+ in"
            r" WithClose\.__call__ \(.*\), leave \(.*\), refuse \(.*\)"
        )
        assert any("close ends" in line for line in read(notes))
        # once by the deadline, once by the end
        assert read(notes).count("refused") == 2
        eventually(
            lambda: (
                "endings.WithClose"
                not in nginx.python(
                    "import threading\n"
                    "result = [t.name for t in threading.enumerate()]"
                )
            ),
            "its thread ends",
        )
        assert nginx.count_log("not a task that waits") == 0


def test_a_close_that_does_not_end(
    new_nginx: NewNginx, loop: str, notes: Path
) -> None:
    """Is cancelled after a while; all else ends as ever."""
    with running(new_nginx, loop, notes) as nginx:
        nginx.python("import resty_ffi._loop as it; it.CLOSE_S = 0.5")
        cfg = "endings,StuckClose"
        assert call(nginx, cfg, LEFT) == [True, LEFT]
        unload(nginx, cfg)
        nginx.wait_log(
            r"\[warn\].*endings\.StuckClose: close\(\) has not ended within"
            r" 0\.5 s: Task-\d+ in StuckClose\.close \(.*/endings\.py:\d+\)"
        )
        eventually(lambda: {*ENDED, "close cancelled"} <= set(read(notes)))


@pytest.mark.parametrize("left", ["refuses", "stay"])
def test_what_does_not_end_when_the_worker_quits(
    new_nginx: NewNginx, loop: str, notes: Path, left: str
) -> None:
    with running(new_nginx, loop, notes, "3s") as nginx:
        cfg = "endings,WithClose"
        call(nginx, cfg, left, timeout=500)
        since = len(nginx.log())
        nginx.quit()
        nginx.wait(PATIENCE)
        found = re.findall(
            r"\[warn\].*endings\.WithClose: the worker leaves without Task-\d+"
            r" in .*refuse \(.*/endings\.py:\d+\)",
            nginx.log(since),
        )
        assert len(found) == 1
        assert any("close ends" in line for line in read(notes))
