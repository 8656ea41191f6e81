# SPDX-License-Identifier: BSD-2-Clause
"""Calls from every phase, and from where a coroutine cannot yield."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .client import eventually
from .conftest import NewNginx
from .nginx import Nginx

pytestmark = pytest.mark.valgrind

HTTP = """
    lua_shared_dict seen 64k;
    init_by_lua_block {
        function call(req)
            local rt = require("probe").load()
            return rt:call(req or ngx.get_phase())
        end

        -- for phases that cannot answer
        function note(name)
            local ok, text = call()
            ngx.shared.seen:set(name, tostring(ok) .. " " .. tostring(text))
        end
    }
    init_worker_by_lua_block {
        note("init_worker")
        ngx.timer.at(0, function()
            note("timer of init_worker")
        end)
    }
    exit_worker_by_lua_block {
        local ok, err = call()
        ngx.log(ngx.NOTICE, "exit_worker: ", tostring(ok), " ", type(err))
    }
    upstream chosen_by_lua {
        server 0.0.0.1;
        balancer_by_lua_block {
            note("balancer")
            ngx.exit(500)
        }
    }
"""

SERVER = """
    location = /set {
        set_by_lua_block $x {
            local ok, err = call()
            return tostring(ok) .. " " .. err
        }
        return 200 $x;
    }
    location = /rewrite {
        rewrite_by_lua_block { ngx.ctx.answer = select(2, call()) }
        content_by_lua_block { ngx.print(ngx.ctx.answer) }
    }
    location = /access {
        access_by_lua_block { ngx.ctx.answer = select(2, call()) }
        content_by_lua_block { ngx.print(ngx.ctx.answer) }
    }
    location = /content {
        content_by_lua_block { ngx.print((select(2, call()))) }
    }
    location = /header_filter {
        header_filter_by_lua_block {
            local ok, err = call()
            ngx.header["X-Answer"] = tostring(ok) .. " " .. err
        }
        return 200 "body";
    }
    location = /body_filter {
        body_filter_by_lua_block {
            local ok, err = call()
            if not ngx.arg[2] then
                return
            end
            ngx.arg[1] = tostring(ok) .. " " .. err
        }
        return 200 "x";
    }
    location = /log {
        log_by_lua_block { note("log") }
        return 200 "body";
    }
    location = /balancer {
        proxy_pass http://chosen_by_lua;
    }
    location = /sub {
        content_by_lua_block {
            ngx.print((select(2, call("sub " .. ngx.var.arg_n))))
        }
    }
"""


@pytest.fixture(scope="module")
def server(new_nginx: NewNginx) -> Iterator[Nginx]:
    with new_nginx(http=HTTP, server=SERVER) as nginx:
        yield nginx


@pytest.fixture
def unasked(nginx: Nginx) -> Iterator[None]:
    """Nothing that the test does may reach the runtime."""
    received = 'require("probe").load() return require("probe").received()'
    before = nginx.lua(received)
    yield
    assert nginx.lua(received) == before


def seen(nginx: Nginx, name: str) -> str:
    def look() -> str | None:
        (value,) = nginx.lua(f'return ngx.shared.seen:get("{name}")')
        assert value is None or isinstance(value, str)
        return value

    value = eventually(look, name)
    assert value
    return value


def is_refusal(text: str) -> bool:
    ok, _, reason = text.partition(" ")
    return ok == "false" and len(reason) > 10


@pytest.mark.parametrize("phase", ["rewrite", "access", "content"])
def test_phases_that_wait(nginx: Nginx, phase: str) -> None:
    assert nginx.get(f"/{phase}").text == phase


@pytest.mark.usefixtures("unasked")
def test_set(nginx: Nginx) -> None:
    assert is_refusal(nginx.get("/set").text)


@pytest.mark.usefixtures("unasked")
def test_header_filter(nginx: Nginx) -> None:
    answer = nginx.get("/header_filter")
    assert answer.text == "body"
    assert is_refusal(answer.headers["X-Answer"])


@pytest.mark.usefixtures("unasked")
def test_body_filter(nginx: Nginx) -> None:
    connection = nginx.connect()
    connection.sendall(b"GET /body_filter HTTP/1.0\r\n\r\n")
    text = b"".join(iter(lambda: connection.recv(4096), b"")).decode()
    connection.close()
    assert " 200 " in text
    assert "\r\n\r\nfalse " in text


@pytest.mark.usefixtures("unasked")
def test_log(nginx: Nginx) -> None:
    assert nginx.get("/log").text == "body"
    assert is_refusal(seen(nginx, "log"))


@pytest.mark.usefixtures("unasked")
def test_balancer(nginx: Nginx) -> None:
    assert nginx.get("/balancer").status == 500
    assert is_refusal(seen(nginx, "balancer"))


def test_init_worker(nginx: Nginx) -> None:
    assert is_refusal(seen(nginx, "init_worker"))


def test_timer_of_init_worker(nginx: Nginx) -> None:
    assert seen(nginx, "timer of init_worker") == "true timer"


def test_exit_worker(new_nginx: NewNginx) -> None:
    with new_nginx(http=HTTP) as nginx:
        nginx.lua('return call("x")')
        nginx.quit()
        nginx.wait()
        nginx.wait_log("exit_worker: false string")


@pytest.mark.parametrize(
    "inside",
    [
        'table.sort({"b", "a"}, function(a, b) CALL return a < b end)',
        'string.gsub("x", "x", function() CALL end)',
        'string.format("%s", setmetatable({}, {__tostring = function()'
        ' CALL return "" end}))',
        'package.preload.inside = function() CALL end require "inside"',
        "load(function() CALL end)",
        "xpcall(error, function() CALL end)",
    ],
    ids=["sort", "gsub", "format", "require", "load", "xpcall-handler"],
)
@pytest.mark.usefixtures("unasked")
def test_where_a_coroutine_cannot_yield(nginx: Nginx, inside: str) -> None:
    inside = inside.replace("CALL", 'results = { rt:call("inside") }')
    values = nginx.lua(
        f"""
        local rt = require("probe").load()
        local results
        {inside}
        package.loaded.inside = nil
        return results[1], type(results[2]), results[3]
        """
    )
    assert values == [False, "string", None]


@pytest.mark.parametrize(
    "inside",
    [
        "return pcall(rt.call, rt, 'inside')",
        "return pcall(function() return rt:call('inside') end)",
        "return xpcall(function() return rt:call('inside') end, error)",
        """
        local value = setmetatable({}, { __index = function(_, name)
            return select(2, rt:call(name))
        end })
        return true, true, value.inside
        """,
        """
        local value = setmetatable({}, { __call = function(_, name)
            return rt:call(name)
        end })
        return true, value("inside")
        """,
        """
        local value = setmetatable({}, { __add = function(_, name)
            return select(2, rt:call(name))
        end })
        return true, true, value + "inside"
        """,
        """
        for ok, res in function() return rt:call("inside") end do
            return true, ok, res
        end
        """,
        """
        local run = coroutine.wrap(function(name)
            return rt:call(name)
        end)
        return true, run("inside")
        """,
        """
        local co = coroutine.create(function(name)
            local ok, res = rt:call(name)
            coroutine.yield("between")
            return rt:call(res)
        end)
        coroutine.resume(co, "inside")
        return coroutine.resume(co)
        """,
        """
        local co = coroutine.create(function(name)
            return pcall(rt.call, rt, name)
        end)
        return select(2, coroutine.resume(co, "inside"))
        """,
        """
        local t = ngx.thread.spawn(rt.call, rt, "inside")
        return ngx.thread.wait(t)
        """,
    ],
    ids=[
        *("pcall", "pcall-function", "xpcall", "index", "call", "add"),
        *("iterator", "wrap", "resume", "pcall-in-coroutine", "spawn"),
    ],
)
def test_where_a_coroutine_can_yield(nginx: Nginx, inside: str) -> None:
    values = nginx.lua(f'local rt = require("probe").load() {inside}')
    assert values == [True, True, "inside"]


def test_many_light_threads(nginx: Nginx) -> None:
    assert nginx.lua(
        """
        local rt = require("probe").load()
        local threads, sum = {}, 0
        for i = 1, 5000 do
            threads[i] = ngx.thread.spawn(function()
                local ok, res = rt:call(tostring(i))
                assert(ok and res == tostring(i))
                sum = sum + i
            end)
        end
        for _, t in ipairs(threads) do
            assert(ngx.thread.wait(t))
        end
        return sum
        """
    ) == [5000 * 5001 / 2]


def test_subrequests(nginx: Nginx) -> None:
    assert nginx.lua(
        """
        local rt = require("probe").load()
        local ok, before = rt:call("before")
        local one = ngx.location.capture("/sub?n=1")
        local two, three = ngx.location.capture_multi {
            { "/sub?n=2" }, { "/sub?n=3" },
        }
        local _, after = rt:call("after")
        return before, one.body, two.body, three.body, after
        """
    ) == ["before", "sub 1", "sub 2", "sub 3", "after"]


def test_several_in_one_request(nginx: Nginx) -> None:
    assert nginx.lua(
        """
        local rt = require("probe").load()
        for i = 1, 1000 do
            local ok, res = rt:call("number " .. i)
            assert(ok and res == "number " .. i)
        end
        return true
        """
    ) == [True]


def test_timer(nginx: Nginx) -> None:
    assert nginx.lua(
        """
        local rt = require("probe").load()
        local done, seen = require("ngx.semaphore").new(), nil
        ngx.timer.at(0, function(_, rt)
            seen = { rt:call("in a timer") }
            done:post()
        end, rt)
        done:wait(10)
        return seen[1], seen[2]
        """
    ) == [True, "in a timer"]


def test_timer_every(nginx: Nginx) -> None:
    assert nginx.lua(
        """
        local rt = require("probe").load()
        local done = require("ngx.semaphore").new()
        local runs = 0
        ngx.timer.every(0.01, function()
            if runs < 5 and rt:call("again") then
                runs = runs + 1
                done:post()
            end
        end)
        for _ = 1, 5 do
            assert(done:wait(10))
        end
        return runs
        """
    ) == [5]


def test_refused_calls_leave_nothing(nginx: Nginx) -> None:
    assert nginx.lua(
        """
        local probe = require "probe"
        local rt = probe.load("refusals", { max_queue = 4 })
        local received, refused = probe.received(), 0
        local function refuse()
            local ok, err = rt:call("inside")
            assert(ok == false and type(err) == "string")
            refused = refused + 1
            return ""
        end
        for _ = 1, 2000 do
            string.gsub("x", "x", refuse)
        end
        return refused, probe.received() - received, rt:call("free")
        """
    ) == [2000, 0, True, "free"]
