# SPDX-License-Identifier: BSD-2-Clause
"""Lua raises anywhere in a call, and goes on behind a pcall.

By a hook, as of who bounds what code may do, at each instruction; and for want
of memory, at each new object of LuaJIT. A coroutine that has left a call or a
stream so does not wait for it any more.
"""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import checker
from .conftest import NewNginx
from .nginx import Nginx

pytestmark = [
    pytest.mark.valgrind,
    pytest.mark.skipif(
        checker.VALGRIND and not checker.ALL, reason="takes minutes; see ASan"
    ),
]

STEPS = {
    "call": """
        function()
            local rt = assert(ngx.load_ffi("probe", "thrown"))
            local ok, res = rt:any("x")
            assert(ok and res == "x", res)
        end
    """,
    "slow-call": """
        function()
            local rt = assert(ngx.load_ffi("probe", "thrown"))
            assert(rt:any("delay:2"))
        end
    """,
    "strays": """
        function()
            local rt = assert(ngx.load_ffi("probe", "thrown"))
            assert(rt:any("delay:8"))
        end, function()
            stray.expect(3, 0.001)
        end
    """,
    "read": """
        function()
            local s = assert(stream(streams.load(), "send",
                                    "parts=3 size=4 sleep=1"))
            for i = 1, 3 do
                assert(s:read() == ("abc"):sub(i, i):rep(4))
            end
            assert(s:read() == nil)
        end
    """,
    "write": """
        function()
            local s = assert(stream(streams.load(), "count", "sleep=1",
                                    { input = true }))
            for i = 1, 3 do
                assert(s:write(long))
            end
            assert(s:finish())
            assert(s:read() == "300000 3")
        end
    """,
    "load": """
        function()
            local rt = assert(ngx.load_ffi("async", "ok /"))
            assert(rt:any("x"))
            assert(rt:__reload())
            rt:__unload()
        end
    """,
}
SERVER = """
    location /pipe {
        content_by_lua_block {
            require("thrown").pipe(ngx.var.arg_by, tonumber(ngx.var.arg_n))
        }
    }
"""


@pytest.fixture(scope="module")
def server(
    new_nginx: NewNginx, libs: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Nginx]:
    sites = tmp_path_factory.mktemp("faults") / "sites"
    preloaded = checker.environ(libs).get("LD_PRELOAD", "")
    environ = {
        "LD_PRELOAD": f"{preloaded} {libs}/libfaults.so".strip(),
        "FAULTS_LOG": str(sites),
    }
    # traces do not look at hooks, and are recorded when they like
    http = "init_by_lua_block { require('jit').off() }"
    with new_nginx(environ=environ, http=http, server=SERVER) as nginx:
        yield nginx


@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS)
@pytest.mark.parametrize("each", ["each_instruction", "each_allocation"])
def test_what_raises_waits_no_more(
    nginx: Nginx, each: str, steps: str
) -> None:
    old = nginx.worker()
    (times,) = nginx.lua(
        f"""
        local stray, streams = require "stray", require "streams"
        local stream = require("resty.ffi").stream
        local long = ("x"):rep(100000)
        return require("thrown").{each}({steps})
        """
    )
    assert times
    assert nginx.worker() == old


@pytest.mark.parametrize("by", ["by_hook", "by_memory"])
def test_a_pipe_that_raises(nginx: Nginx, by: str) -> None:
    old = nginx.worker()
    n, raised = 0, True
    while raised:
        n += 1
        with contextlib.suppress(http.client.HTTPException):
            nginx.get(f"/pipe?by={by}&n={n}")
        raised, well, err = nginx.lua("return require('thrown').piped()")
        assert well, err
    assert n > 1
    assert nginx.worker() == old
