# SPDX-License-Identifier: BSD-2-Clause
"""What ngx.load_ffi returns, and refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from .client import lua_string
from .conftest import NewNginx
from .nginx import ROOT, Nginx

pytestmark = pytest.mark.valgrind


def load(nginx: Nginx, lib: str, cfg: str | None = None) -> tuple[object, str]:
    """(nil, err) of a load that must fail."""
    arguments = lua_string(lib)
    if cfg is not None:
        arguments += ", " + lua_string(cfg)
    rt, err = nginx.lua(f"return ngx.load_ffi({arguments})")
    assert rt is None
    assert isinstance(err, str)
    return rt, err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "lib must be a string, got nil"),
        ("nil", "lib must be a string, got nil"),
        ("42", "lib must be a string, got number"),
        ("{}", "lib must be a string, got table"),
        ('"probe", 42', "cfg must be a string or nil, got number"),
        ('"probe", {}', "cfg must be a string or nil, got table"),
        ('"probe", true', "cfg must be a string or nil, got boolean"),
        ('"probe", "x", 1', "opts must be a table or nil, got number"),
        ('"probe", "x", "y"', "opts must be a table or nil, got string"),
    ],
)
def test_argument_types(nginx: Nginx, arguments: str, message: str) -> None:
    rt, err = nginx.lua(f"return ngx.load_ffi({arguments})")
    assert (rt, err) == (None, message)


@pytest.mark.parametrize(
    "option",
    [
        "max_queue = -1",
        "max_queue = 2 ^ 60",
        "max_queue = 0 / 0",
        "max_queue = 1.5",
        'max_queue = "many"',
        "timeout = -1",
        "timeout = 0 / 0",
        'timeout = "soon"',
    ],
)
def test_options_out_of_range(nginx: Nginx, option: str) -> None:
    rt, err = nginx.lua(
        f'return ngx.load_ffi("probe", "options", {{ {option} }})'
    )
    assert rt is None
    assert option.split()[0] in err


def test_unknown_options_are_ignored(nginx: Nginx) -> None:
    assert nginx.lua(
        'return ngx.load_ffi("probe", "unknown", { colour = 1, [1] = 2 })'
        ':echo("x")'
    ) == [True, "x"]


def test_missing_library(nginx: Nginx) -> None:
    _, err = load(nginx, "nope")
    assert "libnope.so: cannot open shared object file" in err


def test_missing_library_by_path(nginx: Nginx) -> None:
    _, err = load(nginx, "/nonexistent/libnope.so")
    assert "/nonexistent/libnope.so: cannot open shared object file" in err


def test_library_that_is_no_library(nginx: Nginx) -> None:
    path = nginx.prefix / "libtext.so"
    path.write_text("no ELF here")
    _, err = load(nginx, str(path))
    assert "libtext.so: " in err


def test_library_without_init(nginx: Nginx) -> None:
    _, err = load(nginx, "noinit")
    assert "undefined symbol: libffi_init" in err


@pytest.mark.parametrize("name", ["", "\0", "pro\0be", "lib/probe.so", "./x"])
def test_names_that_are_none(nginx: Nginx, name: str) -> None:
    load(nginx, name)


def test_relative_path_is_refused(nginx: Nginx, libs: Path) -> None:
    """It would depend on the directory that nginx was started in."""
    folder = nginx.prefix / "relative"
    folder.mkdir()
    (folder / "libprobe.so").symlink_to(libs / "libprobe.so")
    load(nginx, "relative/libprobe.so")
    load(nginx, "./relative/libprobe.so")


@pytest.mark.parametrize("code", ["5", "-1", "1"])
def test_init_that_fails(nginx: Nginx, code: str) -> None:
    _, err = load(nginx, "badinit", code)
    assert "badinit" in err
    assert code in err


def test_a_failed_load_can_be_tried_again(nginx: Nginx) -> None:
    load(nginx, "badinit", "3")
    load(nginx, "badinit", "3")
    load(nginx, "nope")


@pytest.mark.parametrize("cfg", ["fail threads=1", "fail-late threads=3"])
def test_init_that_fails_after_its_threads_started(
    nginx: Nginx, cfg: str
) -> None:
    """The threads must get NULL, whenever they come to poll."""
    values = nginx.lua(
        f"""
        local probe = require "probe"
        local threads = probe.threads()
        local rt, err = ngx.load_ffi("probe", "{cfg}")
        probe.wait("threads", threads)
        return rt, err, probe.load():echo("well")
        """
    )
    assert values[0] is None
    assert "7" in values[1]
    assert values[2:] == [True, "well"]


def test_the_same_arguments_give_the_same_runtime(nginx: Nginx) -> None:
    values = nginx.lua(
        """
        local probe = require "probe"
        local inits = probe.inits()
        local first = probe.load("same")
        local second = probe.load("same")
        return first == second, probe.inits() - inits
        """
    )
    assert values == [True, 1]


def test_the_same_runtime_in_another_request(nginx: Nginx) -> None:
    count = """
        local probe = require "probe"
        local inits = probe.inits()
        local ok, res = probe.load("across"):echo("x")
        return probe.inits() - inits, ok, res
    """
    assert nginx.lua(count) == [1, True, "x"]
    assert nginx.lua(count) == [0, True, "x"]


@pytest.mark.parametrize(
    ("cfg", "seen"),
    [
        ("nil", [False, 1, "NULL"]),
        ('""', [True, ""]),
        ('"a,b c"', [True, "a,b c"]),
        (lua_string(b"\xff\xfe\n"), [True, "\xff\xfe\n"]),
    ],
)
def test_cfg_reaches_the_library(
    nginx: Nginx, cfg: str, seen: list[object]
) -> None:
    answer = nginx.lua(f'return ngx.load_ffi("probe", {cfg}):call("cfg")')
    assert answer == seen


def test_a_large_cfg(nginx: Nginx) -> None:
    assert nginx.lua(
        """
        local cfg = ("x"):rep(1024 * 1024)
        local ok, res = ngx.load_ffi("probe", cfg):call("cfg")
        return ok, res == cfg
        """
    ) == [True, True]


def test_each_cfg_has_its_own_runtime(nginx: Nginx) -> None:
    values = nginx.lua(
        """
        local probe = require "probe"
        local seen, n = {}, 0
        for _, cfg in ipairs { false, "", "one", "two", "ONE" } do
            local rt = probe.load(cfg or nil)
            if not seen[rt] then
                seen[rt] = true
                n = n + 1
            end
        end
        return n
        """
    )
    assert values == [5]


def test_a_cfg_with_nul_is_no_prefix(nginx: Nginx) -> None:
    """A C string ends there: it must not become another cfg's runtime."""
    (other,) = nginx.lua(
        'local one = assert(ngx.load_ffi("probe", "nul"))\n'
        'local two, err = ngx.load_ffi("probe", "nul\\0tail")\n'
        "return two ~= one"
    )
    assert other is True


def test_the_first_options_count(nginx: Nginx) -> None:
    values = nginx.lua(
        """
        local probe = require "probe"
        local first = probe.load("first threads=0", { max_queue = 1 })
        local rt = probe.load("first threads=0", { max_queue = 1000 })
        ngx.thread.spawn(rt.call, rt, "waits", { timeout = 2000 })
        return rt:call("refused", { timeout = 1 })
        """
    )
    assert values == [False, "post failed, queue full"]


@pytest.mark.parametrize("value", ["true", "1", "0", '"yes"', "{}"])
@pytest.mark.parametrize("name", ["is_global", "unpin"])
def test_flags_take_any_truth_value(
    nginx: Nginx, name: str, value: str
) -> None:
    assert nginx.lua(
        f"""
        local opts = {{ {name} = {value} }}
        local rt = assert(ngx.load_ffi("probe", [[{name} {value}]], opts))
        return rt:echo("x"), (rt:__unload())
        """
    ) == [True, True]


@pytest.mark.parametrize("opts", ["{}", "{ is_global = false }"])
def test_flags_that_are_not_set(nginx: Nginx, opts: str) -> None:
    assert nginx.lua(
        f"""
        local rt = assert(ngx.load_ffi("probe", "flags", {opts}))
        return rt:echo("x"), (rt:__unload())
        """
    ) == [True, True]


def test_max_queue_of_0_is_the_default(nginx: Nginx) -> None:
    """What a struct that is all zero says in other languages."""
    assert nginx.lua(
        """
        local opts = { max_queue = 0 }
        local rt = assert(ngx.load_ffi("probe", "zero threads=0", opts))
        local threads = {}
        for i = 1, 2000 do
            threads[i] = ngx.thread.spawn(rt.call, rt, "x", { timeout = 1 })
        end
        local _, ok, err = ngx.thread.wait(threads[2000])
        return ok, err
        """
    ) == [False, "timeout"]


@pytest.mark.parametrize(
    ("lib", "reason"),
    [
        ("no_such_lib", "libno_such_lib.so: cannot open shared object file"),
        ("noinit", "undefined symbol: libffi_init"),
        ("badinit", "badinit: libffi_init returned "),
        ("relative/lib.so", "lib must be a name, or an absolute path"),
    ],
)
def test_a_failed_load_leaves_one_line(
    nginx: Nginx, lib: str, reason: str
) -> None:
    since = len(nginx.log())
    _, err = load(nginx, lib)
    assert reason in err
    lines = nginx.log(since).splitlines()
    (line,) = [line for line in lines if "cannot load" in line]
    assert f'lua ffi: cannot load "{lib}": {err}' in line


def test_two_names_one_python_runtime(nginx: Nginx) -> None:
    same, *answers = nginx.lua(
        """
        local cfg = "evaluate,init,two names"
        local a = assert(ngx.load_ffi("ffi_python3", cfg))
        local b = assert(ngx.load_ffi("resty_ffi_python", cfg))
        local _, x = a:run("result = tq")
        local _, y = b:run("result = tq")
        return a == b, x, y
        """
    )
    assert same is True
    assert answers[0] == answers[1]


def test_name_forms_are_one_runtime(nginx: Nginx, libs: Path) -> None:
    values = nginx.lua(
        f"""
        local probe = require "probe"
        local inits = probe.inits()
        local rt = probe.load("forms")
        return ngx.load_ffi("libprobe.so", "forms") == rt,
               ngx.load_ffi("{libs}/libprobe.so", "forms") == rt,
               probe.inits() - inits
        """
    )
    assert values == [True, True, 1]


@pytest.mark.parametrize("name", ["resty_ffi", "resty.ffi"])
def test_require(nginx: Nginx, name: str) -> None:
    values = nginx.lua(
        f"""
        local load = ngx.load_ffi
        local m = require "{name}"
        return type(m), ngx.load_ffi == load,
               ngx.load_ffi("probe"):echo("still there")
        """
    )
    assert values == ["table", True, True, "still there"]


def test_require_tells_a_version(nginx: Nginx) -> None:
    (version,) = nginx.lua('return require("resty.ffi")._VERSION')
    assert version == (ROOT / "VERSION").read_text().strip()


def test_loading_many(nginx: Nginx) -> None:
    """Runtimes that are unloaded make room."""
    values = nginx.lua(
        """
        local probe = require "probe"
        local threads = probe.threads()
        for i = 1, 5000 do
            local rt = probe.load("many " .. i % 7)
            assert(rt:echo("x"))
            assert(rt:__unload() == true)
        end
        probe.wait("threads", threads)
        return "done"
        """
    )
    assert values == ["done"]


def test_lua_path_of_the_users(new_nginx: NewNginx) -> None:
    """Nothing of ours is looked for there."""
    server = """
        location = /t {
            content_by_lua_block {
                local rt = assert(ngx.load_ffi("probe"))
                require "resty_ffi"
                require "resty.ffi"
                ngx.print(select(2, rt:echo("found")))
            }
        }
    """
    with new_nginx(server=server, lua_path="{prefix}/lua/?.lua;;") as nginx:
        for name in ("resty_ffi.lua", "resty/ffi.lua"):
            decoy = nginx.prefix / "lua" / name
            decoy.parent.mkdir(exist_ok=True)
            decoy.write_text('error("a decoy")')
        assert nginx.get("/t").text == "found"
