# SPDX-License-Identifier: BSD-2-Clause
"""A runtime whose threads take no calls any more."""

from __future__ import annotations

import pytest

from .client import eventually
from .nginx import Nginx

STUCK = "the runtime is stuck"

# its only thread is held up, and a call has waited for it in vain
HELD_UP = """
    local probe = require "probe"
    local rt = probe.load({cfg})
    local gated, reports = probe.gated(), probe.reports()
    local busy = ngx.thread.spawn(rt.call, rt, "gate", {{ timeout = 0 }})
    probe.wait("gated", gated + 1)
    local _, vain = rt:call("x", {{ timeout = 1000 }})
    assert(vain == "timeout", vain)
"""

# it goes on, and takes what waits
GO_ON = """
    probe.open_gate()
    assert(select(2, ngx.thread.wait(busy)))
    assert(rt:call("x", { timeout = 0 }))
"""

BLOCKING = """
import threading
from resty_ffi import serve

entered = threading.Event()
opened = threading.Event()

@serve
async def app(request):
    if request == b"block":
        entered.set()
        opened.wait()
    return request

@serve
def turn(request):
    if request == b"wait":
        entered.wait()
    else:
        opened.set()
"""


def held_up(cfg: str) -> str:
    return HELD_UP.format(cfg=f'"{cfg}"')


def lines(nginx: Nginx, since: int, what: str) -> list[str]:
    return [line for line in nginx.log(since).splitlines() if what in line]


@pytest.mark.valgrind
def test_new_calls_fail_until_one_is_taken(nginx: Nginx) -> None:
    assert nginx.lua(
        f"""{held_up("refuses")}
        local ok, err = rt:call("x", {{ timeout = 1000 }})
        local short, why = rt:call("x", {{ timeout = 5 }})
        {GO_ON}
        local again, res = rt:call("again")
        return ok, err, short, why, again, res
        """
    ) == [False, STUCK, False, STUCK, True, "again"]


def test_what_may_wait_longer_is_not_refused(nginx: Nginx) -> None:
    assert nginx.lua(
        f"""{held_up("patient")}
        local long = ngx.thread.spawn(rt.call, rt, "a", {{ timeout = 1e6 }})
        local ever = ngx.thread.spawn(rt.call, rt, "b", {{ timeout = 0 }})
        {GO_ON}
        local _, _, a = ngx.thread.wait(long)
        local _, _, b = ngx.thread.wait(ever)
        return a, b
        """
    ) == ["a", "b"]


def test_it_is_said_once_each_time(nginx: Nginx) -> None:
    since = len(nginx.log())
    for _ in range(2):
        assert nginx.lua(
            f"""{held_up("said")}
            for i = 1, 20 do
                local ok, err = rt:call("x", {{ timeout = 1000 }})
                assert(ok == false and err == "{STUCK}", err)
            end
            local reported = probe.reports() - reports
            {GO_ON}
            assert(rt:call("x"))
            return reported
            """
        ) == [1]
    said = eventually(lambda: lines(nginx, since, "is stuck"))
    assert len(said) == 2
    for line in said:
        assert '"probe" is stuck' in line
        assert "rt:__reload()" in line
    report = "probe: 1 threads are at a gate, calls wait"
    eventually(lambda: len(lines(nginx, since, report)) == 2)


def test_nobody_has_ever_polled(nginx: Nginx) -> None:
    assert nginx.lua(
        """
        local rt = require("probe").load("threads=0")
        local first = { rt:call("x", { timeout = 1000 }) }
        local second = { rt:call("x", { timeout = 1000 }) }
        return first[2], second[2]
        """
    ) == ["timeout", STUCK]


def test_slow_is_not_stuck(nginx: Nginx) -> None:
    """The call that timed out was not taken, but others have been."""
    since = len(nginx.log())
    assert nginx.lua(
        """
        local probe = require "probe"
        local rt = probe.load("busy")
        local held = {}
        for i = 1, 2 do
            held[i] = ngx.thread.spawn(rt.call, rt, "gate", { timeout = 0 })
        end
        probe.wait("gated", 1)
        local received = probe.received()
        local t = ngx.thread.spawn(rt.call, rt, "x", { timeout = 3000 })
        probe.open_gate()
        probe.wait("received", received + 1)
        probe.wait("gated", 1)
        local _, ok, err = ngx.thread.wait(t)
        probe.open_gate()
        for i = 1, 2 do
            assert(select(2, ngx.thread.wait(held[i])))
        end
        return err, rt:call("y")
        """
    ) == ["timeout", True, "y"]
    assert not lines(nginx, since, "is stuck")


def test_an_event_loop(nginx: Nginx) -> None:
    """A handler that blocks keeps it from taking calls, and from polling."""
    nginx.write_python("blocking.py", BLOCKING)
    since = len(nginx.log())
    assert nginx.lua(
        """
        local load = ngx.load_ffi
        local rt = assert(load("ffi_python3", "blocking,app"))
        local gate = assert(load("ffi_python3", "blocking,turn"))
        assert(rt:call("x"))
        local busy = ngx.thread.spawn(rt.call, rt, "block",
                                      { timeout = 0 })
        gate:call("wait")
        local first = select(2, rt:call("x", { timeout = 1000 }))
        local second = select(2, rt:call("x", { timeout = 1000 }))
        gate:call("open")
        local _, ok, res = ngx.thread.wait(busy)
        assert(rt:call("x", { timeout = 0 }))
        return first, second, ok, res, rt:call("y")
        """
    ) == ["timeout", STUCK, True, "block", True, "y"]
    assert len(lines(nginx, since, '"blocking.app" is stuck')) == 1
