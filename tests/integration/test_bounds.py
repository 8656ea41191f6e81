# SPDX-License-Identifier: BSD-2-Clause
"""What a call, and a runtime that does not answer, may cost."""

from __future__ import annotations

import pytest

from .client import eventually
from .nginx import Nginx

LARGE = """
from resty_ffi import Error, serve

@serve
def app(request):
    body = b"x" * int(request.lstrip(b"!"))
    if request.startswith(b"!"):
        raise Error(7, body)
    return body

@serve
async def loop(request):
    return bytearray(int(request))
"""


def lines(nginx: Nginx, since: int, what: str) -> list[str]:
    return [line for line in nginx.log(since).splitlines() if what in line]


@pytest.mark.valgrind
def test_requests(nginx: Nginx) -> None:
    """The longest that is allowed passes, one byte more does not."""
    assert nginx.lua(
        """
        local probe = require "probe"
        local rt = probe.load("requests", { max_request_bytes = 1000 })
        local received = probe.received()
        local none = select(2, rt:call())
        local _, most = rt:call(("x"):rep(1000))
        local ok, err = rt:call(("x"):rep(1001))
        local ok2, err2 = rt(("x"):rep(1e7))
        return none, #most, ok, err, ok2, err2, probe.received() - received
        """
    ) == [
        "nil",
        1000,
        *[False, "request too large"],
        *[False, "request too large"],
        2,
    ]


@pytest.mark.valgrind
def test_responses(nginx: Nginx) -> None:
    since = len(nginx.log())
    assert nginx.lua(
        """
        local probe = require "probe"
        local rt = probe.load("responses", { max_response_bytes = 100 })
        local _, most = rt:call(("x"):rep(100))
        local ok, err, third = rt:call(("x"):rep(101))
        return #most, ok, err, third, rt:call("y")
        """
    ) == [100, False, "response too large", None, True, "y"]
    (line,) = eventually(lambda: lines(nginx, since, "too large"))
    assert '"probe" has answered with 101 bytes' in line
    assert "max_response_bytes, 100" in line


@pytest.mark.valgrind
@pytest.mark.parametrize("name", ["app", "loop"])
def test_responses_of_python(nginx: Nginx, name: str) -> None:
    nginx.write_python("large.py", LARGE)
    load = f"""
        local rt = assert(ngx.load_ffi("ffi_python3", "large,{name}",
                                       {{ max_response_bytes = 100000 }}))
    """
    assert nginx.lua(
        f"""{load}
        local _, most = rt:call("100000")
        local ok, err = rt:call("100001")
        return #most, ok, err, rt:call("0")
        """
    ) == [100000, False, "response too large", True, ""]
    if name == "app":
        assert nginx.lua(f'{load} return rt:call("!100001")') == [
            False,
            "response too large",
        ]


@pytest.mark.valgrind
def test_a_response_that_lua_has_no_room_for(nginx: Nginx) -> None:
    """Is an error of Lua's; the call and its waiter are given back."""
    assert nginx.lua(
        """
        local probe = require "probe"
        local rt = probe.load("huge")
        local before = probe.abandoned()
        for i = 1, 20 do
            local ok, err = pcall(rt.call, rt, "huge")
            assert(not ok and err:find("string length overflow"), err)
        end
        ngx.sleep(0)
        local raised = ngx.thread.spawn(rt.call, rt, "huge")
        local ok = ngx.thread.wait(raised)
        ngx.sleep(0)
        return ok, probe.abandoned() - before, rt:call("x")
        """
    ) == [False, 21, True, "x"]


@pytest.mark.once
@pytest.mark.parametrize(
    ("lib", "cfg", "request_"),
    [
        ("probe", "large ones", '("x"):rep(1048576)'),
        ("ffi_python3", "large,app", '"1048576"'),
        ("ffi_python3", "large,loop", '"1048576"'),
    ],
)
def test_too_large_ones_are_given_back(
    alone: Nginx, lib: str, cfg: str, request_: str
) -> None:
    alone.write_python("large.py", LARGE)
    code = f"""
        local rt = assert(ngx.load_ffi("{lib}", "{cfg}",
                                       {{ max_response_bytes = 1000 }}))
        for i = 1, 100 do
            local ok, err = rt:call({request_})
            assert(ok == false and err == "response too large", err)
        end
        collectgarbage()
    """
    alone.lua(code)
    before = alone.resident()
    alone.lua(code)
    alone.lua(code)
    # 200 MiB went through
    assert alone.resident() - before < 16384


@pytest.mark.parametrize("option", ["max_request_bytes", "max_response_bytes"])
@pytest.mark.parametrize(
    "value", ["0", "-1", "1.5", "2147483648", "0/0", '"1"', "true"]
)
def test_values_that_are_no_lengths(
    nginx: Nginx, option: str, value: str
) -> None:
    rt, err = nginx.lua(
        f'return ngx.load_ffi("probe", "bad", {{ {option} = {value} }})'
    )
    assert rt is None
    assert f"opts.{option} must be an integer from 1 to 2147483647" in err


def test_a_runtime_that_does_not_answer(nginx: Nginx) -> None:
    """It gets no more calls until it does."""
    since = len(nginx.log())
    assert nginx.lua(
        """
        local probe = require "probe"
        local rt = probe.load("holds", { max_queue = 2000 })
        local refused
        for i = 1, 100 do
            local threads = {}
            for n = 1, 1000 do
                threads[n] = ngx.thread.spawn(rt.call, rt, "hold",
                                              { timeout = 50 })
            end
            for n = 1, 1000 do
                local _, ok, err = ngx.thread.wait(threads[n])
                refused = err ~= "timeout" and err
            end
            if refused then
                break
            end
        end
        local held = probe.held()
        for _ = 1, 500 do
            local ok, err = rt:call("x", { timeout = 0 })
            assert(ok == false and err == refused, err)
        end
        probe.release()
        local ok, res
        for _ = 1, 1000 do
            ok, res = rt:call("y")
            if ok then break end
            ngx.sleep(0.01)
        end
        return refused, held <= 3000, res
        """
    ) == ["too many calls without an answer", True, "y"]
    said = eventually(lambda: lines(nginx, since, "has not answered"))
    assert '"probe" has not answered 2' in said[0]
    assert len(said) < 100


def test_a_short_queue_is_no_reason(nginx: Nginx) -> None:
    """A few late answers do not keep callers out."""
    assert nginx.lua(
        """
        local probe = require "probe"
        local rt = probe.load("short queue", { max_queue = 1 })
        probe.abandon(rt, 100)
        local ok, res = rt:call("x")
        probe.release()
        return ok, res
        """
    ) == [True, "x"]
