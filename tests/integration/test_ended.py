# SPDX-License-Identifier: BSD-2-Clause
"""Poll loops that have died."""

from __future__ import annotations

import pytest

from .client import eventually
from .nginx import Nginx

pytestmark = pytest.mark.valgrind

ENDED = "the runtime has ended"

# a poll loop as users write it: an exception ends its thread
FRAGILE = """
import threading
from evaluate import C, answer, ffi

def poll(tq):
    while True:
        task = C.ngx_http_lua_ffi_task_poll(ffi.cast("void *", tq))
        if task == ffi.NULL:
            break
        req = C.ngx_http_lua_ffi_get_req(task, ffi.NULL)
        if ffi.string(req) == b"raise":
            answer(task, 1, "on my way out")
            raise ValueError("nobody catches this")
        answer(task, 0, "fine")

def init(cfg, tq):
    threading.Thread(target=poll, args=(tq,), daemon=True).start()
    return 0
"""


def lines(nginx: Nginx, since: int) -> list[str]:
    return [
        line
        for line in nginx.log(since).splitlines()
        if "every thread that took calls" in line
    ]


def test_what_waits_fails_at_once(nginx: Nginx) -> None:
    """Without a deadline, and without a further call."""
    since = len(nginx.log())
    assert nginx.lua(
        """
        local probe = require "probe"
        local rt = probe.load("dies")
        local threads = { ngx.thread.spawn(rt.call, rt, "gate") }
        probe.wait("gated", 1)
        threads[2] = ngx.thread.spawn(rt.call, rt, "die")
        for i = 3, 12 do
            threads[i] = ngx.thread.spawn(rt.call, rt, "x", { timeout = 0 })
        end
        probe.open_gate()
        local seen = {}
        for i = 1, 12 do
            local _, ok, res = ngx.thread.wait(threads[i])
            seen[i] = tostring(ok) .. " " .. res
        end
        return unpack(seen)
        """
    ) == ["true through", "true dead", *[f"false {ENDED}"] * 10]
    (line,) = eventually(lambda: lines(nginx, since))
    assert '"probe" has ended: 10 calls' in line
    assert "rt:__reload()" in line


def test_new_calls_fail_at_once(nginx: Nginx) -> None:
    since = len(nginx.log())
    assert (
        nginx.lua(
            """
        local probe = require "probe"
        local rt = probe.load("dies, then is called")
        local threads = probe.threads()
        assert(rt:call("die"))
        probe.wait("threads", threads - 1)
        local seen = {}
        for i = 1, 3 do
            seen[i] = select(2, rt:call("x", { timeout = 0 }))
        end
        return unpack(seen)
        """
        )
        == [ENDED] * 3
    )
    assert len(eventually(lambda: lines(nginx, since))) == 1


def test_what_was_taken_is_not_given_up(nginx: Nginx) -> None:
    """Another thread may still answer it."""
    assert nginx.lua(
        """
        local probe = require "probe"
        local rt = probe.load("dies, has taken")
        local held = ngx.thread.spawn(rt.call, rt, "hold", { timeout = 0 })
        local threads = probe.threads()
        assert(rt:call("die"))
        probe.wait("threads", threads - 1)
        local err = select(2, rt:call("x"))
        probe.release()
        local _, ok, res = ngx.thread.wait(held)
        return err, ok, res
        """
    ) == [ENDED, True, "released"]


def test_one_of_several_threads(nginx: Nginx) -> None:
    since = len(nginx.log())
    assert nginx.lua(
        """
        local probe = require "probe"
        local rt = probe.load("threads=2 one dies")
        local gates = {}
        for i = 1, 2 do
            gates[i] = ngx.thread.spawn(rt.call, rt, "gate")
        end
        probe.wait("gated", 2)
        probe.open_gate()
        ngx.thread.wait(gates[1])
        ngx.thread.wait(gates[2])
        local threads = probe.threads()
        assert(rt:call("die"))
        probe.wait("threads", threads - 1)
        return rt:call("x")
        """
    ) == [True, "x"]
    assert not lines(nginx, since)


def test_before_the_first_poll(nginx: Nginx) -> None:
    """There is no thread yet, but there will be."""
    assert nginx.lua(
        """
        local rt = require("probe").load("slow to begin")
        return rt:call("x")
        """
    ) == [True, "x"]


def test_another_thread_takes_over(nginx: Nginx) -> None:
    since = len(nginx.log())
    assert nginx.lua(
        f"""
        local probe = require "probe"
        local rt = probe.load("dies twice")
        local results = {{}}
        for i = 1, 2 do
            local threads = probe.threads()
            assert(rt:call("die"))
            probe.wait("threads", threads - 1)
            local ok, res = rt:call("x")
            assert(ok == false and res == "{ENDED}", res)
            probe.revive()
            for _ = 1, 1000 do
                ok, res = rt:call("y")
                if ok then break end
                ngx.sleep(0.01)
            end
            results[i] = res
        end
        return unpack(results)
        """
    ) == ["y", "y"]
    assert len(eventually(lambda: lines(nginx, since))) == 2


def test_what_waits_in_an_unloaded_one(nginx: Nginx) -> None:
    since = len(nginx.log())
    assert nginx.lua(
        """
        local probe = require "probe"
        local rt = probe.load("dies, unloaded")
        local gate = ngx.thread.spawn(rt.call, rt, "gate")
        probe.wait("gated", 1)
        local dies = ngx.thread.spawn(rt.call, rt, "die")
        local waits = ngx.thread.spawn(rt.call, rt, "x", { timeout = 0 })
        rt:__unload()
        probe.open_gate()
        ngx.thread.wait(gate)
        ngx.thread.wait(dies)
        local _, ok, err = ngx.thread.wait(waits)
        return ok, err
        """
    ) == [False, ENDED]
    assert not lines(nginx, since)


def test_a_python_loop(nginx: Nginx) -> None:
    nginx.write_python("fragile.py", FRAGILE)
    since = len(nginx.log())
    assert nginx.lua(
        """
        local rt = assert(ngx.load_ffi("ffi_python3", "fragile,init"))
        assert(rt:call("x"))
        assert(select(3, rt:call("raise")) == "on my way out")
        local ok, err
        repeat
            ok, err = rt:call("x", { timeout = 0 })
        until not ok
        return err
        """
    ) == [ENDED]
    assert "ValueError: nobody catches this" in nginx.log(since)
    eventually(lambda: lines(nginx, since))
