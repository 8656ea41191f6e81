# SPDX-License-Identifier: BSD-2-Clause
"""ffi.stream: answers and requests in parts."""

from __future__ import annotations

import pytest

from .nginx import Nginx

STREAMS = """
local ffi = require "resty.ffi"
local streams = require "streams"
local rt = streams.load()
"""


def test_read(nginx: Nginx) -> None:
    assert nginx.lua(
        STREAMS
        + """
        local s = assert(ffi.stream(rt, "send", "parts=3 size=4 last=2"))
        local chunks = {}
        while true do
            local chunk, err = s:read()
            if not chunk then
                assert(err == nil, err)
                break
            end
            chunks[#chunks + 1] = chunk
        end
        streams.settle()
        return chunks, streams.undelivered()
        """
    ) == [["aaaa", "bbbb", "cccc", ".."], 0]


def test_write(nginx: Nginx) -> None:
    assert nginx.lua(
        STREAMS
        + """
        local s = assert(ffi.stream(rt, "echo", "first", { input = true }))
        local chunks = { s:read() }
        for i = 1, 5 do
            assert(s:write("part " .. i))
            chunks[#chunks + 1] = s:read()
        end
        assert(s:finish())
        local ends = select("#", s:read())
        streams.settle()
        return chunks, ends
        """
    ) == [["first", *(f"part {i}" for i in range(1, 6))], 1]
