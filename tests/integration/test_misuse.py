# SPDX-License-Identifier: BSD-2-Clause
"""Runtimes that break the rules of the C interface."""

from __future__ import annotations

import pytest

from .nginx import Nginx

pytestmark = pytest.mark.valgrind

PROBE = 'local probe = require "probe"; local rt = probe.load();'


def mark(nginx: Nginx) -> int:
    """The end of error.log, with all that earlier tests had to say."""
    nginx.lua(f'{PROBE} return rt:call("behind what was asked before")')
    return len(nginx.log())


def lines(nginx: Nginx, since: int) -> list[str]:
    """What error.log has of ours from a test, above notice."""
    mark(nginx)
    return [
        line
        for line in nginx.log(since).splitlines()
        if "[error]" in line or "[warn]" in line
    ]


def ask(nginx: Nginx, request: str) -> list[object]:
    values = nginx.lua(f'{PROBE} return rt:call("{request}")')
    return (values + [None] * 3)[:3]


@pytest.mark.parametrize("request_", ["negative", "bare-negative"])
def test_negative_length(nginx: Nginx, request_: str) -> None:
    since = mark(nginx)
    assert ask(nginx, request_) == [True, None, None]
    assert len(lines(nginx, since)) == 1
    assert "secret" not in nginx.log(since)


@pytest.mark.parametrize("size", [1, 7, 8, 24, 25, 100, 4000, 1 << 20])
def test_c_string_without_nul(nginx: Nginx, size: int) -> None:
    """As much as was allocated, and never more."""
    ok, res, _ = ask(nginx, f"no-nul:{size}")
    assert ok is True
    assert isinstance(res, str)
    assert set(res) == {"x"}
    assert size <= len(res) < size + 4096


def test_answered_twice(nginx: Nginx) -> None:
    """The first answer counts."""
    since = mark(nginx)
    assert ask(nginx, "twice") == [True, "first", None]
    assert len(lines(nginx, since)) == 1


def test_answered_twice_many_times(nginx: Nginx) -> None:
    """The second answer must not be another call's."""
    assert nginx.lua(
        f"""{PROBE}
        local threads = {{}}
        for i = 1, 2000 do
            threads[i] = ngx.thread.spawn(function()
                local req = i % 2 == 0 and "twice" or "call " .. i
                local ok, res = rt:call(req)
                assert(ok and res == (i % 2 == 0 and "first" or req), res)
            end)
        end
        for _, t in ipairs(threads) do
            assert(ngx.thread.wait(t))
        end
        return #threads
        """
    ) == [2000]


def test_answered_after_the_end(nginx: Nginx) -> None:
    """The handle of a task that has long been answered."""
    since = mark(nginx)
    assert nginx.lua(
        f"""{PROBE}
        assert(rt:call("x"))
        local was_null = probe.answer_stale()
        return was_null, rt:call("y")
        """
    ) == [1, True, "y"]
    assert 1 <= len(lines(nginx, since)) <= 2


def test_answered_after_unload(alone: Nginx) -> None:
    since = mark(alone)
    assert alone.lua(
        """
        local probe = require "probe"
        local threads = probe.threads()
        local rt = probe.load("answered after unload")
        assert(rt:call("x"))
        rt:__unload()
        probe.wait("threads", threads)
        return probe.answer_stale()
        """
    ) == [1]
    assert 1 <= len(lines(alone, since)) <= 2


def test_answered_after_a_timeout_is_no_misuse(nginx: Nginx) -> None:
    since = mark(nginx)
    assert nginx.lua(
        f"""{PROBE}
        probe.abandon(rt, 3)
        return probe.release() >= 3
        """
    ) == [True]
    assert not [line for line in lines(nginx, since) if "respond" in line]


def test_polled_after_null(alone: Nginx) -> None:
    since = mark(alone)
    assert alone.lua(
        """
        local probe = require "probe"
        local nulls, threads = probe.nulls(), probe.threads()
        local rt = probe.load("again")
        rt:__unload()
        probe.wait("threads", threads)
        return probe.nulls() - nulls
        """
    ) == [2]
    assert len(lines(alone, since)) == 1


def test_one_null_each_is_no_misuse(nginx: Nginx) -> None:
    since = mark(nginx)
    nginx.lua(
        """
        local probe = require "probe"
        local threads = probe.threads()
        probe.load("threads=5 clean"):__unload()
        probe.wait("threads", threads)
        """
    )
    assert lines(nginx, since) == []


def test_garbage_handles(nginx: Nginx) -> None:
    """Five for each function and a NULL: each use costs one line."""
    since = mark(nginx)
    assert ask(nginx, "garbage") == [True, "fine", None]
    assert len(lines(nginx, since)) == 16


def test_no_task_at_all(nginx: Nginx) -> None:
    since = mark(nginx)
    assert ask(nginx, "get-null") == [True, "fine", None]
    assert len(lines(nginx, since)) == 2


@pytest.mark.parametrize("address", ["0", "1", "0x1234", "2**64 - 1", "id(C)"])
def test_garbage_from_python(nginx: Nginx, address: str) -> None:
    since = mark(nginx)
    assert (
        nginx.python(
            "from evaluate import C, ffi\n"
            f"bad = ffi.cast('void *', {address})\n"
            "length = ffi.new('int *', -1)\n"
            "req = C.ngx_http_lua_ffi_get_req(bad, length)\n"
            "C.ngx_http_lua_ffi_respond(bad, 0, ffi.NULL, 0)\n"
            "task = C.ngx_http_lua_ffi_task_poll(bad)\n"
            "result = (req == ffi.NULL, length[0], task == ffi.NULL)"
        )
        == "(True, 0, True)"
    )
    assert len(lines(nginx, since)) == 3


def test_a_flood_of_misuse(nginx: Nginx) -> None:
    """Does not grow without bound, and says what it left out."""
    since = mark(nginx)
    nginx.python(
        "from evaluate import C, ffi\n"
        "for i in range(20000):\n"
        "    C.ngx_http_lua_ffi_respond(ffi.cast('void *', 1), 0,"
        " ffi.NULL, 0)\n"
        "result = 1"
    )
    assert 1 <= len(lines(nginx, since)) <= 20000
    assert nginx.python("result = 2") == "2"
