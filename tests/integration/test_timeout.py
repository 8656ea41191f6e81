# SPDX-License-Identifier: BSD-2-Clause
"""Deadlines: where they come from, and what becomes of late answers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .conftest import NewNginx
from .nginx import LuaError, Nginx

RUN = 'content_by_lua_block { require("harness").run() }'

SERVER = f"""
    location = /short {{ ffi_timeout 50ms; {RUN} }}
    location = /none {{ ffi_timeout 0; {RUN} }}
    location = /long {{ ffi_timeout 1m; {RUN} }}
    location /inherits {{
        ffi_timeout 50ms;
        location = /inherits/it {{ {RUN} }}
    }}
"""

# outlives any deadline of 50 ms
ANSWERED = """
    local probe = require "probe"
    local rt = probe.load({cfg})
    rt:call("what came before")
    local received = probe.received()
    local t = ngx.thread.spawn(rt.call, rt, "hold", {options})
    probe.wait("received", received + 1)
    ngx.sleep(0.3)
    probe.release()
    local _, ok, res = ngx.thread.wait(t)
    return ok, res
"""

# never answered before the deadline
UNANSWERED = """
    local probe = require "probe"
    local rt = probe.load({cfg})
    local ok, res, third = rt:call("hold", {options})
    probe.release()
    return ok, res, third
"""

SHORT = '"short", { timeout = 50 }'
LONG = '"long", { timeout = 60000 }'
NEVER = '"never", { timeout = 0 }'


@pytest.fixture(scope="module")
def server(new_nginx: NewNginx) -> Iterator[Nginx]:
    with new_nginx(server=SERVER) as nginx:
        yield nginx


@pytest.mark.valgrind
@pytest.mark.parametrize(
    ("uri", "cfg", "options"),
    [
        ("/short", "", "nil"),
        ("/short", "", "{}"),
        ("/inherits/it", "", "nil"),
        ("/lua", SHORT, "nil"),
        ("/long", SHORT, "nil"),
        ("/none", SHORT, "nil"),
        ("/lua", "", "{ timeout = 50 }"),
        ("/lua", "", "{ timeout = 1 }"),
        ("/lua", "", "{ timeout = 0.5 }"),
        ("/none", "", "{ timeout = 50 }"),
        ("/long", LONG, "{ timeout = 50 }"),
        ("/lua", NEVER, "{ timeout = 50 }"),
    ],
)
def test_no_answer_in_time(
    nginx: Nginx, uri: str, cfg: str, options: str
) -> None:
    code = UNANSWERED.format(cfg=cfg, options=options)
    assert nginx.lua(code, uri) == [False, "timeout", None]


@pytest.mark.parametrize(
    ("uri", "cfg", "options"),
    [
        ("/lua", "", "nil"),
        ("/none", "", "nil"),
        ("/long", "", "nil"),
        ("/short", LONG, "nil"),
        ("/short", NEVER, "nil"),
        ("/short", "", "{ timeout = 60000 }"),
        ("/short", "", "{ timeout = 0 }"),
        ("/lua", SHORT, "{ timeout = 60000 }"),
        ("/lua", SHORT, "{ timeout = 0 }"),
        ("/lua", SHORT, "{ timeout = 2 ^ 31 }"),
        ("/lua", SHORT, "{ timeout = 2 ^ 53 }"),
        ("/lua", SHORT, "{ timeout = math.huge }"),
    ],
)
def test_the_nearest_setting_counts(
    nginx: Nginx, uri: str, cfg: str, options: str
) -> None:
    code = ANSWERED.format(cfg=cfg, options=options)
    assert nginx.lua(code, uri) == [True, "released"]


@pytest.mark.valgrind
@pytest.mark.parametrize(
    ("uri", "cfg", "options", "deadline"),
    [
        ("/lua", "", "nil", "none"),
        ("/none", "", "nil", "none"),
        ("/long", "", "nil", "some"),
        ("/lua", LONG, "nil", "some"),
        ("/lua", "", "{ timeout = 60000 }", "some"),
        ("/long", NEVER, "nil", "none"),
        ("/long", LONG, "{ timeout = 0 }", "none"),
    ],
)
def test_who_polls_has_no_deadline_by_default(
    nginx: Nginx, uri: str, cfg: str, options: str, deadline: str
) -> None:
    """Users leave a call open for minutes, as a watch."""
    code = f"""
        local rt = require("probe").load({cfg})
        return rt:call("deadline", {options})
    """
    assert nginx.lua(code, uri) == [True, deadline]


@pytest.mark.valgrind
@pytest.mark.parametrize(
    ("uri", "name", "options", "deadline"),
    [
        ("/lua", "plain", "nil", "59"),
        ("/lua", "loop", "nil", "59"),
        ("/none", "plain", "nil", "None"),
        ("/long", "plain", "nil", "59"),
        ("/lua", "plain", "{ timeout = 0 }", "None"),
        ("/lua", "loop", "{ timeout = 3600000 }", "3599"),
    ],
)
def test_what_is_served_has_60_seconds(
    nginx: Nginx, uri: str, name: str, options: str, deadline: str
) -> None:
    nginx.write_python(
        "sixty.py",
        """
import time
from resty_ffi import current, serve

def left():
    deadline = current().deadline
    return str(deadline and int(deadline - time.monotonic()))

@serve
def plain(request):
    return left()

@serve
async def loop(request):
    return left()
""",
    )
    code = f"""
        local rt = assert(ngx.load_ffi("ffi_python3", "sixty,{name}"))
        return rt:call("", {options})
    """
    assert nginx.lua(code, uri) == [True, deadline]


@pytest.mark.parametrize("level", ["http", "server"])
def test_directive_at_each_level(new_nginx: NewNginx, level: str) -> None:
    settings = {level: "ffi_timeout 50ms;"}
    if level == "server":
        settings["http"] = "ffi_timeout 1m;"
    with new_nginx(**settings) as nginx:
        code = UNANSWERED.format(cfg="", options="nil")
        assert nginx.lua(code) == [False, "timeout", None]


def test_directive_in_a_timer(nginx: Nginx) -> None:
    """A timer has the settings of the location that made it."""
    assert nginx.lua(
        """
        local probe = require "probe"
        local rt, seen = probe.load(), nil
        local done = require("ngx.semaphore").new()
        ngx.timer.at(0, function()
            seen = { rt:call("hold") }
            done:post()
        end)
        done:wait(10)
        probe.release()
        return seen and seen[1], seen and seen[2]
        """,
        "/short",
    ) == [False, "timeout"]


@pytest.mark.parametrize(
    ("uri", "options"),
    [("/short", "nil"), ("/lua", "{ timeout = 50 }")],
)
def test_a_load_is_no_call(nginx: Nginx, uri: str, options: str) -> None:
    """Import and start take their time, however short calls must be."""
    name = "slow_" + uri.strip("/")
    nginx.write_python(
        f"{name}.py",
        "import time\ntime.sleep(0.4)\nfrom evaluate import init\n",
    )
    rt, *err = nginx.lua(
        f'return ngx.load_ffi("ffi_python3", "{name},init", {options})', uri
    )
    assert rt is not None, err


@pytest.mark.parametrize(
    "directive",
    [
        "ffi_timeout;",
        "ffi_timeout soon;",
        "ffi_timeout -1;",
        "ffi_timeout 1s 2s;",
        "ffi_timeout 1s; ffi_timeout 2s;",
    ],
)
def test_directives_that_nginx_refuses(
    new_nginx: NewNginx, directive: str
) -> None:
    nginx = new_nginx(http=directive)
    good, text = nginx.test_configuration()
    assert not good
    assert "ffi_timeout" in text


@pytest.mark.valgrind
@pytest.mark.parametrize("value", ["-1", "-math.huge", '"x"', "{}", "false"])
def test_values_that_are_no_timeouts(nginx: Nginx, value: str) -> None:
    """The caller's mistake: raised, and nothing is queued."""
    received = 'return require("probe").received()'
    before = nginx.lua(received)
    with pytest.raises(LuaError, match="timeout"):
        nginx.lua(
            'local rt = require("probe").load()\n'
            f'local ok = rt:call("x", {{ timeout = {value} }})'
        )
    assert nginx.lua(received) == before


@pytest.mark.valgrind
def test_late_answers_are_dropped(nginx: Nginx) -> None:
    """And the next calls get their own."""
    assert nginx.lua(
        """
        local probe = require "probe"
        local rt = probe.load()
        probe.abandon(rt, 10)
        local before = select(2, rt:call("before"))
        local released = probe.release() >= 10
        for i = 1, 100 do
            local ok, res = rt:call("after " .. i)
            assert(ok and res == "after " .. i, res)
        end
        return before, released
        """
    ) == ["before", True]


@pytest.mark.valgrind
def test_answers_that_race_with_the_deadline(nginx: Nginx) -> None:
    """Each call ends once, with its own answer or with a timeout."""
    assert nginx.lua(
        """
        local probe = require "probe"
        local rt = probe.load()
        local ended = 0
        local threads = {}
        for i = 1, 400 do
            threads[i] = ngx.thread.spawn(function()
                local ok, res = rt:call("delay:20", { timeout = 15 + i % 10 })
                assert(ok and res == "later"
                       or ok == false and res == "timeout", res)
                ended = ended + 1
            end)
        end
        for _, t in ipairs(threads) do
            assert(ngx.thread.wait(t))
        end
        return ended, rt:call("after")
        """
    ) == [400, True, "after"]


def test_a_deadline_while_still_in_the_queue(nginx: Nginx) -> None:
    """A runtime never sees what nobody waits for any more."""
    assert nginx.lua(
        """
        local probe = require "probe"
        local rt = probe.load("stalled")
        local t = ngx.thread.spawn(rt.call, rt, "gate")
        probe.wait("gated", 1)
        local received = probe.received()
        for i = 1, 20 do
            local ok, err = rt:call("too late", { timeout = 1 })
            assert(ok == false and err == "timeout")
        end
        probe.open_gate()
        ngx.thread.wait(t)
        local ok, res = rt:call("in time")
        return probe.received() - received, ok, res
        """
    ) == [1, True, "in time"]


@pytest.mark.once
def test_many_timeouts_do_not_leak(nginx: Nginx) -> None:
    code = """
        local probe = require "probe"
        local rt = probe.load()
        local req = "hold" .. ("x"):rep(4096)
        for _ = 1, 10 do
            local threads = {}
            for i = 1, 500 do
                threads[i] = ngx.thread.spawn(rt.call, rt, req,
                                              { timeout = 10 })
            end
            for _, t in ipairs(threads) do
                local _, ok, err = ngx.thread.wait(t)
                assert(ok == false and err == "timeout")
            end
            probe.release()
            rt:call("x")
            collectgarbage()
        end
    """
    nginx.lua(code)
    before = nginx.resident()
    for _ in range(4):
        nginx.lua(code)
    # their requests alone are 80 MiB
    assert nginx.resident() - before < 8192
