# SPDX-License-Identifier: BSD-2-Clause
"""A coroutine that something else than its answer resumes waits on."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from .client import PATIENCE, eventually
from .conftest import NewNginx
from .nginx import Nginx

SLOW = """
import time

time.sleep(0.5)
from evaluate import init
"""

# One call, with strays while it waits, in the phase that runs it.
INIT = """
    lua_shared_dict board 64k;
    init_by_lua_block {
        function act(phase)
            local board = ngx.shared.board
            if board:get("phase") ~= phase then
                return
            end
            board:delete("phase")
            local ok, res = pcall(function()
                local rt = require("probe").load("stray")
                require("stray").expect(board:get("strays"), 0.03)
                local ok, res = rt:call("delay:200")
                return tostring(ok) .. " " .. tostring(res)
            end)
            board:set("result", res)
        end
    }
"""

HTTP = (
    INIT
    + """
    server {
        listen unix:{prefix}/tls.sock ssl;
        ssl_certificate CERTIFICATE;
        ssl_certificate_key CERTIFICATE;
        ssl_certificate_by_lua_block { act("ssl_certificate") }
        location / { return 200 "over TLS"; }
    }
    server {
        listen unix:{prefix}/early.sock;
        server_rewrite_by_lua_block { act("server_rewrite") }
        location / { return 200 "early"; }
    }
"""
)

SERVER = """
    location = /rewrite {
        rewrite_by_lua_block { act("rewrite") }
        content_by_lua_block { ngx.print("rewrite") }
    }
    location = /access {
        access_by_lua_block { act("access") }
        content_by_lua_block { ngx.print("access") }
    }
    location = /content {
        content_by_lua_block { act("content") }
    }
    location = /subrequest {
        content_by_lua_block { ngx.location.capture("/content") }
    }
    location = /timer {
        content_by_lua_block { ngx.timer.at(0, function() act("timer") end) }
    }
"""

PHASES = [
    *("server_rewrite", "rewrite", "access", "content", "timer"),
    "ssl_certificate",
]


@pytest.fixture(scope="module")
def server(
    new_nginx: NewNginx, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Nginx]:
    pem = tmp_path_factory.mktemp("tls") / "both.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes"),
            *("-subj", "/CN=localhost", "-keyout", pem, "-out", pem),
        ],
        check=True,
        capture_output=True,
    )
    http = HTTP.replace("CERTIFICATE", str(pem))
    with new_nginx(http=http, server=SERVER) as nginx:
        yield nginx


def ask(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(PATIENCE)
        sock.connect(str(path))
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        while sock.recv(4096):
            pass


def shake_hands(path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with socket.socket(socket.AF_UNIX) as plain:
        plain.settimeout(PATIENCE)
        plain.connect(str(path))
        with context.wrap_socket(plain, server_hostname="localhost"):
            pass


def enter(nginx: Nginx, phase: str) -> None:
    if phase == "server_rewrite":
        ask(nginx.prefix / "early.sock")
    elif phase == "ssl_certificate":
        with contextlib.suppress(OSError):
            shake_hands(nginx.prefix / "tls.sock")
    else:
        nginx.get(f"/{phase}")


@pytest.mark.valgrind
@pytest.mark.parametrize("strays", [1, 2, 5])
@pytest.mark.parametrize("phase", [*PHASES, "subrequest"])
def test_a_call_in_each_phase(nginx: Nginx, phase: str, strays: int) -> None:
    runs_in = "content" if phase == "subrequest" else phase
    nginx.lua(
        f"""
        local board = ngx.shared.board
        board:delete("result")
        board:set("strays", {strays})
        board:set("phase", "{runs_in}")
        """
    )
    enter(nginx, phase)
    code = 'return ngx.shared.board:get("result")'
    (result,) = eventually(
        lambda: [value for value in nginx.lua(code) if value is not None],
        f"act() in {phase}",
    )
    assert result == "true later"


@pytest.mark.valgrind
@pytest.mark.parametrize(
    "call",
    [
        'rt:call("delay:200")',
        'rt("delay:200")',
        'rt:call("delay:200", { timeout = 8000 })',
        'rt:call("delay:200", { timeout = 0 })',
    ],
)
def test_each_way_to_call(nginx: Nginx, call: str) -> None:
    assert nginx.lua(
        f"""
        local rt = require("probe").load()
        require("stray").expect(3, 0.03)
        return {call}
        """
    ) == [True, "later"]


@pytest.mark.valgrind
@pytest.mark.parametrize("thread", [False, True])
def test_a_deadline_still_counts(nginx: Nginx, thread: bool) -> None:
    """No stray resume ends the call early, nor makes it wait longer."""
    wait = "expect(5, 0.02)" if not thread else "expect(20, 0.02)"
    ok, seconds, err = nginx.lua(
        f"""
        local probe, stray = require "probe", require "stray"
        local rt = probe.load()
        local function run()
            stray.{wait}
            local ok, seconds, err = stray.time(rt.call, rt, "hold",
                                                {{ timeout = 250 }})
            probe.release()
            return ok, seconds, err
        end
        if {"true" if thread else "false"} then
            local _, ok, seconds, err =
                ngx.thread.wait(ngx.thread.spawn(run))
            return ok, seconds, err
        end
        return run()
        """
    )
    assert (ok, err) == (False, "timeout")
    assert seconds >= 0.2


@pytest.mark.valgrind
def test_a_load(nginx: Nginx) -> None:
    nginx.write_python("stray_load.py", SLOW)
    ok, err, answer = nginx.lua(
        """
        require("stray").expect(4, 0.05)
        local rt, err = ngx.load_ffi("ffi_python3", "stray_load,init")
        if not rt then
            return false, err
        end
        return rt ~= nil, err, select(2, rt:run("result = 6 * 7"))
        """
    )
    assert (ok, err, answer) == (True, None, "42")


@pytest.mark.valgrind
def test_a_reload(nginx: Nginx) -> None:
    nginx.write_python("stray_reload.py", SLOW)
    assert nginx.lua(
        """
        local rt = assert(ngx.load_ffi("ffi_python3", "stray_reload?,init"))
        require("stray").expect(4, 0.05)
        local ok, err = rt:__reload()
        return ok, err, select(2, rt:run("result = 6 * 7"))
        """
    ) == [True, None, "42"]


@pytest.mark.valgrind
def test_a_load_that_fails(nginx: Nginx) -> None:
    nginx.write_python(
        "stray_fails.py", "import time\ntime.sleep(0.3)\nraise OSError('no')\n"
    )
    rt, err = nginx.lua(
        """
        require("stray").expect(4, 0.05)
        return ngx.load_ffi("ffi_python3", "stray_fails,init")
        """
    )
    assert rt is None
    assert "OSError: no" in str(err)


@pytest.mark.valgrind
def test_the_stray_comes_with_the_answer(nginx: Nginx) -> None:
    """In one turn of the loop, in any order: each call has its own."""
    assert nginx.lua(
        """
        local probe, stray = require "probe", require "stray"
        local rt = probe.load()
        local right = 0
        local function run()
            for i = 1, 5 do
                stray.expect(6, 0.001, 0.017)
                local ok, res = rt:call("delay:20")
                assert(ok and res == "later", res)
                local ok, res = rt:call("after " .. i)
                assert(ok and res == "after " .. i, res)
                right = right + 1
            end
        end
        local threads = {}
        for i = 1, 20 do
            threads[i] = ngx.thread.spawn(run)
        end
        for i = 1, 20 do
            assert(ngx.thread.wait(threads[i]))
        end
        return right
        """
    ) == [100]


@pytest.mark.valgrind
def test_what_waits_next_is_not_resumed_by_us(nginx: Nginx) -> None:
    """Once a call has returned, its semaphore resumes nobody any more."""
    assert nginx.lua(
        """
        local probe, stray = require "probe", require "stray"
        local rt = probe.load()
        local slept = 0
        for i = 1, 80 do
            stray.expect(1, 0, 0.004 + i % 8 * 0.001)
            rt:call("delay:8")
            if stray.left() == 0 then
                local _, seconds = stray.time(ngx.sleep, 0.02)
                assert(seconds >= 0.015, seconds)
                slept = slept + 1
            else
                ngx.sleep(0.1)
            end
        end
        assert(slept > 0)
        return "well"
        """
    ) == ["well"]


@pytest.mark.once
@pytest.mark.valgrind
def test_other_clients_get_their_own(nginx: Nginx) -> None:
    """While strays hit some calls, those of others end in their time."""
    results: list[list[object]] = []

    def hedge() -> None:
        results.append(
            nginx.lua(
                """
                local probe, stray = require "probe", require "stray"
                local rt = probe.load()
                local function f() ngx.sleep(0.2) end
                local last = ngx.thread.spawn(f)
                stray.expect(2, 0.03)
                local ok, res = rt:call("delay:150")
                ngx.thread.wait(last)
                return ok, res
                """
            )
        )

    def call() -> None:
        results.append(
            nginx.lua('return require("probe").load():call("delay:150")')
        )

    for _ in range(3):
        threads = [threading.Thread(target=hedge) for _ in range(5)]
        threads += [threading.Thread(target=call) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert results == [[True, "later"]] * 75


@pytest.mark.valgrind
def test_a_killed_thread(nginx: Nginx) -> None:
    """One that a stray has resumed and that waits again can be killed."""
    assert nginx.lua(
        """
        local probe, stray = require "probe", require "stray"
        local rt = probe.load()
        for i = 1, 5 do
            local t = ngx.thread.spawn(function()
                stray.expect(2, 0.01)
                rt:call("hold")
            end)
            ngx.sleep(0.05)
            assert(ngx.thread.kill(t))
            assert(probe.release() == 1)
            local ok, res = rt:call("after " .. i)
            assert(ok and res == "after " .. i, res)
        end
        return "well"
        """
    ) == ["well"]


def test_a_request_that_ends(nginx: Nginx) -> None:
    """ngx.exit in another thread, while strays resume one that waits."""
    for _ in range(10):
        nginx.post(
            "/lua",
            """
            local probe, stray = require "probe", require "stray"
            local rt = probe.load()
            ngx.thread.spawn(function()
                stray.expect(5, 0.01)
                rt:call("hold")
            end)
            ngx.sleep(0.03)
            ngx.exit(200)
            """,
        )
    assert nginx.lua(
        """
        local probe = require "probe"
        probe.release()
        return probe.load():call("after")
        """
    ) == [True, "after"]


DELAYS = """
import asyncio
from resty_ffi import serve

@serve
async def wait(request):
    ms, _, text = request.partition(b" ")
    await asyncio.sleep(int(ms) / 1000)
    return text
"""

# Each coroutine asks twice, takes the faster answer, and then calls; the
# slower one's end resumes it while it waits.
LOAD = """
    local rt = assert(ngx.load_ffi("ffi_python3", "stray_delays,wait"))
    local stray = require "stray"
    local counts = { calls = 0, wrong = 0, late = 0, longest = 0 }
    local function ask(ms) return function() return rt:go(ms .. " x") end end
    local function run(number)
        for i = 1, CALLS do
            local a = ngx.thread.spawn(ask(1 + i % 3))
            local b = ngx.thread.spawn(ask(5 + i % 7))
            assert(ngx.thread.wait(a, b))
            local text = number .. " of " .. i
            local ok, seconds, res =
                stray.time(rt.go, rt, "10 " .. text)
            counts.calls = counts.calls + 1
            if not ok or res ~= text or seconds < 0.0085 then
                counts.wrong = counts.wrong + 1
            end
            if seconds > 0.06 then
                counts.late = counts.late + 1
            end
            counts.longest = math.max(counts.longest, seconds)
        end
    end
    local threads = {}
    for i = 1, 50 do
        threads[i] = ngx.thread.spawn(run, i)
    end
    for i = 1, 50 do
        assert(ngx.thread.wait(threads[i]))
    end
    return counts.calls, counts.wrong, counts.late, counts.longest
"""


@pytest.mark.once
def test_many_calls_beside_strays(nginx: Nginx) -> None:
    """STRAY_CALLS: of each of the 50 coroutines."""
    calls = int(os.environ.get("STRAY_CALLS", "20"))
    nginx.write_python("stray_delays.py", DELAYS)
    made, late, longest = 0, 0, 0.0
    for begin in range(0, calls, 500):
        code = LOAD.replace("CALLS", str(min(500, calls - begin)))
        answered, wrong, behind, most = nginx.lua(code)
        assert wrong == 0
        made += answered
        late += behind
        longest = max(longest, most)
    print(f"{made} calls, {late} late, the longest {longest:.3f} s")
    assert made == 50 * calls
