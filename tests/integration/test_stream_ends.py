# SPDX-License-Identifier: BSD-2-Clause
"""How streams end otherwise than by their last part."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from .client import eventually
from .conftest import NewNginx
from .nginx import Nginx

STREAMS = """
local ffi = require "resty.ffi"
local streams, readers = require "streams", require "readers"
local rt = streams.load()
"""

# What waits in each phase
ACT = """
    lua_shared_dict board 64k;
    lua_code_cache CODE_CACHE;
    ffi_timeout 20s;
    init_by_lua_block {
        function act(phase)
            local board = ngx.shared.board
            local ok, res = pcall(function()
                local ffi = require "resty.ffi"
                local rt = require("streams").load()
                local readers = require "readers"
                local s, err = ffi.stream(rt, "echo", "a", { input = true })
                if not s then
                    return err
                end
                s:read()
                s:write("b")
                local b = s:read()
                s:finish()
                local _, err = s:read()
                return b .. " " .. tostring(err)
            end)
            board:set(phase, tostring(res))
        end
    }
"""

SERVER = """
    location = /phases {
        set_by_lua_block $x { act("set") return "x" }
        rewrite_by_lua_block { act("rewrite") }
        access_by_lua_block { act("access") }
        content_by_lua_block { act("content") ngx.print(ngx.var.x) }
        header_filter_by_lua_block { act("header_filter") }
        body_filter_by_lua_block { act("body_filter") }
        log_by_lua_block { act("log") }
    }
    location = /subrequest {
        content_by_lua_block { ngx.location.capture("/captured") }
    }
    location = /captured {
        content_by_lua_block { act("captured") }
    }
    location = /timer {
        content_by_lua_block { ngx.timer.at(0, function() act("timer") end) }
    }
    location = /small {
        ffi_stream_buffer 1000;
        content_by_lua_block { require("harness").run() }
    }
"""


@pytest.fixture(scope="module", params=["on", "off"])
def phases(
    request: pytest.FixtureRequest, new_nginx: NewNginx
) -> Iterator[Nginx]:
    http = ACT.replace("CODE_CACHE", request.param) + (
        'init_worker_by_lua_block { act("init_worker") }'
    )
    with new_nginx(http=http, server=SERVER) as nginx:
        nginx.allow_log("lua_code_cache is off")
        yield nginx


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(40) as executor:
        yield executor


# -- phases ----------------------------------------------------------


@pytest.mark.valgrind
def test_phases(phases: Nginx) -> None:
    phases.get("/phases")
    for phase in ("rewrite", "access", "content"):
        assert result(phases, phase) == "b nil"
    for phase in ("set", "header_filter", "body_filter", "log"):
        said = result(phases, phase)
        assert said.startswith("API disabled in the context of")


@pytest.mark.valgrind
def test_a_subrequest(phases: Nginx) -> None:
    phases.get("/subrequest")
    assert result(phases, "captured") == "b nil"


@pytest.mark.valgrind
def test_a_timer(phases: Nginx) -> None:
    phases.get("/timer")
    assert result(phases, "timer") == "b nil"


@pytest.mark.valgrind
def test_init_worker(new_nginx: NewNginx) -> None:
    http = ACT.replace("CODE_CACHE", "on") + (
        'init_worker_by_lua_block { act("init_worker") }'
    )
    with new_nginx(http=http) as nginx:
        said = result(nginx, "init_worker")
        assert said.startswith("API disabled in the context of")


def result(nginx: Nginx, phase: str) -> str:
    code = f'return ngx.shared.board:get("{phase}")'
    values = eventually(
        lambda: [value for value in nginx.lua(code) if value is not None],
        f"act() in {phase}",
    )
    return str(values[0])


@pytest.mark.valgrind
def test_where_nothing_can_yield(nginx: Nginx) -> None:
    open_, read = nginx.lua(
        STREAMS
        + """
        local open, s, read, _
        table.sort({ 2, 1 }, function(a, b)
            s, open = ffi.stream(rt, "plain", "x")
            return a < b
        end)
        assert(s == nil)
        s = assert(ffi.stream(rt, "send", "parts=1 size=1 sleep=20"))
        table.sort({ 2, 1 }, function(a, b)
            _, read = s:read()
            return a < b
        end)
        assert(s:read() == "a")
        return open, read
        """
    )
    assert open_.startswith("cannot yield here")
    assert read.startswith("cannot yield here")


# -- the mark of nginx.conf ------------------------------------------


def test_a_mark_of_its_own(phases: Nginx) -> None:
    code = (
        STREAMS
        + """
        local before = streams.sent()
        local s = assert(ffi.stream(rt, "endless", "size=100"))
        s:read()
        ngx.sleep(0.1)
        local sent = streams.sent() - before
        s:close()
        local ok, res = rt:send("parts=100 size=1000")
        local t = assert(ffi.stream(rt, "wait", nil, { input = true }))
        local written = 0
        local thread = ngx.thread.spawn(function()
            while t:write(("x"):rep(100)) do
                written = written + 1
            end
        end)
        ngx.sleep(0.05)
        t:close()
        streams.settle()
        return sent, ok, res == streams.parts(100, 1000), written
        """
    )
    sent, ok, right, written = phases.lua(code, "/small")
    assert (ok, right) == (True, True)
    assert 2 <= sent <= 8
    assert 2 <= written <= 8
    sent, _, _, written = phases.lua(code)
    assert sent > 100
    assert written > 100


@pytest.mark.parametrize("value", ["0", "x", "-1"])
def test_no_such_mark(new_nginx: NewNginx, value: str) -> None:
    ok, said = new_nginx(
        http=f"ffi_stream_buffer {value};"
    ).test_configuration()
    assert not ok
    assert "ffi_stream_buffer" in said or "must not be 0" in said


# -- deadlines -------------------------------------------------------


@pytest.mark.valgrind
@pytest.mark.parametrize(
    ("method", "req", "opts", "chunks"),
    [
        ("wait", "", "first_timeout = 50", 0),
        ("wait", "", "timeout = 50", 0),
        ("wait", "parts=2 size=1", "read_timeout = 50", 2),
        ("wait", "parts=2 size=1", "timeout = 100", 2),
        (
            "wait",
            "parts=2 size=1",
            "first_timeout = 9e9, read_timeout = 50",
            2,
        ),
        ("wait", "parts=2 size=1", "read_timeout = 0, timeout = 100", 2),
        ("wait", "parts=2 size=1", "first_timeout = 0, read_timeout = 50", 2),
    ],
)
def test_a_deadline(
    nginx: Nginx, method: str, req: str, opts: str, chunks: int
) -> None:
    assert nginx.lua(
        STREAMS
        + f"""
        local gone = streams.gone()
        local s = assert(ffi.stream(rt, "{method}", "{req}", {{ {opts} }}))
        local chunks, err = readers.all(s)
        local _, again = s:read()
        streams.wait("gone", gone + 1)
        streams.settle()
        return #chunks, err, again
        """
    ) == [chunks, "timeout", "timeout"]


@pytest.mark.valgrind
@pytest.mark.parametrize(
    "opts",
    [
        "first_timeout = 400, read_timeout = 400",
        "first_timeout = 5000, read_timeout = 0",
        "timeout = 30000",
        "first_timeout = 0, read_timeout = 0, timeout = 0",
    ],
)
def test_a_deadline_that_is_kept(nginx: Nginx, opts: str) -> None:
    assert nginx.lua(
        STREAMS
        + f"""
        local whole, err = readers.whole(rt, "send",
                                         "parts=20 size=5 sleep=10",
                                         {{ {opts} }})
        return whole == streams.parts(20, 5), err
        """
    ) == [True, None]


def test_the_deadline_for_all_counts_though_parts_are_there(
    nginx: Nginx,
) -> None:
    assert nginx.lua(
        STREAMS
        + """
        local s = assert(ffi.stream(rt, "endless", "size=10",
                                    { timeout = 100 }))
        local chunks, err = readers.all(s)
        local s = assert(ffi.stream(rt, "endless", "size=10",
                                    { timeout = 50 }))
        local n, slow = 0
        repeat
            local chunk
            chunk, slow = s:read()
            n = n + 1
            ngx.sleep(0.01)
        until not chunk
        streams.settle()
        return #chunks > 10, err, slow, n < 10
        """
    ) == [True, "timeout", "timeout", True]


def test_a_deadline_while_write_waits(nginx: Nginx) -> None:
    assert nginx.lua(
        STREAMS
        + """
        local results = {}
        for i, opts in ipairs({ { first_timeout = 50 }, { timeout = 50 } }) do
            opts.input = true
            local s = assert(ffi.stream(rt, "wait", nil, opts))
            local ok, err
            repeat
                ok, err = s:write(("x"):rep(10000))
            until not ok
            results[i] = err .. " " .. select(2, s:read())
        end
        streams.settle()
        return results
        """
    ) == [["timeout timeout"] * 2]


@pytest.mark.valgrind
def test_a_request_that_grows_is_no_silence(nginx: Nginx) -> None:
    """But once it is complete, or grows no more, the answer must come."""
    code = """
        local s = assert(ffi.stream(rt, "METHOD", nil, { input = true,
                                                         OPTS }))
        local reader = ngx.thread.spawn(s.read, s)
        for i = 1, 10 do
            assert(s:write("x"))
            ngx.sleep(0.04)
        end
        if "METHOD" == "count" or FINISH then
            assert(s:finish())
        end
        return ngx.thread.wait(reader)
    """

    def grow(method: str, opts: str, finish: str) -> list[Any]:
        parts = code.replace("METHOD", method).replace("OPTS", opts)
        return nginx.lua(STREAMS + parts.replace("FINISH", finish))

    assert grow("count", "first_timeout = 150", "true") == [True, "10 10"]
    late = [True, None, "timeout"]
    assert grow("wait", "first_timeout = 150", "true") == late
    assert grow("wait", "first_timeout = 150", "false") == late


def test_a_client_that_is_slow_is_no_silence(new_nginx: NewNginx) -> None:
    server = """
    location = /slow {
        content_by_lua_block {
            local ffi = require "resty.ffi"
            local rt = require("streams").load()
            local opts = { body = true, first_timeout = 150 }
            local s = assert(ffi.stream(rt, ngx.var.arg_method, nil, opts))
            local chunk, err = s:read()
            ngx.print(chunk or err)
        }
    }
    """
    with new_nginx(server=server) as nginx:
        for method, answer in ("count", b"10 "), ("wait", b"timeout"):
            with nginx.connect() as sock:
                sock.sendall(
                    f"POST /slow?method={method} HTTP/1.0\r\n".encode()
                    + b"Content-Length: 10\r\n\r\n"
                )
                for _ in range(10):
                    sock.sendall(b"x")
                    time.sleep(0.04)
                response = b"".join(iter(lambda: sock.recv(4096), b""))
            assert response.partition(b"\r\n\r\n")[2].startswith(answer)


@pytest.mark.valgrind
def test_deadlines_of_the_load_and_the_location(
    new_nginx: NewNginx,
) -> None:
    """What a call would wait by itself."""
    server = """
    location = /short {
        ffi_timeout 50ms;
        content_by_lua_block { require("harness").run() }
    }
    """
    code = STREAMS + 'return (select(2, readers.whole(rt, "wait")))'
    with new_nginx(server=server) as nginx:
        assert nginx.lua(code, "/short") == ["timeout"]
        assert nginx.lua(
            STREAMS
            + """
            local rt = streams.load("impatient", { timeout = 50 })
            return (select(2, readers.whole(rt, "wait", "parts=1 size=1")))
            """
        ) == ["timeout"]


# -- runtimes that end -----------------------------------------------


@pytest.mark.valgrind
@pytest.mark.parametrize("how", ["unload", "reload"])
def test_a_runtime_ends_in_the_middle(nginx: Nginx, how: str) -> None:
    """Streams that have begun go on to their end."""
    assert nginx.lua(
        STREAMS
        + f"""
        local rt = streams.load("for {how}")
        local down = assert(ffi.stream(rt, "send",
                                       "parts=20 size=5000 sleep=5"))
        local up = assert(ffi.stream(rt, "count", "sleep=2",
                                     {{ input = true }}))
        down:read()
        up:write("x")
        rt:__{how}()
        for i = 1, 20 do
            assert(up:write(("x"):rep(30000)))
        end
        assert(up:finish())
        local chunks, err = readers.all(down)
        streams.settle_running()
        return #chunks, err, up:read()
        """
    ) == [19, None, "600001 21"]


def test_a_worker_that_quits(alone: Nginx, pool: ThreadPoolExecutor) -> None:
    """Streams that run end by themselves."""
    code = """
        package.loaded.begun = (package.loaded.begun or 0) + 1
        local whole, err = readers.whole(rt, "send",
                                         "parts=30 size=10 sleep=20")
        return whole == streams.parts(30, 10), err
    """
    calls = begin(alone, pool, STREAMS + code, 20)
    alone.quit()
    assert [call() for call in calls] == [[True, None]] * 20
    alone.wait()


@pytest.mark.parametrize("state", ["reads", "writes", "sleeps"])
def test_a_worker_whose_time_is_up(new_nginx: NewNginx, state: str) -> None:
    """In a timer, whose waits nginx does not end."""
    code = f"""
        ngx.timer.at(0, function()
            local s = assert(ffi.stream(rt, "wait", "parts=1 size=1",
                                        {{ input = true, timeout = 60000 }}))
            s:read()
            local ok, err
            repeat
                if "{state}" == "sleeps" then
                    ngx.sleep(0.7)
                end
                if "{state}" == "writes" then
                    ok, err = s:write(("x"):rep(10000))
                else
                    ok, err = s:read()
                end
            until not ok
            ngx.log(ngx.NOTICE, "the stream: ", err, ", then: ",
                    select(2, s:read()))
        end)
        streams.wait("running", 1)
        ngx.sleep(0.05)
    """
    with new_nginx(main="worker_shutdown_timeout 500ms;") as nginx:
        nginx.lua(STREAMS + code)
        nginx.quit()
        nginx.wait()
        nginx.wait_log("the stream: shutting down, then: shutting down")


def test_a_timer_without_a_deadline_holds_no_worker(alone: Nginx) -> None:
    alone.lua(
        STREAMS
        + """
        ngx.timer.at(0, function()
            local s = assert(ffi.stream(rt, "wait"))
            local _, err = s:read()
            ngx.log(ngx.NOTICE, "the timer's stream: ", err)
        end)
        streams.wait("running", 1)
        """
    )
    alone.quit()
    alone.wait()
    alone.wait_log("the timer's stream: aborted")


@pytest.mark.parametrize("how", ["quit", "stop"])
def test_a_worker_ends_with_streams_that_nobody_closes(
    alone: Nginx, pool: ThreadPoolExecutor, how: str
) -> None:
    alone.lua(
        STREAMS
        + """
        ngx.timer.at(0, function()
            package.loaded.kept = {}
            for i = 1, 5 do
                local s = assert(ffi.stream(rt, "wait", "parts=2 size=10",
                                            { input = true }))
                s:read()
                package.loaded.kept[i] = s
            end
            ngx.thread.spawn(function() package.loaded.kept[1]:read() end)
            ngx.sleep(0.3)
        end)
        streams.wait("running", 5)
        """
    )
    getattr(alone, how)()
    alone.wait()


def begin(
    nginx: Nginx, pool: ThreadPoolExecutor, code: str, count: int
) -> list[Any]:
    """That many requests, all of which run."""
    calls = [pool.submit(nginx.lua, code) for _ in range(count)]
    eventually(
        lambda: nginx.lua("return package.loaded.begun") == [count],
        "all have begun",
    )
    return [call.result for call in calls]


# -- many ------------------------------------------------------------


def test_a_thousand_streams_at_once(nginx: Nginx) -> None:
    assert nginx.lua(
        STREAMS
        + """
        local right, threads = 0, {}
        for i = 1, 1000 do
            threads[i] = ngx.thread.spawn(function()
                local whole, err = readers.whole(
                    rt, "send", "parts=5 size=100 sleep=20")
                assert(err == nil, err)
                right = right + (whole == streams.parts(5, 100) and 1 or 0)
            end)
        end
        for i = 1, 1000 do
            assert(ngx.thread.wait(threads[i]))
        end
        streams.settle()
        return right
        """
    ) == [1000]


def test_memory_of_streams_comes_back(new_nginx: NewNginx) -> None:
    """Whether they are read, closed or forgotten."""
    code = (
        STREAMS
        + """
        for i = 1, 300 do
            local s = assert(ffi.stream(rt, "send", "parts=3 size=20000"))
            if i % 3 == 0 then
                readers.all(s)
            elseif i % 3 == 1 then
                s:read()
                s:close()
            else
                s = nil
            end
        end
        collectgarbage()
        collectgarbage()
        streams.settle()
        """
    )
    # the runtime has a thread for each stream, and malloc likes that not
    with new_nginx(environ={"MALLOC_ARENA_MAX": "1"}) as nginx:
        for _ in range(5):
            nginx.lua(code)
        before = nginx.resident()
        for _ in range(20):
            nginx.lua(code)
        assert nginx.resident() - before < 4096


def test_a_client_that_goes(new_nginx: NewNginx) -> None:
    """The runtime hears of it at once."""
    server = """
    location = /watched {
        lua_check_client_abort on;
        content_by_lua_block {
            local ffi = require "resty.ffi"
            local s = assert(ffi.stream(require("streams").load(), "wait"))
            s:read()
        }
    }
    """
    with new_nginx(server=server) as nginx:
        with nginx.connect() as sock:
            sock.sendall(b"GET /watched HTTP/1.1\r\nHost: x\r\n\r\n")
            nginx.lua(STREAMS + 'streams.wait("running", 1)')
        nginx.lua(STREAMS + 'streams.wait("gone", 1) streams.settle()')
