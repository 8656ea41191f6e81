# SPDX-License-Identifier: BSD-2-Clause
"""What users have written already runs as it is."""

from __future__ import annotations

import pytest

from .client import eventually
from .conftest import NewNginx
from .nginx import Nginx

GREETING = '{"hello": "x, y", "you": "me"}'


@pytest.mark.valgrind
@pytest.mark.parametrize("lib", ["ffi_python3", "resty_ffi_python"])
@pytest.mark.parametrize("module", ["skeleton", "skeleton?"])
def test_skeleton(nginx: Nginx, lib: str, module: str) -> None:
    assert nginx.lua(
        f"""
        local demo = ngx.load_ffi("{lib}", "{module},init",
                                  {{is_global = true, unpin = true}})
        local ok, res = demo:echo("hello")
        assert(ok and res == "hello")
        for i = 1, 1000 do
            local ok, res = demo:echo("hello " .. i)
            assert(ok and res == "hello " .. i)
        end
        demo:__unload()
        return demo:echo("gone")
        """
    ) == [False, "task queue is finished"]


@pytest.mark.valgrind
def test_echo_that_comes_with_it(nginx: Nginx) -> None:
    every = "".join(map(chr, range(256)))
    assert nginx.lua(
        """
        local demo = ngx.load_ffi("ffi_python3", "ffi.echo?,init",
                                  {is_global = true, unpin = true})
        local ok, res = demo:echo("hello")
        assert(ok and res == "hello")
        local every = {}
        for byte = 0, 255 do
            every[byte + 1] = string.char(byte)
        end
        local large = ("\\0x"):rep(1024 * 1024)
        return select(2, demo:echo(table.concat(every))),
               select(2, demo:echo(large)) == large,
               (demo:echo("")), (demo:echo(nil))
        """
    ) == [every, True, True, True]


def test_two_processes_of_one_name(nginx: Nginx) -> None:
    """Runtimes of one module with different configs are independent."""
    assert nginx.lua(
        """
        local one = ngx.load_ffi("ffi_python3", 'wild,init,{"name":"one"}')
        local two = ngx.load_ffi("ffi_python3", 'wild,init,{"name":"two"}')
        local _, a = one:greet('{"you":"a"}')
        local _, b = two:greet('{"you":"b"}')
        one:__unload()
        return a, b, two:greet('{"you":"c"}')
        """
    ) == [
        '{"hello": "one", "you": "a"}',
        '{"hello": "two", "you": "b"}',
        True,
        '{"hello": "two", "you": "c"}',
    ]


@pytest.mark.parametrize("phase", ["content", "init_worker", "access"])
def test_the_style_of_the_wild(new_nginx: NewNginx, phase: str) -> None:
    """Loaded at a module's top level, wherever that is first required."""
    settings = {
        "content": {},
        "init_worker": {"http": 'init_worker_by_lua_block { require "wild" }'},
        "access": {"server": 'access_by_lua_block { require "wild" }'},
    }[phase]
    with new_nginx(**settings) as nginx:
        assert nginx.lua('return require("wild").greet("me")') == [GREETING]
        ok, status, text = nginx.lua(
            'return require("wild").fail("no such thing")'
        )
        assert (ok, status) == (False, 1)
        # malloc rounds up, and there was no NUL
        assert text.startswith("no such thing")
        assert len(text) < len("no such thing") + 20
        nginx.wait_log("ValueError: no such thing")
        eventually(
            lambda: nginx.lua('return require("wild").beats()')[0] >= 3,
            "the timer calls",
        )
        assert nginx.lua(
            """
            local wild = require "wild"
            local threads = {}
            for i = 1, 100 do
                threads[i] = ngx.thread.spawn(wild.sleep, 0.1)
            end
            for _, t in ipairs(threads) do
                local _, ok = ngx.thread.wait(t)
                assert(ok)
            end
            return #threads
            """
        ) == [100]


def test_the_style_of_the_wild_over_a_reload(new_nginx: NewNginx) -> None:
    http = 'init_worker_by_lua_block { require "wild" }'
    with new_nginx(http=http) as nginx:
        for _ in range(3):
            old = nginx.worker()
            assert nginx.lua('return require("wild").greet("me")') == [
                GREETING
            ]
            nginx.reload()
            nginx.wait_gone(old)
