# SPDX-License-Identifier: BSD-2-Clause
"""rt:__unload(), and what is in flight then."""

from __future__ import annotations

import pytest

from .nginx import Nginx

pytestmark = pytest.mark.valgrind


def test_a_runtime_ends(alone: Nginx) -> None:
    assert alone.lua(
        """
        local probe = require "probe"
        local nulls, threads = probe.nulls(), probe.threads()
        local rt = probe.load("ends")
        assert(rt:call("x"))
        local done = rt:__unload()
        probe.wait("threads", threads)
        return done, probe.nulls() - nulls
        """
    ) == [True, 1]


def test_calls_after_it(nginx: Nginx) -> None:
    assert nginx.lua(
        """
        local probe = require "probe"
        local rt = probe.load("after")
        rt:__unload()
        local received = probe.received()
        local results = { rt:call("x") }
        return results[1], results[2], results[3], select(2, rt("y")),
               probe.received() - received
        """
    ) == [False, "task queue is finished", None, "task queue is finished", 0]


def test_twice(nginx: Nginx) -> None:
    assert nginx.lua(
        """
        local rt = require("probe").load("twice unloaded")
        return rt:__unload(), rt:__unload(), rt:__unload()
        """
    ) == [True, True, True]


def test_an_old_reference_is_not_the_new_runtime(nginx: Nginx) -> None:
    assert nginx.lua(
        """
        local probe = require "probe"
        local inits = probe.inits()
        local old = probe.load("again and again")
        old:__unload()
        local new = probe.load("again and again")
        local after = { old:call("x") }
        old:__unload()
        return old == new, probe.inits() - inits, after[2], new:call("x")
        """
    ) == [False, 2, "task queue is finished", True, "x"]


def test_others_live_on(nginx: Nginx) -> None:
    assert nginx.lua(
        """
        local probe = require "probe"
        local one, two = probe.load("one"), probe.load("two")
        one:__unload()
        return two:call("x")
        """
    ) == [True, "x"]


def test_what_waits_is_answered(alone: Nginx) -> None:
    """Both what still is in the queue and what a thread has taken."""
    assert alone.lua(
        """
        local probe = require "probe"
        local nulls = probe.nulls()
        local rt = probe.load("waits")
        local threads = { ngx.thread.spawn(rt.call, rt, "hold") }
        probe.wait("held", 1)
        threads[2] = ngx.thread.spawn(rt.call, rt, "gate")
        probe.wait("gated", 1)
        for i = 3, 102 do
            threads[i] = ngx.thread.spawn(rt.call, rt, "waiting " .. i)
        end
        rt:__unload()
        local _, err = rt:call("too late")
        probe.open_gate()
        for i = 2, 102 do
            local _, ok, res = ngx.thread.wait(threads[i])
            assert(ok and res == (i == 2 and "through" or "waiting " .. i),
                   res)
        end
        probe.wait("nulls", nulls + 1)
        probe.release()
        local _, ok, res = ngx.thread.wait(threads[1])
        return err, ok, res
        """
    ) == ["task queue is finished", True, "released"]


def test_what_waits_for_a_thread_that_has_not_polled_yet(
    nginx: Nginx,
) -> None:
    """Also when other runtimes are loaded meanwhile."""
    assert nginx.lua(
        """
        local probe = require "probe"
        local rt = probe.load("slow to poll")
        local t = ngx.thread.spawn(rt.call, rt, "waiting")
        rt:__unload()
        for i = 1, 3 do
            probe.load("meanwhile " .. i):__unload()
        end
        local _, ok, res = ngx.thread.wait(t)
        return ok, res
        """
    ) == [True, "waiting"]


def test_an_answer_after_null(nginx: Nginx) -> None:
    """asyncio runtimes finish what they have begun."""
    assert nginx.lua(
        """
        local probe = require "probe"
        local rt = probe.load("late")
        local t = ngx.thread.spawn(rt.call, rt, "hold")
        probe.wait("held", 1)
        rt:__unload()
        local _, ok, res = ngx.thread.wait(t)
        return ok, res
        """
    ) == [True, "released"]


def test_calls_nobody_answers_end_by_their_deadline(nginx: Nginx) -> None:
    assert nginx.lua(
        """
        local probe = require "probe"
        local rt = probe.load("threads=0 never")
        local t = ngx.thread.spawn(rt.call, rt, "x", { timeout = 100 })
        rt:__unload()
        local _, ok, err = ngx.thread.wait(t)
        return ok, type(err)
        """
    ) == [False, "string"]


def test_from_two_coroutines(nginx: Nginx) -> None:
    assert nginx.lua(
        """
        local probe = require "probe"
        local threads = probe.threads()
        local rt = probe.load("from two")
        local a = ngx.thread.spawn(rt.__unload, rt)
        local b = ngx.thread.spawn(rt.__unload, rt)
        local _, x = ngx.thread.wait(a)
        local _, y = ngx.thread.wait(b)
        probe.wait("threads", threads)
        return x, y, (rt:call("x"))
        """
    ) == [True, True, False]


def test_while_it_is_called_from_another_request(nginx: Nginx) -> None:
    """Whoever calls gets an answer or is told; nobody hangs."""
    assert nginx.lua(
        """
        local probe = require "probe"
        local answered, refused = 0, 0
        local threads = {}
        for i = 1, 20 do
            threads[i] = ngx.thread.spawn(function()
                for n = 1, 50 do
                    local ok, res = probe.load("contended"):call("x")
                    if ok then
                        answered = answered + 1
                    else
                        assert(res == "task queue is finished", res)
                        refused = refused + 1
                    end
                    if n % 10 == i % 10 then
                        probe.load("contended"):__unload()
                    end
                end
            end)
        end
        for _, t in ipairs(threads) do
            assert(ngx.thread.wait(t))
        end
        return answered + refused, answered > 0
        """
    ) == [1000, True]


@pytest.mark.parametrize("threads", [2, 3, 16])
def test_each_poller_gets_its_null(alone: Nginx, threads: int) -> None:
    assert alone.lua(
        f"""
        local probe = require "probe"
        local nulls, threads = probe.nulls(), probe.threads()
        local rt = probe.load("threads={threads} end")
        assert(rt:call("x"))
        rt:__unload()
        probe.wait("threads", threads)
        return probe.nulls() - nulls
        """
    ) == [threads]


def test_where_one_cannot_yield(nginx: Nginx) -> None:
    assert nginx.lua(
        """
        local rt = require("probe").load("no yield")
        local done
        string.gsub("x", "x", function() done = rt:__unload() end)
        return done, rt:call("x")
        """
    ) == [True, False, "task queue is finished"]


def test_a_python_runtime(nginx: Nginx) -> None:
    """Its thread ends; the interpreter and other runtimes stay."""
    assert nginx.lua(
        """
        local load = ngx.load_ffi
        local keeps = assert(load("ffi_python3", "evaluate,init,keeps"))
        local goes = assert(load("ffi_python3", "evaluate,init,goes"))
        local _, tq = goes:run("result = tq")
        goes:__unload()
        local again = assert(load("ffi_python3", "evaluate,init,goes"))
        local _, other = again:run("result = tq")
        return tq ~= other, keeps:run("result = cfg")
        """
    ) == [True, True, "b'keeps'"]


def test_python_calls_in_flight(nginx: Nginx) -> None:
    assert nginx.lua(
        """
        local rt = assert(ngx.load_ffi("ffi_python3", "evaluate,init,busy"))
        local threads = {}
        for i = 1, 10 do
            threads[i] = ngx.thread.spawn(rt.run, rt,
                "import time; time.sleep(0.2); result = " .. i)
        end
        rt:__unload()
        local sum = 0
        for _, t in ipairs(threads) do
            local _, ok, res = ngx.thread.wait(t)
            assert(ok, res)
            sum = sum + tonumber(res)
        end
        return sum
        """
    ) == [55]
