# SPDX-License-Identifier: BSD-2-Clause
"""Each request is a task like any other."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from .site import Site

NEW = pytest.mark.skipif(
    sys.version_info < (3, 11), reason="asyncio has it since 3.11"
)


def test_a_task(site: Site) -> None:
    assert site.ask("/is-task").text == "Task"


def test_a_context_of_its_own(site: Site) -> None:
    for _ in range(3):
        assert site.ask("/context").text == "none"


@NEW
def test_timeout(site: Site) -> None:
    assert site.ask("/times-out").text == "timed out"


@NEW
def test_task_group(site: Site) -> None:
    assert site.ask("/groups").json() == [0, 1, 2, 3, 4]
    since = len(site.log())
    assert site.ask("/group-fails").status == 500
    site.wait_log("ValueError: in a group", since)


def test_anyio(site: Site) -> None:
    for _ in range(3):
        assert site.ask("/any-io").json() == [0, 1, 4, 9]


@pytest.mark.valgrind
def test_goes_on_behind_its_answer(site: Site) -> None:
    assert site.ask("/background?on").text == "answered"
    site.wait_notes("on", "behind")
    assert site.ask("/hello").text == "hello"
    assert site.notes("on") == ["behind"]
    site.ask("/open-gate")
    site.wait_notes("on", "behind", "done")


@pytest.mark.parametrize("how", ["reload", "quit"])
@pytest.mark.parametrize("uvloop", [True, False])
def test_work_behind_ends_before_the_worker(
    tmp_path: Path, how: str, uvloop: bool
) -> None:
    file = tmp_path / "told"
    with Site(uvloop=uvloop) as site:
        site.ask(f"/works-behind?{file},1")
        (old,) = site.worker_pids()
        if how == "reload":
            site.reload()
            site.wait_gone(old)
        else:
            site.quit()
            site.wait()
        assert file.read_text() == "done\n"


@pytest.mark.parametrize("how", ["quit", "stop"])
def test_work_behind_is_cancelled(tmp_path: Path, how: str) -> None:
    file = tmp_path / "told"
    with Site() as site:
        site.ask(f"/works-behind?{file},600")
        site.signal(signal.SIGQUIT if how == "quit" else signal.SIGTERM)
        site.wait()
        assert file.read_text() == "cancelled\n"
        assert "have not ended" not in site.log()


def test_more_time_for_work_behind(tmp_path: Path) -> None:
    file = tmp_path / "told"
    with Site(http="ffi_exit_timeout 20s;") as site:
        site.ask(f"/works-behind?{file},4")
        site.quit()
        site.wait()
        assert file.read_text() == "done\n"
