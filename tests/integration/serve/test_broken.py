# SPDX-License-Identifier: BSD-2-Clause
"""Event loops whose descriptors have been closed."""

from __future__ import annotations

import pytest

from ..client import eventually
from ..conftest import NewNginx
from ..nginx import Nginx
from .calls import SETTINGS, loaded


def test_a_loop_without_its_selector(nginx: Nginx) -> None:
    """Its calls fail at once, one line says why, and a reload mends it."""
    since = len(nginx.log())
    code = f"""
        local rt = {loaded("broken,Loop")}
        local held = ngx.thread.spawn(rt.forever, rt)
        assert(rt:echo("before") == true)
        local closed, res = rt:close_selector()
        local _, ok, rc, text = ngx.thread.wait(held)
        local after, why
        for i = 1, 100 do
            after, why = rt:echo("after", {{ timeout = 5000 }})
            if why == "the runtime has ended" then
                break
            end
            ngx.sleep(0.05)
        end
        assert(rt:__reload())
        return closed, res, ok, rc, text, after, why, rt:echo("again")
    """
    assert nginx.lua(code) == [
        *(True, "closed"),
        *(False, 1, "CancelledError"),
        *(False, "the runtime has ended"),
        *(True, "again"),
    ]
    lines = nginx.log(since).splitlines()
    (line,) = [line for line in lines if "does not run any more" in line]
    assert "broken.Loop: its event loop" in line
    assert "Bad file descriptor" in line
    assert "rt:__reload()" in line


@pytest.mark.parametrize("spin", ["", "ngx.sleep(0.5)"])
def test_a_loop_without_its_eventfd(new_nginx: NewNginx, spin: str) -> None:
    """That of the worker is gone as well."""
    with new_nginx(**SETTINGS) as nginx:
        worker = nginx.worker()
        nginx.expect_other_worker()
        assert nginx.lua(
            f"""
            local rt = {loaded("broken,Loop")}
            assert(rt:echo("before") == true)
            local ok, res = rt:close_eventfds()
            {spin}
            return ok, res
            """
        ) == [True, "closed"]
        nginx.wait_gone(worker)
        eventually(lambda: len(nginx.worker_pids()) == 1, "a successor")
        assert nginx.lua(f'return {loaded("broken,Loop")}:echo("x")') == [
            True,
            "x",
        ]
        assert nginx.count_log("closed descriptors that are not its own") == 1
