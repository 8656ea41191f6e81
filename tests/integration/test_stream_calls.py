# SPDX-License-Identifier: BSD-2-Clause
"""Calls of methods that answer in parts: rt:call has them all in one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from .client import eventually
from .nginx import Nginx

pytestmark = pytest.mark.valgrind

STREAMS = """
local streams = require "streams"
local rt = streams.load()
"""


@pytest.mark.parametrize(
    ("parts", "size", "more"),
    [
        (0, 0, ""),
        (1, 1, ""),
        (3, 10, ""),
        (3, 10, "copy=1"),
        (3, 10, "sleep=5"),
        (3, 10, "last=5"),
        (0, 0, "last=5"),
        (10, 0, ""),
        (10, 0, "last=1"),
        (64, 65536, ""),
        (1, 3_000_000, ""),
        (2000, 100, "copy=1 last=7"),
    ],
)
def test_parts_are_put_together(
    nginx: Nginx, parts: int, size: int, more: str
) -> None:
    assert nginx.lua(
        STREAMS
        + f"""
        local parts, size, more = {parts}, {size}, "{more}"
        local last = tonumber(more:match("last=(%d+)") or 0)
        local ok, res, err = rt:send("parts=" .. parts .. " size=" .. size
                                     .. " " .. more)
        local expected = streams.parts(parts, size) .. ("."):rep(last)
        assert(err == nil, err)
        streams.settle()
        return ok, (res or "") == expected, streams.undelivered()
        """
    ) == [True, True, 0]


def test_an_error_after_parts_has_only_its_own_text(nginx: Nginx) -> None:
    assert nginx.lua(
        STREAMS
        + """
        local ok, rc, text = rt:send("parts=3 size=10 rc=7 last=4")
        streams.settle()
        return ok, rc, text
        """
    ) == [False, 7, "...."]


def test_an_error_without_a_text(nginx: Nginx) -> None:
    assert nginx.lua(
        STREAMS + 'return select("#", rt:send("parts=3 size=10 rc=-1"))'
    ) == [2]


def test_more_than_a_response_may_have(nginx: Nginx) -> None:
    """The call fails at once, its task is cancelled."""
    assert nginx.lua(
        """
        local streams = require "streams"
        local rt = streams.load("bounded", { max_response_bytes = 1000 })
        local gone = streams.gone()
        local results = {}
        for _, req in ipairs({ "parts=10 size=100",
                               "parts=10 size=100 last=1",
                               "parts=11 size=100",
                               "parts=1 size=1001" }) do
            local ok, res = rt:send(req)
            results[#results + 1] = ok and #res or res
        end
        local ok, res = rt:endless("size=100")
        results[#results + 1] = res
        streams.wait("gone", gone + 1)
        streams.settle()
        return unpack(results)
        """
    ) == [1000, *["response too large"] * 4]


def test_a_deadline_between_parts(nginx: Nginx) -> None:
    assert nginx.lua(
        STREAMS
        + """
        local gone = streams.gone()
        local ok, err = rt:endless("size=10 sleep=5", { timeout = 60 })
        streams.wait("gone", gone + 1)
        streams.settle()
        return ok, err
        """
    ) == [False, "timeout"]


def test_a_killed_thread_is_noticed_at_the_next_part(nginx: Nginx) -> None:
    assert nginx.lua(
        STREAMS
        + """
        local gone = streams.gone()
        local thread = ngx.thread.spawn(function()
            rt:endless("size=10 sleep=5")
        end)
        ngx.sleep(0.05)
        assert(ngx.thread.kill(thread))
        streams.wait("gone", gone + 1)
        streams.settle()
        return rt:plain("after")
        """
    ) == [True, "after"]


def test_the_request_ends_in_the_middle(nginx: Nginx) -> None:
    nginx.post(
        "/lua",
        STREAMS
        + """
        ngx.thread.spawn(function() rt:endless("size=10 sleep=5") end)
        ngx.sleep(0.05)
        ngx.exit(200)
        """,
    )
    nginx.lua(
        STREAMS + 'streams.wait("gone", 1); streams.settle(); return true'
    )


def test_strays_while_parts_come(nginx: Nginx) -> None:
    assert nginx.lua(
        STREAMS
        + """
        require("stray").expect(5, 0.01)
        local ok, res = rt:send("parts=20 size=100 sleep=5 last=3")
        streams.settle()
        return ok, res == streams.parts(20, 100) .. "..."
        """
    ) == [True, True]


def test_two_threads_send(nginx: Nginx) -> None:
    assert nginx.lua(
        STREAMS
        + """
        local ok, res = rt:two("parts=2000")
        streams.settle()
        local counts = {}
        for letter in res:gmatch(".") do
            counts[letter] = (counts[letter] or 0) + 1
        end
        return ok, #res, counts.a, counts.z
        """
    ) == [True, 2000, 77, 76]


def test_after_the_answer(nginx: Nginx) -> None:
    assert nginx.lua(
        STREAMS
        + """
        local ok, res = rt:late()
        streams.settle()
        return ok, res
        """
    ) == [True, "early"]


def test_the_worker_quits_in_the_middle(alone: Nginx) -> None:
    """Nothing is lost that is on its way."""
    code = """
        local ok, res = rt:send("parts=20 size=10 sleep=20")
        return ok, res == streams.parts(20, 10)
    """
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(alone.lua, STREAMS + code)
        eventually(
            lambda: alone.lua(STREAMS + "return streams.sent() > 3")[0],
            "parts come",
        )
        alone.quit()
        assert call.result() == [True, True]
    alone.wait()
