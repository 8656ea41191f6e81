# SPDX-License-Identifier: BSD-2-Clause
"""ffi.stream: answers and requests in parts."""

from __future__ import annotations

import pytest

from .checker import SLOWNESS
from .nginx import LuaError, Nginx

pytestmark = pytest.mark.valgrind

STREAMS = """
local ffi = require "resty.ffi"
local streams, readers = require "streams", require "readers"
local rt = streams.load()
"""


# -- reading ---------------------------------------------------------


@pytest.mark.parametrize(
    ("req", "chunks"),
    [
        ("", []),
        ("parts=1 size=1", ["a"]),
        ("parts=3 size=4 last=2", ["aaaa", "bbbb", "cccc", ".."]),
        ("parts=3 size=4 copy=1", ["aaaa", "bbbb", "cccc"]),
        ("parts=3 size=1 sleep=10", ["a", "b", "c"]),
        ("parts=5 size=0", []),
        ("parts=5 size=0 last=1", ["."]),
        ("last=3", ["..."]),
    ],
)
def test_each_part_is_a_chunk(
    nginx: Nginx, req: str, chunks: list[str]
) -> None:
    values = nginx.lua(
        STREAMS
        + f"""
        local s = assert(ffi.stream(rt, "send", "{req}"))
        local chunks, err = readers.all(s)
        assert(err == nil, err)
        streams.settle()
        return select("#", s:read()), streams.undelivered(), chunks
        """
    )
    assert values == [1, 0, chunks]


@pytest.mark.parametrize("method", ['"plain"', '"any other"', "nil"])
def test_an_answer_in_one_piece_is_one_chunk(
    nginx: Nginx, method: str
) -> None:
    assert nginx.lua(
        STREAMS
        + f"""
        local s = assert(ffi.stream(rt, {method}, "in one piece"))
        return (readers.all(s))
        """
    ) == [["in one piece"]]


def test_no_request(nginx: Nginx) -> None:
    assert nginx.lua(
        STREAMS
        + """
        local s = assert(ffi.stream(rt))
        return select("#", s:read()), select("#", s:read())
        """
    ) == [1, 1]


def test_the_probe_of_calls_streams_as_well(nginx: Nginx) -> None:
    """A runtime that knows nothing of streams."""
    assert nginx.lua(
        """
        local ffi, readers = require "resty.ffi", require "readers"
        local rt = require("probe").load()
        local results = {}
        for _, req in ipairs({ "hello", "bare:0", "cstr:text" }) do
            results[#results + 1] = readers.whole(rt, "x", req)
        end
        local _, err, status, text = readers.whole(rt, "x", "status:-1")
        return results, err, status, text
        """
    ) == [["hello", "", "text"], "failed", -1, "no"]


@pytest.mark.parametrize("parts", [0, 3])
def test_an_error_comes_behind_the_parts(nginx: Nginx, parts: int) -> None:
    count, err, status, text, again, more = nginx.lua(
        STREAMS
        + f"""
        local s = assert(ffi.stream(rt, "send",
                                    "parts={parts} size=4 rc=7 last=3"))
        local chunks, err, status, text = readers.all(s)
        local chunk, again = s:read()
        assert(chunk == nil)
        streams.settle()
        return #chunks, err, status, text, again, s:close()
        """
    )
    assert (count, err, status, text) == (parts, "failed", 7, "...")
    assert (again, more) == ("closed", True)


def test_an_error_without_a_text(nginx: Nginx) -> None:
    assert nginx.lua(
        STREAMS
        + """
        local s = assert(ffi.stream(rt, "send", "rc=3"))
        return select("#", s:read()), s:read()
        """
    ) == [4, None, "closed"]


def test_a_million_parts_of_one_byte(nginx: Nginx) -> None:
    """Nothing is lost, mixed up or kept; the worker goes on meanwhile."""
    parts = 1_000_000 if SLOWNESS == 1 else 20_000
    assert nginx.lua(
        STREAMS
        + f"""
        local n, ticks = {parts}, 0
        local ticker = ngx.thread.spawn(function()
            while true do
                ngx.sleep(0.005)
                ticks = ticks + 1
            end
        end)
        local s = assert(ffi.stream(rt, "send", "size=1 parts=" .. n))
        local wrong, i = 0, 0
        while true do
            local chunk = s:read()
            if not chunk then
                break
            end
            if #chunk ~= 1 or chunk:byte() ~= 97 + i % 26 then
                wrong = wrong + 1
            end
            i = i + 1
        end
        ngx.thread.kill(ticker)
        streams.settle()
        return i == n, wrong, ticks > 0, streams.refused() > 0
        """
    ) == [True, 0, True, True]


def test_what_is_not_read_holds_the_runtime_back(nginx: Nginx) -> None:
    (sent,) = nginx.lua(
        STREAMS
        + """
        local before, released = streams.sent(), streams.released()
        local s = assert(ffi.stream(rt, "endless", "size=1000"))
        for i = 1, 10 do
            s:read()
        end
        ngx.sleep(0.2)
        local sent = streams.sent() - before
        assert(streams.released() - released == 10)
        s:close()
        streams.settle()
        return sent
        """
    )
    assert sent <= 10 + 62


def test_a_part_above_the_mark_is_taken_whole(nginx: Nginx) -> None:
    assert nginx.lua(
        STREAMS
        + """
        local s = assert(ffi.stream(rt, "send", "parts=3 size=5000000"))
        local sizes = {}
        for i, chunk in ipairs((readers.all(s))) do
            sizes[i] = #chunk
            assert(chunk == streams.part(i, 5000000))
        end
        streams.settle()
        return sizes
        """
    ) == [[5_000_000] * 3]


# -- writing ---------------------------------------------------------


def test_write_and_read_by_turns(nginx: Nginx) -> None:
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


def test_a_part_of_the_request_may_have_any_bytes(nginx: Nginx) -> None:
    assert nginx.lua(
        STREAMS
        + r"""
        local s = assert(ffi.stream(rt, "echo", nil, { input = true }))
        assert(s:write("a\0b"))
        assert(s:write(""))
        assert(s:write("\255"))
        assert(s:finish())
        local chunks = readers.all(s)
        return #chunks, chunks[1] == "a\0b", chunks[2] == "\255"
        """
    ) == [2, True, True]


def test_a_request_of_no_parts(nginx: Nginx) -> None:
    assert nginx.lua(
        STREAMS
        + """
        local s = assert(ffi.stream(rt, "count", nil, { input = true }))
        assert(s:finish())
        local complete = readers.whole(rt, "count", "x")
        return s:read(), complete
        """
    ) == ["0 0", "0 0"]


def test_write_waits_for_a_slow_runtime(nginx: Nginx) -> None:
    """It holds no more than the mark and one chunk."""
    assert nginx.lua(
        STREAMS
        + """
        local s = assert(ffi.stream(rt, "count", "sleep=10",
                                    { input = true }))
        local chunk, ticks, done = ("x"):rep(30000), 0, false
        local ticker = ngx.thread.spawn(function()
            while not done do
                ngx.sleep(0.005)
                ticks = ticks + 1
            end
        end)
        for i = 1, 30 do
            assert(s:write(chunk))
        end
        assert(s:finish())
        done = true
        ngx.thread.wait(ticker)
        return ticks > 5, s:read()
        """
    ) == [True, "900000 30"]


def test_up_and_down_at_once(nginx: Nginx) -> None:
    """A thread writes, another reads; both are held back."""
    assert nginx.lua(
        STREAMS
        + """
        local s = assert(ffi.stream(rt, "echo", nil, { input = true }))
        local writer = ngx.thread.spawn(function()
            for i = 1, 200 do
                assert(s:write(streams.part(i, 10000)))
            end
            assert(s:finish())
        end)
        local chunks, err = readers.all(s)
        assert(err == nil, err)
        assert(ngx.thread.wait(writer))
        streams.settle()
        return table.concat(chunks) == streams.parts(200, 10000)
        """
    ) == [True]


def test_an_answer_before_the_request_is_complete(nginx: Nginx) -> None:
    assert nginx.lua(
        STREAMS
        + """
        local s = assert(ffi.stream(rt, "ignore", nil, { input = true }))
        local ok, err
        repeat
            ok, err = s:write(("x"):rep(1000))
            ngx.sleep(0)
        until not ok
        local finished = s:finish()
        return err, finished, s:read(), s:write("more")
        """
    ) == ["closed", True, "ignored", None, "closed"]


def test_an_answer_while_write_waits(nginx: Nginx) -> None:
    """A runtime that is gone before it has read anything."""
    assert nginx.lua(
        STREAMS
        + """
        local s = assert(ffi.stream(rt, "late", nil, { input = true }))
        local ok, err
        repeat
            ok, err = s:write(("x"):rep(10000))
        until not ok
        streams.settle()
        return err, s:read()
        """
    ) == ["closed", "early"]


def test_finished_is_finished(nginx: Nginx) -> None:
    assert nginx.lua(
        STREAMS
        + """
        local s = assert(ffi.stream(rt, "count", nil, { input = true }))
        local results = { s:finish(), select(2, s:finish()),
                          select(2, s:write("x")) }
        readers.all(s)
        results[4] = select(2, s:finish())
        results[5] = select(2, s:write("x"))
        return results
        """
    ) == [[True, "finished", "finished", "closed", "closed"]]


# -- closing ---------------------------------------------------------


def test_close(nginx: Nginx) -> None:
    """The runtime hears of it, what has come is given back unread."""
    assert nginx.lua(
        STREAMS
        + """
        local gone, undelivered = streams.gone(), streams.undelivered()
        local sent = streams.sent()
        local s = assert(ffi.stream(rt, "wait", "parts=5 size=10"))
        assert(s:read())
        streams.wait("sent", sent + 5)
        ngx.sleep(0)
        local first, second = s:close(), s:close()
        streams.wait("gone", gone + 1)
        streams.settle()
        local chunk, err = s:read()
        return first, second, streams.undelivered() - undelivered, err
        """
    ) == [True, True, 4, "closed"]


def test_close_before_the_runtime_has_it(nginx: Nginx) -> None:
    assert nginx.lua(
        STREAMS
        + """
        for i = 1, 100 do
            assert(ffi.stream(rt, "wait", "parts=1 size=1")):close()
        end
        streams.settle()
        return (readers.whole(rt, "plain", "after"))
        """
    ) == ["after"]


def test_close_after_the_answer_has_come(nginx: Nginx) -> None:
    assert nginx.lua(
        STREAMS
        + """
        local s = assert(ffi.stream(rt, "send", "parts=3 size=10 last=9"))
        streams.settle_running()
        ngx.sleep(0.02)
        s:close()
        streams.settle()
        return select(2, s:read())
        """
    ) == ["closed"]


@pytest.mark.parametrize("wait", ["read", "write"])
def test_close_ends_the_wait_of_another_thread(
    nginx: Nginx, wait: str
) -> None:
    assert nginx.lua(
        STREAMS
        + f"""
        local s = assert(ffi.stream(rt, "wait", nil, {{ input = true }}))
        local chunk = ("x"):rep(100000)
        local thread = ngx.thread.spawn(function()
            local ok, err
            repeat
                ok, err = s:{wait}(chunk)
            until not ok
            return err
        end)
        ngx.sleep(0.02)
        s:close()
        streams.settle()
        return ngx.thread.wait(thread)
        """
    ) == [True, "closed"]


def test_a_forgotten_stream_is_closed(nginx: Nginx) -> None:
    assert nginx.lua(
        STREAMS
        + """
        local gone = streams.gone()
        for i = 1, 20 do
            local s = assert(ffi.stream(rt, "wait", "parts=3 size=1000"))
            s:read()
        end
        collectgarbage()
        collectgarbage()
        streams.wait("gone", gone + 19)
        return "well"
        """
    ) == ["well"]
    nginx.lua(STREAMS + "streams.settle() return true")


@pytest.mark.parametrize("state", ["idle", "reads", "writes"])
@pytest.mark.parametrize("how", ["returns", "exits"])
def test_the_request_ends(nginx: Nginx, how: str, state: str) -> None:
    nginx.post(
        "/lua",
        STREAMS
        + f"""
        local state, s = "{state}"
        s = assert(ffi.stream(rt, "wait", "parts=3 size=10",
                              {{ input = true }}))
        assert(s:read())
        package.loaded.kept = s
        if state ~= "idle" then
            ngx.thread.spawn(function()
                while state == "reads" and s:read()
                      or state == "writes" and s:write(("x"):rep(50000))
                do
                end
                package.loaded.resumed = true
            end)
            ngx.sleep(0.01)
        end
        if "{how}" == "exits" or state ~= "idle" then
            ngx.exit(200)
        end
        """,
    )
    assert nginx.lua(
        STREAMS
        + """
        streams.settle()
        local s = package.loaded.kept
        package.loaded.kept = nil
        local resumed = package.loaded.resumed
        local chunk, err = s:read()
        return resumed, err
        """
    ) == [None, "closed"]


def test_a_stream_of_another_request(nginx: Nginx) -> None:
    assert nginx.lua(
        STREAMS
        + """
        local s = assert(ffi.stream(rt, "count", nil, { input = true }))
        local results
        assert(ngx.timer.at(0, function()
            results = { select(2, s:read()), select(2, s:write("x")),
                        select(2, s:finish()) }
        end))
        while not results do
            ngx.sleep(0.005)
        end
        assert(s:finish())
        results[4] = s:read()
        return results
        """
    ) == [["bad request", "bad request", "bad request", "0 0"]]


def test_a_killed_reader(nginx: Nginx) -> None:
    """Another one may read on."""
    assert nginx.lua(
        STREAMS
        + """
        local s = assert(ffi.stream(rt, "echo", nil, { input = true }))
        for i = 1, 5 do
            local thread = ngx.thread.spawn(function() s:read() end)
            local _, busy = s:read()
            assert(busy == "busy reading", busy)
            ngx.thread.kill(thread)
        end
        assert(s:write("alive"))
        local chunk = s:read()
        assert(s:finish())
        assert(s:read() == nil)
        streams.settle()
        return chunk
        """
    ) == ["alive"]


def test_a_killed_reader_whose_part_has_come(nginx: Nginx) -> None:
    """In the turn that would have resumed it: the part is still there."""
    assert nginx.lua(
        STREAMS
        + """
        local reads, killed = 0, 0
        for i = 1, 10 do
            local s = assert(ffi.stream(rt, "send",
                                        "parts=1 size=3 sleep=10 last=1"))
            local reader = ngx.thread.spawn(function()
                s:read()
                reads = reads + 1
            end)
            ngx.thread.spawn(function()
                ngx.sleep(0)
                local begin = os.clock()
                while os.clock() - begin < 0.03 do end  -- both come
            end)
            rt:plain("at once")
            if ngx.thread.kill(reader) then
                killed = killed + 1
                assert(s:read() == "aaa")
            end
            assert(s:read() == "." and not s:read())
        end
        streams.settle()
        return reads + killed, killed > 0
        """
    ) == [10, True]


def test_a_killed_writer(nginx: Nginx) -> None:
    assert nginx.lua(
        STREAMS
        + """
        local s = assert(ffi.stream(rt, "count", "sleep=20",
                                    { input = true }))
        local thread = ngx.thread.spawn(function()
            while s:write(("x"):rep(70000)) do end
        end)
        local _, busy = s:write("y")
        assert(busy == "busy writing", busy)
        _, busy = s:finish()
        assert(busy == "busy writing", busy)
        ngx.thread.kill(thread)
        assert(s:write("z"))
        assert(s:finish())
        local text = s:read()
        streams.settle()
        return text
        """
    ) == ["70001 2"]


def test_two_readers(nginx: Nginx) -> None:
    """The second one is refused, and the first one has all."""
    assert nginx.lua(
        STREAMS
        + """
        local s = assert(ffi.stream(rt, "send", "parts=5 size=2 sleep=5"))
        local first = ngx.thread.spawn(function() return readers.all(s) end)
        local refused = {}
        for i = 1, 3 do
            refused[i] = select(2, s:read())
            ngx.sleep(0.001)
        end
        local _, chunks = ngx.thread.wait(first)
        return refused, chunks
        """
    ) == [["busy reading"] * 3, ["aa", "bb", "cc", "dd", "ee"]]


# -- misuse ----------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("ffi.stream()", "bad argument #1 to 'stream' (runtime expected"),
        ("ffi.stream({})", "bad argument #1"),
        ("ffi.stream(rt, 1)", "bad argument #2 to 'stream' (string or nil"),
        ("ffi.stream(rt, 'x', {})", "bad argument #3"),
        ("ffi.stream(rt, 'x', false)", "bad argument #3"),
        ("ffi.stream(rt, 'x', 'y', 1)", "bad argument #4"),
        ("ffi.stream(rt, '__reload')", "reserved"),
        ("ffi.stream(rt, 'x', 'y', { timeout = -1 })", "opts.timeout must"),
        (
            "ffi.stream(rt, 'x', 'y', { first_timeout = '1' })",
            "opts.first_timeout must",
        ),
        (
            "ffi.stream(rt, 'x', 'y', { read_timeout = 0/0 })",
            "opts.read_timeout must",
        ),
        ("s.read()", "bad argument #1"),
        ("s.read({})", "bad argument #1"),
        ("s.read(io.stdout)", "bad argument #1"),
        ("s.close(nil)", "bad argument #1"),
        ("s:write('x')", "opts.input"),
        ("s:finish()", "opts.input"),
        ("s:write(1)", "string expected, got number"),
        ("s:write()", "string expected, got nil"),
        ("s.x = 1", "index"),
        ("getmetatable(s).__gc(s)", "index"),
    ],
)
def test_misuse_raises(nginx: Nginx, code: str, text: str) -> None:
    with pytest.raises(LuaError) as error:
        nginx.lua(
            STREAMS
            + f"""
            local s = assert(ffi.stream(rt, "plain", "x"))
            {code if "=" in code.split("(")[0] else "local _ = " + code}
            """
        )
    assert text in str(error.value)


def test_a_chunk_larger_than_a_request_may_be(nginx: Nginx) -> None:
    assert nginx.lua(
        STREAMS
        + """
        local rt = streams.load("small", { max_request_bytes = 10 })
        local _, err = ffi.stream(rt, "count", ("x"):rep(11))
        local s = assert(ffi.stream(rt, "count", nil, { input = true }))
        local _, more = s:write(("x"):rep(11))
        for i = 1, 3 do
            assert(s:write(("x"):rep(10)))
        end
        s:finish()
        return err, more, s:read()
        """
    ) == ["request too large", "request too large", "30 3"]


@pytest.mark.parametrize("req", ["parts=2 size=101", "last=101"])
def test_a_chunk_larger_than_a_response_may_be(nginx: Nginx, req: str) -> None:
    """Chunks are bounded, not their sum."""
    assert nginx.lua(
        STREAMS
        + f"""
        local rt = streams.load("short", {{ max_response_bytes = 100 }})
        local whole, err = readers.whole(rt, "send", "parts=10 size=100")
        assert(err == nil, err)
        local s = assert(ffi.stream(rt, "send", "{req}"))
        local _, err = s:read()
        local _, again = s:read()
        streams.settle()
        return #whole, err, again
        """
    ) == [1000, "response too large", "response too large"]


def test_after_an_unload(nginx: Nginx) -> None:
    assert nginx.lua(
        STREAMS
        + """
        local rt = streams.load("to be unloaded")
        rt:__unload()
        local s, err = ffi.stream(rt, "plain", "x")
        return s, err
        """
    ) == [None, "task queue is finished"]


# -- strays ----------------------------------------------------------


def test_strays_while_read_and_write_wait(nginx: Nginx) -> None:
    assert nginx.lua(
        STREAMS
        + """
        local stray = require "stray"
        local s = assert(ffi.stream(rt, "count", "sleep=20",
                                    { input = true }))
        stray.expect(8, 0.01)
        for i = 1, 5 do
            assert(s:write(("x"):rep(60000)))
        end
        assert(s:finish())
        local text = s:read()
        local whole = readers.whole(rt, "send", "parts=20 size=10 sleep=5")
        return text, whole == streams.parts(20, 10)
        """
    ) == ["300000 5", True]


def test_strays_that_come_with_parts(nginx: Nginx) -> None:
    assert nginx.lua(
        STREAMS
        + """
        local stray = require "stray"
        local right = 0
        local function run()
            stray.expect(15, 0.001, 0.003)
            local whole = readers.whole(rt, "send", "parts=9 size=9 sleep=2")
            right = right + (whole == streams.parts(9, 9) and 1 or 0)
            ngx.sleep(0.02)
        end
        local threads = {}
        for i = 1, 20 do
            threads[i] = ngx.thread.spawn(run)
        end
        for i = 1, 20 do
            assert(ngx.thread.wait(threads[i]))
        end
        streams.settle()
        return right
        """
    ) == [20]


def test_a_deadline_counts_in_spite_of_strays(nginx: Nginx) -> None:
    err, seconds = nginx.lua(
        STREAMS
        + """
        local stray = require "stray"
        stray.expect(10, 0.02)
        local s = assert(ffi.stream(rt, "wait", nil,
                                    { first_timeout = 150 }))
        local _, seconds, err = stray.time(s.read, s)
        streams.settle()
        return err, seconds
        """
    )
    assert err == "timeout"
    assert seconds >= 0.14
