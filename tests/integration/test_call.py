# SPDX-License-Identifier: BSD-2-Clause
"""What a call takes and returns."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from .checker import CHECKED
from .client import lua_string
from .nginx import LuaError, Nginx

pytestmark = pytest.mark.valgrind

PROBE = 'local probe = require "probe"; local rt = probe.load();'


def call(nginx: Nginx, request: str) -> list[object]:
    """All three values that a call returns."""
    values = nginx.lua(f"{PROBE} return rt:call({lua_string(request)})")
    return (values + [None] * 3)[:3]


@pytest.mark.parametrize(
    ("request_", "returned"),
    [
        ("hello", [True, "hello", None]),
        ("bare:0", [True, None, None]),
        ("bare-length", [True, None, None]),
        ("cstr:text", [True, "text", None]),
        ("cstr:", [True, "", None]),
        ("status:1", [False, 1, "no"]),
        ("status:-1", [False, -1, "no"]),
        ("status:2147483647", [False, 2147483647, "no"]),
        ("status:-2147483648", [False, -2147483648, "no"]),
        ("bare:7", [False, 7, None]),
    ],
)
def test_returns(nginx: Nginx, request_: str, returned: list[object]) -> None:
    assert call(nginx, request_) == returned


def test_success_has_no_third_value_but_nil(nginx: Nginx) -> None:
    values = nginx.lua(
        f'{PROBE} local ok, res, err = rt:call("x"); return ok, res, err'
    )
    assert values == [True, "x", None]


@pytest.mark.parametrize(
    "name",
    [
        *("echo", "call", "new", "load", "close", "unload", "timeout"),
        *("cfg", "lib", "name", "opts", "max_queue", "id", "queue", "self"),
        *("_x", "x1", "type", "wait", "post", "tostring"),
    ],
)
def test_any_method_name(nginx: Nginx, name: str) -> None:
    assert nginx.lua(f'{PROBE} return rt:{name}("hello")') == [True, "hello"]


def test_method_names_that_are_no_names(nginx: Nginx) -> None:
    assert nginx.lua(
        f"""{PROBE}
        local odd = {{ "a b", "", "end", "\\0", "1" }}
        for i, name in ipairs(odd) do
            assert(rt[name](rt, "x"))
        end
        return #odd
        """
    ) == [5]


@pytest.mark.parametrize("name", ["__reserved", "__echo", "__", "__call"])
def test_reserved_names_are_no_calls(nginx: Nginx, name: str) -> None:
    raised, received = nginx.lua(
        f"""{PROBE}
        local received = probe.received()
        local done = pcall(function() return rt:{name}("x") end)
        return not done, probe.received() - received
        """
    )
    assert (raised, received) == (True, 0)


def test_runtime_called_itself(nginx: Nginx) -> None:
    assert nginx.lua(f'{PROBE} return rt("hello")') == [True, "hello"]


def test_method_kept_in_a_local(nginx: Nginx) -> None:
    assert nginx.lua(
        f'{PROBE} local echo = rt.echo; return echo(rt, "hello")'
    ) == [True, "hello"]


@pytest.mark.parametrize("call_", ['rt.echo("x")', "rt.echo()", "rt.echo({})"])
def test_dot_instead_of_colon(nginx: Nginx, call_: str) -> None:
    received = f"{PROBE} return probe.received()"
    before = nginx.lua(received)
    with pytest.raises(LuaError):
        nginx.lua(f"{PROBE} return {call_}")
    assert nginx.lua(received) == before


def test_printable(nginx: Nginx) -> None:
    (text,) = nginx.lua(f"{PROBE} return tostring(rt)")
    assert text


@pytest.mark.parametrize("call_", ["rt:call(nil)", "rt:call()", "rt()"])
def test_nil_request(nginx: Nginx, call_: str) -> None:
    assert nginx.lua(f"{PROBE} return {call_}") == [True, "nil"]


def test_empty_request(nginx: Nginx) -> None:
    """Is no nil; the echo of nothing is a body of length 0."""
    ok, res = nginx.lua(f'{PROBE} return rt:call("")')
    assert ok is True
    assert res == ""


def test_bytes_pass_unchanged(nginx: Nginx) -> None:
    every = "".join(map(chr, range(256)))
    for data in (every, "\0", "\0" * 100, "a\0b", every * 1000):
        ok, res = nginx.lua(
            f"{PROBE} return rt:call({lua_string(data.encode('latin-1'))})"
        )
        assert ok is True
        assert res == data


@pytest.mark.parametrize(
    "size", [1, 190, 191, 192, 193, 4095, 65536, 64 * 1024 * 1024]
)
def test_sizes(nginx: Nginx, size: int) -> None:
    assert nginx.lua(
        f"""{PROBE}
        local data = ("x"):rep({size} - 1) .. "\\0"
        local ok, res = rt:call(data)
        collectgarbage()
        return ok, #res, res == data
        """
    ) == [True, size, True]


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("42", "number"),
        ("4.5", "number"),
        ("{}", "table"),
        ("true", "boolean"),
        ("print", "function"),
        ("ngx.null", "userdata"),
    ],
)
def test_requests_that_are_no_strings(
    nginx: Nginx, value: str, kind: str
) -> None:
    """The error is the caller's: it names the line of the call."""
    before = nginx.lua(f"{PROBE} return probe.received()")
    with pytest.raises(LuaError) as raised:
        nginx.lua(f"{PROBE}\n\nlocal ok = rt:echo({value})")
    assert str(raised.value) == (
        "test:3: bad argument #1 to 'echo' "
        f"(string or nil expected, got {kind})"
    )
    assert nginx.lua(f"{PROBE} return probe.received()") == before


def test_wrong_request_to_the_runtime_itself(nginx: Nginx) -> None:
    with pytest.raises(LuaError, match=r"^test:2: bad argument #1 to "):
        nginx.lua(f"{PROBE}\nlocal ok = rt(42)")


@pytest.mark.parametrize("options", ["1", '"x"', "true"])
def test_call_options_of_a_wrong_type(nginx: Nginx, options: str) -> None:
    with pytest.raises(LuaError, match=r"^test:2: bad argument #2 to 'echo'"):
        nginx.lua(f'{PROBE}\nlocal ok = rt:echo("x", {options})')


def test_nil_options(nginx: Nginx) -> None:
    assert nginx.lua(f'{PROBE} return rt:echo("x", nil)') == [True, "x"]


def test_answers_from_another_thread(nginx: Nginx) -> None:
    assert call(nginx, "delay:20") == [True, "later", None]


def test_answers_out_of_order(nginx: Nginx) -> None:
    assert nginx.lua(
        f"""{PROBE}
        local order, threads = {{}}, {{}}
        for i, req in ipairs {{ "delay:600", "delay:200", "now" }} do
            threads[i] = ngx.thread.spawn(function()
                assert(rt:call(req))
                order[#order + 1] = req
            end)
        end
        for _, t in ipairs(threads) do
            assert(ngx.thread.wait(t))
        end
        return order
        """
    ) == [["now", "delay:200", "delay:600"]]


def test_a_waiting_call_holds_nobody(nginx: Nginx) -> None:
    with ThreadPoolExecutor(1) as pool:
        waits = pool.submit(nginx.lua, f'{PROBE} return rt:call("hold")')
        for i in range(20):
            assert call(nginx, f"{i}") == [True, f"{i}", None]
        assert not waits.done()
        assert nginx.lua(
            f'{PROBE} probe.wait("held", 1) return probe.release()'
        ) == [1]
        assert waits.result() == [True, "released"]


def test_threads_of_a_runtime_share_its_queue(nginx: Nginx) -> None:
    assert nginx.lua(
        """
        local probe = require "probe"
        local rt = probe.load("threads=4")
        local threads = {}
        for i = 1, 2000 do
            threads[i] = ngx.thread.spawn(rt.call, rt, "message " .. i)
        end
        for i, t in ipairs(threads) do
            local _, ok, res = ngx.thread.wait(t)
            assert(ok and res == "message " .. i, res)
        end
        return #threads
        """
    ) == [2000]


def test_queue_full(nginx: Nginx) -> None:
    """The one that is being served does not count."""
    since = len(nginx.log())
    begun = time.monotonic()
    values = nginx.lua(
        """
        local probe = require "probe"
        local rt = probe.load("full", { max_queue = 3 })
        local threads = { ngx.thread.spawn(rt.call, rt, "gate") }
        probe.wait("gated", 1)
        for i = 2, 4 do
            threads[i] = ngx.thread.spawn(rt.call, rt, "waits")
        end
        local results = {}
        for i = 1, 1000 do
            local ok, err = rt:call("refused")
            results[tostring(ok) .. " " .. tostring(err)] = true
        end
        local first = next(results)
        local only = next(results, first) == nil
        probe.open_gate()
        local answers = {}
        for i, t in ipairs(threads) do
            answers[i] = select(3, ngx.thread.wait(t))
        end
        return first, only, answers, rt:call("again")
        """
    )
    assert values == [
        "false post failed, queue full",
        True,
        ["through", "waits", "waits", "waits"],
        True,
        "again",
    ]
    lines = nginx.count_log(r"queue.*full|full.*queue", since)
    assert 1 <= lines <= 1 + (time.monotonic() - begun)


def test_queue_full_of_the_default_size(nginx: Nginx) -> None:
    values = nginx.lua(
        """
        local probe = require "probe"
        local rt = probe.load("default")
        local threads = { ngx.thread.spawn(rt.call, rt, "gate") }
        probe.wait("gated", 1)
        for i = 1, 65536 do
            threads[i + 1] = ngx.thread.spawn(rt.call, rt, "x")
        end
        local ok, err = rt:call("refused")
        probe.open_gate()
        for _, t in ipairs(threads) do
            local _, answered = ngx.thread.wait(t)
            assert(answered)
        end
        return #threads, ok, err
        """
    )
    assert values == [65537, False, "post failed, queue full"]


def test_queue_full_of_one_is_no_other_ones(nginx: Nginx) -> None:
    assert nginx.lua(
        """
        local probe = require "probe"
        local rt = probe.load("small threads=0", { max_queue = 1 })
        local t = ngx.thread.spawn(rt.call, rt, "waits", { timeout = 50 })
        local ok = rt:call("refused")
        local other = probe.load():call("served")
        ngx.thread.wait(t)
        return ok, other
        """
    ) == [False, True]


def test_runtime_lives_without_a_reference(nginx: Nginx) -> None:
    """The collector takes the Lua value, not the runtime."""
    assert nginx.lua(
        """
        local probe = require "probe"
        local inits = probe.inits()
        probe.load("collected")
        collectgarbage()
        collectgarbage()
        return probe.load("collected"):call("x"), probe.inits() - inits
        """
    ) == [True, 1]


@pytest.mark.once
@pytest.mark.skipif(CHECKED, reason="it keeps what is freed")
@pytest.mark.parametrize(
    "request_",
    [
        '("x"):rep(4096)',
        '"no-nul:4000"',
        '"negative"',
        '"twice"',
        "nil",
    ],
)
def test_no_leak(nginx: Nginx, request_: str) -> None:
    code = f"""{PROBE}
        local req = {request_}
        for i = 1, 4000 do
            rt:call(req, {{ timeout = 1000 }})
            if i % 100 == 0 then collectgarbage() end
        end
        collectgarbage()
        collectgarbage()
        return true
    """
    nginx.lua(code)
    before = nginx.resident()
    nginx.lua(code)
    nginx.lua(code)
    assert nginx.resident() - before < 4096


@pytest.mark.valgrind
@pytest.mark.parametrize("call", ["rt:echo(false)", "rt(false)"])
def test_false_is_no_request(nginx: Nginx, call: str) -> None:
    """What `cond and body` gives: an error that says so, and no call."""
    message = r"bad argument #1 to '\w+' \(string or nil expected, got false\)"
    with pytest.raises(LuaError, match=message):
        nginx.lua(f'local rt = require("probe").load()\nreturn {call}')


@pytest.mark.valgrind
def test_fields_of_a_runtime(nginx: Nginx) -> None:
    """Tests of users replace methods; nil brings the real one back."""
    assert nginx.lua(
        """
        local rt = require("probe").load("fields")
        rt.greeting = "hello"
        rt.echo = function(self, req) return "stub", self == rt, req end
        local stub, is_self, req = rt:echo("x")
        local again = require("probe").load("fields").greeting
        rt.echo = nil
        local ok, res = rt:echo("real")
        return stub, is_self, req, again, ok, res
        """
    ) == ["stub", True, "x", "hello", True, "real"]


@pytest.mark.valgrind
def test_success_without_a_body_is_two_values(nginx: Nginx) -> None:
    assert nginx.lua(
        """
        local rt = require("probe").load()
        return select("#", rt:call("bare:0")), select("#", rt:call("x")),
               select("#", rt:call("status:3")), rt:call("bare:0")
        """
    ) == [2, 2, 3, True, None]
