# SPDX-License-Identifier: BSD-2-Clause
"""Streams by ffi.stream: callers that stall, that write, and that go."""

from __future__ import annotations

import pytest

from ..client import eventually
from ..conftest import NewNginx
from ..nginx import Nginx
from .calls import SETTINGS, call, loaded
from .test_streams import EACH, each, each_kind, noted, numbers

# Parts of 1000 bytes that are on their way at most: 64 KiB of them.
AHEAD = 64

PRELUDE = """
    local ffi = require "resty.ffi"
    local rt = {rt}

    local function rest(s)
        local parts, part, err, status, text = {{}}
        repeat
            part, err, status, text = s:read()
            parts[#parts + 1] = part
        until not part
        return table.concat(parts), err, status, text
    end
"""


def prelude(cfg: str, opts: str = "nil") -> str:
    return PRELUDE.format(rt=loaded(cfg, opts))


@each
def test_stalled_streams_and_others(nginx: Nginx, kind: str, a: str) -> None:
    """They are parked, on however few threads, and go on when read."""
    code = f"""
        {prelude(f"streams,{kind}")}
        local streams, right = {{}}, 0
        for i = 1, 20 do
            streams[i] = assert(ffi.stream(rt, "{a}endless", "1000"))
            assert(#assert(streams[i]:read()) == 1000)
        end
        for i = 1, 1000 do
            local ok, res = rt:echo(tostring(i))
            right = right + (ok and res == tostring(i) and 1 or 0)
        end
        local whole = 0
        for i = 1, 20 do
            for n = 1, 300 do
                local part = assert(streams[i]:read())
                whole = whole + (tonumber(part:match("%d+")) == n and 1 or 0)
            end
        end
        for i = 1, 10 do
            streams[i]:close()
        end
        return right, whole       -- the others are forgotten
    """
    assert nginx.lua(code) == [1000, 6000]
    noted(nginx, kind, f"{a}endless", 20)


@each
def test_slow_readers(nginx: Nginx, kind: str, a: str) -> None:
    """What is taken by and by is whole; the last parts come after the end."""
    code = f"""
        {prelude(f"streams,{kind}")}
        local s = assert(ffi.stream(rt, "{a}numbers", "100000"))
        local parts = {{}}
        for i = 1, 20 do
            parts[i] = assert(s:read())
            ngx.sleep(0.005)
        end
        local all = table.concat(parts) .. rest(s)
        return #all, ngx.md5(all) == ngx.md5(ngx.var.arg_x or all),
               all:sub(1, 10), all:sub(-6)
    """
    text = numbers(100_000)
    assert nginx.lua(code) == [len(text), True, text[:10], text[-6:]]


@each
def test_parts_then_an_exception(nginx: Nginx, kind: str, a: str) -> None:
    code = f"""
        {prelude(f"streams,{kind}")}
        return rest(assert(ffi.stream(rt, "{a}raises")))
    """
    parts, _, rc, text = nginx.lua(code)
    assert (parts, rc, text) == ("onetwothree", 1, "ValueError: after three")


@each
@pytest.mark.parametrize("pieces", [0, 1, 200])
def test_requests_in_parts(
    nginx: Nginx, kind: str, a: str, pieces: int
) -> None:
    code = f"""
        {prelude(f"streams,{kind}")}
        local function ask(method)
            local s = assert(ffi.stream(rt, method, "first",
                                        {{ input = true }}))
            for i = 1, {pieces} do
                assert(s:write(tostring(i % 10):rep(5000)))
            end
            assert(s:finish())
            local all, err, _, text = rest(s)
            return all, text or err
        end
        local counted = ask("{a}count")
        local all = {{ "FIRST" }}
        for i = 1, {pieces} do
            all[i + 1] = tostring(i % 10):rep(5000)
        end
        all = table.concat(all)
        local echo = ask("{a}echo")
        return counted, echo:sub(1, 5), echo:upper() == all
    """
    end = "b''" if a else "b'end'"
    size = 5 + 5000 * pieces
    assert nginx.lua(code) == [f"{size} True {end}", "first", True]


@each
def test_duplex(nginx: Nginx, kind: str, a: str) -> None:
    """What is written comes back before the next is."""
    if (kind, a) == ("Mixed", ""):
        return  # its thread is the loop's, so the request is gathered
    code = f"""
        {prelude(f"streams,{kind}")}
        local s = assert(ffi.stream(rt, "{a}iterates", nil,
                                    {{ input = true }}))
        for i = 1, 100 do
            assert(s:write("word" .. i))
            assert(s:read() == "WORD" .. i)
        end
        assert(s:finish())
        return rest(s)
    """
    assert nginx.lua(code)[0] == ""


@each
def test_many_duplexes(nginx: Nginx, kind: str, a: str) -> None:
    """Requests that come by and by block nobody, gathered or awaited."""
    method = "a_iterates" if a else "echo"
    code = f"""
        {prelude(f"streams,{kind}")}
        local streams, all = {{}}, {{}}
        for i = 1, 50 do
            streams[i] = assert(ffi.stream(rt, "{method}", nil,
                                           {{ input = true }}))
            assert(streams[i]:write("<"))
        end
        local ok, res = rt:echo("between")
        assert(ok and res == "between")
        for i = 1, 50 do
            assert(streams[i]:write(tostring(i)))
            if i % 5 > 0 then
                assert(streams[i]:finish())
                all[#all + 1] = rest(streams[i])
            end
        end
        return #all, all[1], all[40]      -- every fifth is forgotten
    """
    assert nginx.lua(code) == [40, "<1", "<49"]
    assert call(nginx, f"streams,{kind}", "x", method="echo") == [True, "x"]


@pytest.mark.parametrize("kind", ["one", "Threads", "Pooled"])
def test_a_send_that_stalls(nginx: Nginx, kind: str) -> None:
    code = f"""
        {prelude(f"streams,{kind}")}
        local s = assert(ffi.stream(rt, "sends", "200"))
        assert(s:read())
        ngx.sleep(0.1)
        local all = rest(s)
        local gone = assert(ffi.stream(rt, "sends_until_gone", "x"))
        assert(gone:read())
        gone:close()
        return #all
    """
    # as many as are read at once are one
    assert nginx.lua(code)[0] <= 200 * 1000
    noted(nginx, kind, "sends: nobody waits for the answer any more")


CPU = """
    local function cpu_s()
        local file = io.open("/proc/self/stat")
        local stat = file:read("*a")
        file:close()
        local user, system = stat:match("%)" .. (" %S+"):rep(11)
                                        .. " (%d+) (%d+)")
        return (user + system) / 100
    end

    local function is_quiet()
        local before = cpu_s()
        ngx.sleep(1)
        return cpu_s() - before < 0.3
    end
"""


@pytest.mark.parametrize("kind", ["one", "Threads", "Pooled"])
def test_an_answer_that_is_not_taken(nginx: Nginx, kind: str) -> None:
    """What its thread was told of it meanwhile does not keep it awake."""
    code = f"""
        {prelude(f"streams,{kind}")}
        {CPU}
        rest(assert(ffi.stream(rt, "numbers", "3")))
        local streams = {{}}
        for i = 1, 4 do
            local s = assert(ffi.stream(rt, "sends", "70"))
            streams[i] = s
            ngx.sleep(0.1)
            for _ = 1, 60 do
                assert(s:read())
            end
        end
        local quiet = is_quiet()
        for i = 1, 4 do
            local _, err = rest(streams[i])
            assert(err == nil)
        end
        return quiet
    """
    assert nginx.lua(code) == [True]


@each_kind
@pytest.mark.parametrize("method", ["echo", "endless"])
def test_an_unload_while_nothing_moves(
    nginx: Nginx, kind: str, method: str
) -> None:
    """Who is asked what no event tells is not asked all the time."""
    code = f"""
        {prelude(f"streams,{kind},quiet{method}")}
        {CPU}
        local s = assert(ffi.stream(rt, "{method}", nil, {{ input = true }}))
        assert(s:write("1000"))
        if "{method}" == "endless" then
            assert(s:finish())
            assert(s:read())
        end
        local done = ngx.thread.spawn(rt.__unload, rt)
        ngx.sleep(0.05)
        local quiet = is_quiet()
        s:close()
        local _, ok = ngx.thread.wait(done)
        return quiet, ok
    """
    assert nginx.lua(code) == [True, True]


@each
def test_a_stalled_stream_whose_time_is_over(
    nginx: Nginx, kind: str, a: str
) -> None:
    """Also where its Lua thread was killed, which tells nobody."""
    code = f"""
        {prelude(f"streams,{kind}")}
        local function stall(timeout)
            local s = assert(ffi.stream(rt, "{a}endless", "1000",
                                        {{ timeout = timeout }}))
            assert(s:read())
            ngx.sleep(30)
        end
        local thread = ngx.thread.spawn(stall, 100)
        ngx.sleep(0.05)
        ngx.thread.kill(thread)
        local s = assert(ffi.stream(rt, "{a}endless", "1000",
                                    {{ timeout = 100 }}))
        local part, err
        repeat
            part, err = s:read()
        until not part
        return err
    """
    assert nginx.lua(code) == ["timeout"]
    noted(nginx, kind, f"{a}endless", 2)


@each
def test_an_unload_of_stalled_streams(nginx: Nginx, kind: str, a: str) -> None:
    """They go on; those whose callers go are closed."""
    cfg = f"streams,{kind},stalled{a}"
    code = f"""
        {prelude(cfg)}
        local s = assert(ffi.stream(rt, "{a}numbers", "100000"))
        local gone = assert(ffi.stream(rt, "{a}endless", "1000"))
        local half = assert(ffi.stream(rt, "{a}echo", nil,
                                       {{ input = true }}))
        assert(half:write("12345"))
        local parts = {{ assert(s:read()) }}
        assert(gone:read())
        local done = ngx.thread.spawn(rt.__unload, rt)
        ngx.sleep(0.05)
        for i = 2, 10 do
            parts[i] = assert(s:read())
            ngx.sleep(0.005)
        end
        gone:close()
        assert(half:write("6789"))
        assert(half:finish())
        local counted = rest(half)
        parts[#parts + 1] = rest(s)
        local all = table.concat(parts)
        local _, ok = ngx.thread.wait(done)
        return #all, all:sub(-6), counted, ok
    """
    text = numbers(100_000)
    assert nginx.lua(code) == [len(text), text[-6:], "123456789", True]
    noted(nginx, kind, f"{a}endless")


UPLOADS = """
    client_max_body_size 200m;
    client_body_buffer_size 16k;

    location /upload/ {
        content_by_lua_block {
            local ffi = require "resty.ffi"
            local kind, method = ngx.var.uri:match("^/upload/(%w+)/(.+)$")
            local rt = assert(ngx.load_ffi("ffi_python3", "streams," .. kind))
            local s = assert(ffi.stream(rt, method, nil, { body = true }))
            repeat
                local part, err, status, text = s:read()
                ngx.print(part or text or err or "")
            until not part
        }
    }
"""


@pytest.mark.once
def test_uploads(new_nginx: NewNginx) -> None:
    """Of any length, whole, to each kind of handler; some are left half."""
    settings = {**SETTINGS, "server": SETTINGS["server"] + UPLOADS}
    with new_nginx(**settings) as nginx:
        for kind, a in EACH:
            for size in (0, 1, 100_000, 3_000_000):
                body = (b"%d," % size * (size // 2 + 1))[:size]
                uri = f"/upload/{kind}/{a}"
                end = "b''" if a else "b'end'"
                count = nginx.post(f"{uri}count", body).text
                assert count == f"{size} True {end}"
                echo = nginx.post(f"{uri}echo", body).body
                assert echo == body
                upper = nginx.post(f"{uri}iterates", body).body
                assert upper == body
            for method in ("count", "echo", "iterates"):
                with nginx.connect() as client:
                    client.sendall(
                        f"POST /upload/{kind}/{a}{method} HTTP/1.1\r\n"
                        "Host: x\r\nContent-Length: 1000000\r\n\r\n"
                        f"{'x' * 100_000}".encode()
                    )
            assert call(nginx, f"streams,{kind}", "x", method="echo") == [
                True,
                "x",
            ]


@each_kind
@pytest.mark.once
def test_a_worker_that_quits(new_nginx: NewNginx, kind: str) -> None:
    """It waits for streams that end, and leaves those behind that do not."""
    with new_nginx(**SETTINGS) as nginx:
        a = "a_" if kind in ("Mixed", "Pooled") else ""
        nginx.lua(
            f"""
            {prelude(f"streams,{kind}")}
            ngx.timer.at(0, function()
                local s = assert(ffi.stream(rt, "{a}slow", "50"))
                local all = rest(s)
                ngx.log(ngx.NOTICE, "slow has ", #all)
            end)
            ngx.timer.at(0, function()
                local s = assert(ffi.stream(rt, "endless", "1000"))
                s:read()
                ngx.sleep(0.3)
                ngx.log(ngx.NOTICE, "stalled is forgotten")
            end)
            ngx.sleep(0.1)
            return true
            """
        )
        pid = nginx.worker()
        nginx.reload()
        nginx.wait_gone(pid)
        eventually(lambda: f"slow has {len(numbers(50))}" in nginx.log())
        assert "have not ended" not in nginx.log()
