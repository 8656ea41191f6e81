# SPDX-License-Identifier: BSD-2-Clause
"""How libraries are found, bound and let go."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from .client import eventually
from .nginx import Nginx

pytestmark = pytest.mark.valgrind


@pytest.mark.parametrize(
    "name", ["probe", "libprobe.so", "{libs}/libprobe.so"]
)
def test_name_forms(nginx: Nginx, libs: Path, name: str) -> None:
    name = name.format(libs=libs)
    assert nginx.lua(
        f'return assert(ngx.load_ffi("{name}", "form {name}")):call("x")'
    ) == [True, "x"]


def test_a_file_name_with_a_version(nginx: Nginx, libs: Path) -> None:
    path = libs / "libversioned.so.1"
    if not path.exists():
        shutil.copy(libs / "libversion1.so", path)
    assert nginx.lua(
        'return assert(ngx.load_ffi("libversioned.so.1")):call("x")'
    ) == [True, "1"]


def test_symbols_are_local(nginx: Nginx) -> None:
    assert (
        nginx.lua(
            """
        assert(ngx.load_ffi("symbol_local"))
        local ffi = require "ffi"
        ffi.cdef "int symbol_local(void);"
        return pcall(function() return ffi.C.symbol_local() end)
        """
        )[0]
        is False
    )


@pytest.mark.parametrize("cfg", ["nil", '"second"'])
def test_is_global(nginx: Nginx, cfg: str) -> None:
    assert nginx.lua(
        f"""
        assert(ngx.load_ffi("symbol_global", {cfg}, {{ is_global = true }}))
        local ffi = require "ffi"
        ffi.cdef "int symbol_global(void);"
        return ffi.C.symbol_global()
        """
    ) == [42]


def replace(path: Path, source: Path) -> None:
    """By rename, as a package or `make install` does."""
    new = path.with_suffix(".new")
    shutil.copy(source, new)
    os.replace(new, path)


def test_unpin_brings_new_code(nginx: Nginx, libs: Path) -> None:
    path = nginx.prefix / "libfresh.so"
    replace(path, libs / "libversion1.so")
    code = f"""
        local rt = assert(ngx.load_ffi("{path}", nil, {{ unpin = true }}))
        local ok, version = rt:call("x")
        rt:__unload()
        ngx.sleep(0.1)
        return ok, version
    """
    assert nginx.lua(code) == [True, "1"]
    assert nginx.lua(code) == [True, "1"]
    replace(path, libs / "libversion2.so")
    # a thread may have had no turn yet to end
    eventually(lambda: nginx.lua(code) == [True, "2"], "new code")


def test_without_unpin_the_code_stays(nginx: Nginx, libs: Path) -> None:
    path = nginx.prefix / "libpinned.so"
    replace(path, libs / "libversion1.so")
    code = f"""
        local rt = assert(ngx.load_ffi("{path}"))
        local ok, version = rt:call("x")
        rt:__unload()
        ngx.sleep(0.1)
        return ok, version
    """
    assert nginx.lua(code) == [True, "1"]
    replace(path, libs / "libversion2.so")
    assert nginx.lua(code) == [True, "1"]


def test_unpin_spares_code_that_still_runs(nginx: Nginx, libs: Path) -> None:
    """A thread may finish something long after it got its NULL."""
    path = nginx.prefix / "libbusy.so"
    go = nginx.prefix / "busy.go"
    replace(path, libs / "libversion1.so")
    load = f"""
        local cfg = "{go}"
        local rt = assert(ngx.load_ffi("{path}", cfg, {{ unpin = true }}))
    """
    end = "rt:__unload() ngx.sleep(0.1)"
    assert nginx.lua(f'{load} local ok = rt:call("stay") {end} return ok') == [
        True
    ]
    replace(path, libs / "libversion2.so")
    assert nginx.lua(f'{load} local _, v = rt:call("x") {end} return v') == [
        "1"
    ]
    go.touch()
    assert nginx.lua(
        f"""
        local version
        for _ = 1, 100 do
            {load}
            version = select(2, rt:call("x"))
            {end}
            if version == "2" then
                break
            end
        end
        return version
        """
    ) == ["2"]


@pytest.mark.parametrize("cfg", ["late", "fail"])
def test_unpin_spares_code_that_has_not_polled_yet(
    nginx: Nginx, libs: Path, cfg: str
) -> None:
    path = nginx.prefix / f"lib{cfg}.so"
    replace(path, libs / "libversion1.so")
    assert nginx.lua(
        f"""
        local rt = ngx.load_ffi("{path}", "{cfg}", {{ unpin = true }})
        if rt then
            rt:__unload()
        end
        local probe = require "probe"
        for i = 1, 3 do
            probe.load("sweeps " .. i):__unload()
        end
        ngx.sleep(0.4)
        return probe.load():call("x")
        """
    ) == [True, "x"]


def test_unpin_while_another_runtime_uses_it(nginx: Nginx, libs: Path) -> None:
    path = nginx.prefix / "libshared.so"
    replace(path, libs / "libversion1.so")
    assert nginx.lua(
        f"""
        local opts = {{ unpin = true }}
        local stays = assert(ngx.load_ffi("{path}", "stays", opts))
        local goes = assert(ngx.load_ffi("{path}", "goes", opts))
        assert(goes:call("x"))
        goes:__unload()
        ngx.sleep(0.1)
        local again = assert(ngx.load_ffi("{path}", "goes", opts))
        assert(again:call("x"))
        return stays:call("x")
        """
    ) == [True, "1"]


def test_unpin_of_python_keeps_the_interpreter(nginx: Nginx) -> None:
    code = """
        local rt = assert(ngx.load_ffi("ffi_python3", "evaluate,init,unpinned",
                                       { is_global = true, unpin = true }))
        local ok, res = rt:run("import evaluate; result = id(evaluate)")
        rt:__unload()
        ngx.sleep(0.05)
        return ok, res
    """
    first = nginx.lua(code)
    assert first[0] is True
    for _ in range(3):
        assert nginx.lua(code) == first


def test_asynchronous_start(nginx: Nginx) -> None:
    go = nginx.prefix / "async.go"
    since = len(nginx.log())
    assert nginx.lua(
        f"""
        local loaded = false
        local t = ngx.thread.spawn(function()
            local rt = assert(ngx.load_ffi("async", "ok {go}"))
            loaded = true
            return rt:call("x")
        end)
        ngx.sleep(0.05)
        local early = loaded
        io.open("{go}", "w"):close()
        return early, select(2, ngx.thread.wait(t))
        """
    ) == [False, True, "async"]
    nginx.wait_log(r"\[warn\].*under way", since)


def test_asynchronous_failure(nginx: Nginx) -> None:
    go = nginx.prefix / "async.bad"
    go.touch()
    rt, err = nginx.lua(f'return ngx.load_ffi("async", "bad {go}")')
    assert rt is None
    assert "not today" in err


def test_asynchronous_start_told_twice(nginx: Nginx) -> None:
    go = nginx.prefix / "async.twice"
    go.touch()
    since = len(nginx.log())
    assert nginx.lua(
        f"""
        local rt = assert(ngx.load_ffi("async", "twice {go}"))
        return rt:call("x")
        """
    ) == [True, "async"]
    nginx.wait_log(r"\[(error|warn)\]", since)


def test_asynchronous_start_where_one_cannot_yield(nginx: Nginx) -> None:
    go = nginx.prefix / "async.blocking"
    go.touch()
    assert nginx.lua(
        f"""
        local rt
        string.gsub("x", "x", function()
            rt = assert(ngx.load_ffi("async", "ok {go}"))
        end)
        return rt:call("x")
        """
    ) == [True, "async"]
