# SPDX-License-Identifier: BSD-2-Clause
"""rt:__reload(): a fresh runtime in the place of the old one."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from .conftest import NewNginx
from .nginx import Nginx

RUN = 'content_by_lua_block { require("harness").run() }'

# starts when the file is there
SLOW = """
    local file = "{file}"
    local function allow() assert(io.open(file, "w")):close() end
    allow()
    local rt = assert(ngx.load_ffi("async", "ok " .. file))
    os.remove(file)
"""

APP = """
from resty_ffi import serve

@serve
class Threads:
    def call(self, request):
        return b"{version}"

@serve
class Loop:
    async def call(self, request):
        return b"{version}"
"""


@pytest.fixture(scope="module")
def server(new_nginx: NewNginx) -> Iterator[Nginx]:
    with new_nginx(
        server=f"location = /hasty {{ ffi_load_timeout 50ms; {RUN} }}"
    ) as nginx:
        yield nginx


def slow(nginx: Nginx, name: str) -> str:
    return SLOW.format(file=nginx.prefix / name)


def starts(nginx: Nginx, since: int) -> int:
    return nginx.log(since).count("under way")


@pytest.mark.valgrind
def test_the_same_object_has_a_fresh_runtime(alone: Nginx) -> None:
    assert alone.lua(
        """
        local probe = require "probe"
        local rt = probe.load("reloaded")
        assert(rt:call("x"))
        local inits, nulls = probe.inits(), probe.nulls()
        local ok, err = rt:__reload()
        probe.wait("nulls", nulls + 1)
        probe.wait("threads", 1)
        return ok, err, probe.inits() - inits, select(2, rt:call("y")),
               probe.load("reloaded") == rt, probe.inits() - inits
        """
    ) == [True, None, 1, "y", True, 1]


@pytest.mark.valgrind
def test_the_old_one_finishes_its_calls(nginx: Nginx) -> None:
    """While the new one serves already."""
    assert nginx.lua(
        """
        local probe = require "probe"
        local rt = probe.load("finishes")
        local received = probe.received()
        local gate = ngx.thread.spawn(rt.call, rt, "gate", { timeout = 0 })
        probe.wait("gated", 1)
        local queued = {}
        for i = 1, 20 do
            queued[i] = ngx.thread.spawn(rt.call, rt, "old " .. i,
                                         { timeout = 0 })
        end
        assert(rt:__reload())
        for i = 1, 20 do
            local ok, res = rt:call("new " .. i)
            assert(ok and res == "new " .. i, res)
        end
        local before = probe.received() - received
        probe.open_gate()
        assert(select(2, ngx.thread.wait(gate)))
        for i = 1, 20 do
            local _, ok, res = ngx.thread.wait(queued[i])
            assert(ok and res == "old " .. i, res)
        end
        return before, probe.received() - received
        """
    ) == [21, 41]


@pytest.mark.valgrind
def test_options_stay(nginx: Nginx) -> None:
    assert nginx.lua(
        """
        local probe = require "probe"
        local rt = probe.load("options stay",
                              { max_queue = 2, timeout = 50 })
        assert(rt:__reload())
        local gate = ngx.thread.spawn(rt.call, rt, "gate", { timeout = 0 })
        probe.wait("gated", 1)
        local seen = {}
        for i = 1, 3 do
            seen[i] = ngx.thread.spawn(rt.call, rt, "x")
        end
        for i = 1, 3 do
            seen[i] = select(3, ngx.thread.wait(seen[i]))
        end
        probe.open_gate()
        ngx.thread.wait(gate)
        return unpack(seen)
        """
    ) == ["timeout", "timeout", "post failed, queue full"]


@pytest.mark.valgrind
def test_a_start_that_fails_leaves_the_old_one(nginx: Nginx) -> None:
    assert nginx.lua(
        """
        local probe = require "probe"
        local rt = probe.load("serves on")
        local held = ngx.thread.spawn(rt.call, rt, "hold")
        probe.wait("held", 1)
        probe.fail_next()
        local ok, err = rt:__reload()
        local res = select(2, rt:call("x"))
        probe.release()
        local _, _, old = ngx.thread.wait(held)
        return ok, err, res, old, rt:__reload()
        """
    ) == [None, "probe: libffi_init returned 7", "x", "released", True]


@pytest.mark.valgrind
def test_unloaded(nginx: Nginx) -> None:
    assert nginx.lua(
        """
        local probe = require "probe"
        local rt = probe.load("unloaded, reloaded")
        rt:__unload()
        local ok, err = rt:__reload()
        local again = probe.load("unloaded, reloaded")
        return ok, err, again == rt, (select(2, rt:__reload())),
               again:__reload()
        """
    ) == [
        None,
        "task queue is finished",
        False,
        "task queue is finished",
        True,
    ]


@pytest.mark.valgrind
def test_two_at_once(nginx: Nginx) -> None:
    """One start, both get its result; the old one serves meanwhile."""
    since = len(nginx.log())
    assert nginx.lua(
        f"""
        {slow(nginx, "two")}
        local a = ngx.thread.spawn(rt.__reload, rt)
        local b = ngx.thread.spawn(rt.__reload, rt)
        local res = select(2, rt:call("x"))
        allow()
        local _, x, xerr = ngx.thread.wait(a)
        local _, y, yerr = ngx.thread.wait(b)
        return res, x, xerr, y, yerr, rt:call("x")
        """
    ) == ["async", True, None, True, None, True, "async"]
    assert starts(nginx, since) == 2


@pytest.mark.valgrind
def test_unloaded_meanwhile(nginx: Nginx) -> None:
    assert nginx.lua(
        f"""
        {slow(nginx, "meanwhile")}
        local a = ngx.thread.spawn(rt.__reload, rt)
        local b = ngx.thread.spawn(rt.__reload, rt)
        rt:__unload()
        local _, x, xerr = ngx.thread.wait(a)
        local _, y, yerr = ngx.thread.wait(b)
        local res = select(2, rt:call("x"))
        allow()
        local again = assert(ngx.load_ffi("async", "ok " .. file))
        return x, xerr, y, yerr, res, again:call("x")
        """
    ) == [
        None,
        "task queue is finished",
        None,
        "task queue is finished",
        "task queue is finished",
        True,
        "async",
    ]


def test_whoever_waits_no_longer(nginx: Nginx) -> None:
    """The start goes on, and takes over."""
    since = len(nginx.log())
    # the location may not have the time for a first load
    nginx.lua(slow(nginx, "hasty"))
    assert nginx.lua(
        f"""
        {slow(nginx, "hasty")}
        local first = select(2, rt:__reload())
        local second = select(2, rt:__reload())
        allow()
        local ok
        repeat
            ok = rt:__reload()
        until ok
        return first, second, rt:call("x")
        """,
        "/hasty",
    ) == ["timeout", "timeout", True, "async"]
    assert starts(nginx, since) >= 2


@pytest.mark.valgrind
def test_where_one_cannot_yield(nginx: Nginx) -> None:
    assert nginx.lua(
        """
        local probe = require "probe"
        local c = probe.load("no yield")
        local python = assert(ngx.load_ffi("ffi_python3", "ffi.echo,init"))
        local seen = {}
        string.gsub("xy", ".", function(which)
            seen[#seen + 1] = (which == "x" and c or python):__reload()
        end)
        return seen[1], seen[2], select(2, c:call("x")), python:call("y")
        """
    ) == [True, True, "x", True, "y"]


def test_objects_of_other_vms(new_nginx: NewNginx) -> None:
    """With lua_code_cache off each request has its own."""
    with new_nginx(http="lua_code_cache off;") as nginx:
        nginx.allow_log("lua_code_cache is off")
        nginx.lua('require("probe").load("vms")')
        seen: list[object] = []

        def use() -> None:
            seen.extend(
                nginx.lua(
                    """
                    local probe = require "probe"
                    local rt, inits = probe.load("vms"), probe.inits()
                    assert(rt:call("hold"))
                    return probe.inits() - inits, rt:call("x")
                    """
                )
            )

        user = threading.Thread(target=use)
        user.start()
        assert nginx.lua(
            """
            local probe = require "probe"
            probe.wait("held", 1)
            local ok = probe.load("vms"):__reload()
            probe.release()
            return ok
            """
        ) == [True]
        user.join()
        assert seen == [1, True, "x"]


def test_one_that_is_stuck(nginx: Nginx) -> None:
    """What waits in it goes by its deadline, and what it has as well."""
    assert nginx.lua(
        """
        local probe = require "probe"
        local rt = probe.load("stuck, reloaded")
        local gate = ngx.thread.spawn(rt.call, rt, "gate", { timeout = 0 })
        probe.wait("gated", 1)
        local waits = ngx.thread.spawn(rt.call, rt, "y", { timeout = 2000 })
        local first = select(2, rt:call("x", { timeout = 1000 }))
        local stuck = select(2, rt:call("x", { timeout = 1000 }))
        local ok = rt:__reload()
        local _, fresh = rt:call("z")
        local _, _, late = ngx.thread.wait(waits)
        probe.open_gate()
        local _, _, through = ngx.thread.wait(gate)
        return first, stuck, ok, fresh, late, through
        """
    ) == ["timeout", "the runtime is stuck", True, "z", "timeout", "through"]


@pytest.mark.valgrind
def test_one_that_has_ended(nginx: Nginx) -> None:
    assert nginx.lua(
        """
        local probe = require "probe"
        local rt = probe.load("ended, reloaded")
        local threads = probe.threads()
        assert(rt:call("die"))
        probe.wait("threads", threads - 1)
        local _, err = rt:call("x", { timeout = 0 })
        return err, rt:__reload(), rt:call("y")
        """
    ) == ["the runtime has ended", True, True, "y"]


def test_stuck_threads_are_bounded(alone: Nginx) -> None:
    """Reloads are refused until some of them have ended."""
    assert alone.lua(
        """
        local probe = require "probe"
        local rt = probe.load("bounded")
        local threads, n = {}, 0
        local ok, err
        repeat
            n = n + 1
            threads[n] = ngx.thread.spawn(rt.call, rt, "gate",
                                          { timeout = 0 })
            probe.wait("gated", n)
            ok, err = rt:__reload()
        until not ok
        assert(n > 200 and n < 300, n)
        probe.open_gate()
        for i = 1, n do
            assert(select(2, ngx.thread.wait(threads[i])))
        end
        probe.wait("threads", 1)
        for _ = 1, 1000 do
            ok = rt:__reload()
            if ok then break end
            ngx.sleep(0.01)
        end
        return err, ok, rt:call("x")
        """
    ) == [
        "256 threads of earlier runtimes have not ended: reload nginx",
        True,
        True,
        "x",
    ]


@pytest.mark.parametrize("name", ["Threads", "Loop"])
def test_new_code(nginx: Nginx, name: str) -> None:
    cfg = f'"versions_{name}?,{name}"'
    file = f"versions_{name}.py"
    nginx.write_python(file, APP.format(version="one"))
    load = f'local rt = assert(ngx.load_ffi("ffi_python3", {cfg}))'
    assert nginx.lua(f"{load} return rt:call()") == [True, "one"]
    nginx.write_python(file, "this is no Python")
    ok, err, *answer = nginx.lua(
        f"{load} local ok, err = rt:__reload() return ok, err, rt:call()"
    )
    assert ok is None
    assert "SyntaxError" in err
    assert answer == [True, "one"]
    nginx.write_python(file, APP.format(version="two"))
    assert nginx.lua(f"{load} return rt:__reload(), rt:call()") == [
        True,
        True,
        "two",
    ]


def test_a_start_under_way_when_the_worker_quits(
    new_nginx: NewNginx,
) -> None:
    with new_nginx(main="worker_shutdown_timeout 300ms;") as nginx:
        nginx.lua(
            f"""
            {slow(nginx, "never")}
            ngx.timer.at(0, function()
                local ok, err = rt:__reload()
                ngx.log(ngx.NOTICE, "reloaded: ", ok, " ", err)
            end)
            """
        )
        nginx.quit()
        nginx.wait()
        nginx.wait_log("reloaded: nil shutting down")


UNDER_LOAD = """
    local rt = assert(ngx.load_ffi({lib}, {cfg}))
    local going, calls = true, 0
    local callers = {{}}
    for i = 1, 16 do
        callers[i] = ngx.thread.spawn(function()
            while going do
                local ok, res = rt:call("{request}")
                assert(ok and res == "{answer}", res)
                calls = calls + 1
            end
        end)
    end
    for _ = 1, {times} do
        assert(rt:__reload())
        ngx.sleep(0)
    end
    going = false
    for i = 1, 16 do
        assert(ngx.thread.wait(callers[i]))
    end
    return calls > 0
"""


@pytest.mark.once
@pytest.mark.parametrize(
    ("lib", "cfg", "request_", "answer", "times"),
    [
        ("probe", "under load", "delay:2", "later", 1000),
        ("probe", "under load too", "x", "x", 1000),
        ("ffi_python3", "ffi.echo,init", "x", "x", 200),
        ("ffi_python3", "loaded,Threads", "x", "one", 200),
        ("ffi_python3", "loaded,Loop", "x", "one", 200),
    ],
)
def test_under_load(
    alone: Nginx, lib: str, cfg: str, request_: str, answer: str, times: int
) -> None:
    """No call fails, no slot is lost, and memory stays."""
    alone.write_python("loaded.py", APP.format(version="one"))
    code = UNDER_LOAD.format(
        lib=f'"{lib}"',
        cfg=f'"{cfg}"',
        request=request_,
        answer=answer,
        times=times,
    )
    for _ in range(2):
        assert alone.lua(code) == [True]
    before = alone.resident()
    for _ in range(3):
        assert alone.lua(code) == [True]
    # one queue alone has 512 KiB
    assert alone.resident() - before < 16384


@pytest.mark.once
def test_failed_loads_give_everything_back(alone: Nginx) -> None:
    """More of them than there are queues, each with an eventfd."""
    for _ in range(5):
        alone.lua(
            """
            local cfg = "fail eventfd threads=0"
            for i = 1, 1000 do
                local rt, err = ngx.load_ffi("probe", cfg)
                assert(rt == nil and err == "probe: libffi_init returned 7",
                       err)
            end
            """
        )
    assert alone.lua('return require("probe").load("good"):call("x")') == [
        True,
        "x",
    ]


@pytest.mark.once
def test_more_reloads_than_there_are_queues(alone: Nginx) -> None:
    """Of one whose threads never came."""
    for _ in range(25):
        alone.lua(
            """
            local probe = require "probe"
            local rt = probe.load("threads=0", { max_queue = 2 })
            for i = 1, 200 do
                local ok, err = rt:call("x", { timeout = 0.1 })
                assert(ok == false and err == "timeout", err)
                assert(rt:__reload())
            end
            """
        )
    assert alone.lua('return require("probe").load("good"):call("x")') == [
        True,
        "x",
    ]
