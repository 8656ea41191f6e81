# SPDX-License-Identifier: BSD-2-Clause
"""The C runtime of examples/c."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..conftest import NewNginx
from ..nginx import ROOT, Nginx

LOAD = 'local rt = assert(ngx.load_ffi("store"))\n'
# until so many wait, or the test fails
WAITING = """
    local function waiting(n)
        for _ = 1, 1000 do
            local _, now = rt:waiting()
            if now == tostring(n) then
                return true
            end
            ngx.sleep(0.01)
        end
        error("never " .. n)
    end
"""


@pytest.fixture(scope="module")
def server(
    new_nginx: NewNginx, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Nginx]:
    out = tmp_path_factory.mktemp("store")
    command = ["make", "-s", "-C", str(ROOT / "examples/c"), f"OUT={out}"]
    subprocess.run(command, check=True)
    assert Path(out, "libstore.so").exists()
    with Nginx(library_path=[out]) as nginx:
        yield nginx


@pytest.mark.valgrind
def test_values(nginx: Nginx) -> None:
    assert nginx.lua(
        LOAD
        + """
        assert(rt:set("a=1"))
        assert(rt:set("b==\\0\\255"))
        assert(rt:set("c="))
        local _, a = rt:get("a")
        local _, b = rt:get("b")
        local _, c = rt:get("c")
        assert(rt:set("a=2"))
        return a, b, c, rt:get("a")
        """
    ) == ["1", "=\0\xff", "", True, "2"]


@pytest.mark.valgrind
@pytest.mark.parametrize(
    ("code", "answer"),
    [
        ('rt:get("absent")', [False, 404, "no such key"]),
        ("rt:get()", [False, 404, "no such key"]),
        ('rt:set("no equals sign")', [False, 1, "key=value expected"]),
        ("rt:set()", [False, 1, "key=value expected"]),
        ("rt:wait()", [False, 1, "a key expected"]),
        ('rt:nope("x")', [False, 404, "no such method"]),
        ('rt("x")', [False, 404, "no such method"]),
    ],
)
def test_what_is_wrong(nginx: Nginx, code: str, answer: list[object]) -> None:
    assert nginx.lua(f"{LOAD} return {code}") == answer


@pytest.mark.valgrind
def test_big_values_replaced_while_they_are_read(nginx: Nginx) -> None:
    assert nginx.lua(
        LOAD
        + """
        local right, threads = 0, {}
        rt:set("big=" .. ("x"):rep(1048576))
        for i = 1, 50 do
            threads[i] = ngx.thread.spawn(function()
                local ok, res = rt:get("big")
                right = right + (ok and #res == 1048576
                                 and res == res:sub(1, 1):rep(1048576)
                                 and 1 or 0)
            end)
            if i % 5 == 0 then
                ngx.thread.spawn(rt.set, rt,
                                 "big=" .. string.char(64 + i):rep(1048576))
            end
        end
        for i = 1, 50 do
            ngx.thread.wait(threads[i])
        end
        return right
        """
    ) == [50]


@pytest.mark.valgrind
def test_waiting(nginx: Nginx) -> None:
    assert nginx.lua(
        LOAD
        + WAITING
        + """
        local threads = {}
        for i = 1, 300 do
            threads[i] = ngx.thread.spawn(rt.wait, rt, "k" .. i % 3)
        end
        waiting(300)
        rt:set("k0=zero")
        waiting(200)
        rt:set("k1=one")
        rt:set("k2=two")
        local counts = { zero = 0, one = 0, two = 0 }
        for i = 1, 300 do
            local _, ok, res = ngx.thread.wait(threads[i])
            assert(ok)
            counts[res] = counts[res] + 1
        end
        local _, there = rt:wait("k1")
        return counts.zero, counts.one, counts.two, there
        """
    ) == [100, 100, 100, "one"]


@pytest.mark.valgrind
def test_those_who_have_gone_are_forgotten(nginx: Nginx) -> None:
    assert nginx.lua(
        LOAD
        + WAITING
        + """
        local threads = {}
        for i = 1, 200 do
            threads[i] = ngx.thread.spawn(rt.wait, rt, "never" .. i,
                                          { timeout = 2000 })
        end
        local stays = ngx.thread.spawn(rt.wait, rt, "comes")
        waiting(201)
        for i = 1, 200 do
            local _, ok, err = ngx.thread.wait(threads[i])
            assert(ok == false and err == "timeout")
        end
        waiting(1)
        rt:set("comes=at last")
        local _, ok, res = ngx.thread.wait(stays)
        return ok, res
        """
    ) == [True, "at last"]


@pytest.mark.valgrind
def test_unload(nginx: Nginx) -> None:
    """Those who wait are told; what was kept is gone."""
    assert nginx.lua(
        LOAD
        + WAITING
        + """
        rt:set("kept=yes")
        local t = ngx.thread.spawn(rt.wait, rt, "never")
        waiting(1)
        rt:__unload()
        local _, ok, rc, text = ngx.thread.wait(t)
        assert(ok == false and rc == 1 and text == "unloaded")
        rt = assert(ngx.load_ffi("store"))
        return rt:get("kept")
        """
    ) == [False, 404, "no such key"]
