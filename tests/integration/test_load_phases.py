# SPDX-License-Identifier: BSD-2-Clause
"""Where and when ngx.load_ffi may be called."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from .client import eventually
from .conftest import NewNginx
from .nginx import Nginx

# Imports only once {file} is there.
SLOW_IMPORT = """
import pathlib
import time

end = time.monotonic() + 30
while not pathlib.Path({file!r}).exists() and time.monotonic() < end:
    time.sleep(0.01)

from evaluate import init
"""


class SlowModule:
    def __init__(self, nginx: Nginx, name: str) -> None:
        self.name = name
        self.file = nginx.prefix / f"{name}.go"
        nginx.write_python(
            f"{name}.py", SLOW_IMPORT.format(file=str(self.file))
        )

    def go(self) -> None:
        self.file.touch()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as executor:
        yield executor


def test_a_load_does_not_hold_the_worker(
    nginx: Nginx, pool: ThreadPoolExecutor
) -> None:
    module = SlowModule(nginx, "slow_import")
    load = pool.submit(
        nginx.lua,
        'local rt = assert(ngx.load_ffi("ffi_python3", "slow_import,init"))'
        'return rt:run("result = 6 * 7")',
    )
    try:
        for _ in range(3):
            assert nginx.get("/ping").text == "pong"
            assert nginx.lua("return 1") == [1]
        assert not load.done()
    finally:
        module.go()
    assert load.result() == [True, "42"]


def test_loads_at_once_get_the_same_runtime(
    nginx: Nginx, pool: ThreadPoolExecutor
) -> None:
    module = SlowModule(nginx, "slow_once")
    code = """
        local function load()
            return ngx.load_ffi("ffi_python3", "slow_once,init")
        end
        local a, b = ngx.thread.spawn(load), ngx.thread.spawn(load)
        local _, x = assert(ngx.thread.wait(a))
        local _, y = assert(ngx.thread.wait(b))
        return x == y, x:run("result = tq")
    """
    loads = [pool.submit(nginx.lua, code) for _ in range(3)]
    nginx.get("/ping")
    module.go()
    answers = [load.result() for load in loads]
    assert answers[0][:2] == [True, True]
    assert answers == [answers[0]] * 3


def test_loads_at_once_fail_together(
    nginx: Nginx, pool: ThreadPoolExecutor
) -> None:
    module = SlowModule(nginx, "slow_fail")
    path = nginx.python_dir / "slow_fail.py"
    path.write_text(path.read_text() + "raise ValueError('not today')\n")
    code = 'return ngx.load_ffi("ffi_python3", "slow_fail,init")'
    loads = [pool.submit(nginx.lua, code) for _ in range(3)]
    nginx.get("/ping")
    module.go()
    for load in loads:
        assert load.result() == [
            None,
            "ffi_python3: slow_fail: ValueError: not today",
        ]


def test_the_loading_request_goes_away(
    nginx: Nginx, pool: ThreadPoolExecutor
) -> None:
    """Its load goes on, and others get the runtime."""
    module = SlowModule(nginx, "slow_gone")
    code = 'return ngx.load_ffi("ffi_python3", "slow_gone,init") ~= nil'
    values = nginx.lua(
        f"""
        local t = ngx.thread.spawn(function() {code} end)
        return ngx.thread.kill(t)
        """
    )
    assert values == [1]
    other = pool.submit(nginx.lua, code)
    nginx.get("/ping")
    module.go()
    assert other.result() == [True]


def test_unload_waits_for_no_load(
    nginx: Nginx, pool: ThreadPoolExecutor
) -> None:
    """Another runtime comes and goes while one starts."""
    module = SlowModule(nginx, "slow_beside")
    load = pool.submit(
        nginx.lua,
        'return ngx.load_ffi("ffi_python3", "slow_beside,init") ~= nil',
    )
    nginx.get("/ping")
    try:
        assert nginx.lua(
            """
            local rt = require("probe").load("beside")
            return rt:echo("x"), rt:__unload()
            """
        ) == [True, True]
    finally:
        module.go()
    assert load.result() == [True]


def test_inside_require_it_blocks_until_done(
    nginx: Nginx, pool: ThreadPoolExecutor
) -> None:
    module = SlowModule(nginx, "slow_required")
    (nginx.prefix / "lua" / "needs.lua").write_text(
        'return assert(ngx.load_ffi("ffi_python3", "slow_required,init"))'
    )
    timer = threading.Timer(0.2, module.go)
    timer.start()
    assert nginx.lua(
        'local rt = require("needs"); return rt:run("result = 1")'
    ) == [True, "1"]
    timer.join()


def test_a_blocking_load_joins_one_under_way(
    nginx: Nginx, pool: ThreadPoolExecutor
) -> None:
    """And both come to an end."""
    module = SlowModule(nginx, "slow_joined")
    load = 'ngx.load_ffi("ffi_python3", "slow_joined,init")'
    (nginx.prefix / "lua" / "joins.lua").write_text(f"return assert({load})")
    first = pool.submit(
        nginx.lua, f'local rt = assert({load}) return rt:run("result = tq")'
    )
    nginx.get("/ping")
    timer = threading.Timer(0.2, module.go)
    timer.start()
    second = nginx.lua(
        'local rt = require("joins"); return rt:run("result = tq")'
    )
    assert first.result() == second
    timer.join()


def test_inside_require_a_failure_is_told(nginx: Nginx) -> None:
    (nginx.prefix / "lua" / "fails.lua").write_text(
        'return { ngx.load_ffi("ffi_python3", "no_such_module,init") }'
    )
    ((rt, err),) = nginx.lua('return require("fails")')
    assert rt is None
    assert "ModuleNotFoundError: No module named 'no_such_module'" in err


@pytest.mark.parametrize(
    ("lib", "cfg"),
    [("probe", "x"), ("ffi_python3", "evaluate,init")],
)
def test_init_worker(new_nginx: NewNginx, lib: str, cfg: str) -> None:
    http = f"""
        init_worker_by_lua_block {{
            loaded, load_err = ngx.load_ffi("{lib}", "{cfg}")
        }}
    """
    with new_nginx(http=http) as nginx:
        assert nginx.lua(
            f'return load_err, loaded == ngx.load_ffi("{lib}", "{cfg}"),'
            'loaded:run("result = 42")'
        ) in (
            [None, True, True, "result = 42"],
            [None, True, True, "42"],
        )


def test_init_worker_failure(new_nginx: NewNginx) -> None:
    http = """
        init_worker_by_lua_block {
            loaded, load_err = ngx.load_ffi("ffi_python3", "absent,init")
        }
    """
    with new_nginx(http=http) as nginx:
        assert nginx.lua("return loaded, load_err") == [
            None,
            "ffi_python3: absent: "
            "ModuleNotFoundError: No module named 'absent'",
        ]
        nginx.wait_log(r"Traceback \(most recent call last\)")


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("lib", "cfg"),
    [("probe", "x"), ("ffi_python3", "evaluate,init")],
)
def test_init_is_too_early(
    new_nginx: NewNginx, workers: int, lib: str, cfg: str
) -> None:
    http = f"""
        init_by_lua_block {{
            early, load_err = ngx.load_ffi("{lib}", "{cfg}")
        }}
    """
    with new_nginx(http=http, workers=workers) as nginx:
        early, err, ok = nginx.lua(
            f'return early, load_err, ngx.load_ffi("{lib}", "{cfg}") ~= nil'
        )
        assert (early, ok) == (None, True)
        assert "init_worker_by_lua" in err


def test_reload_with_init(new_nginx: NewNginx) -> None:
    """The master runs init_by_lua again while workers hold runtimes."""
    http = """
        init_by_lua_block {
            early, load_err = ngx.load_ffi("probe", "x")
        }
    """
    code = """
        local rt = assert(ngx.load_ffi("ffi_python3", "evaluate,init"))
        return early, load_err, rt:run("result = 42")
    """
    with new_nginx(http=http) as nginx:
        for _ in range(3):
            early, err, *answer = nginx.lua(code)
            assert early is None
            assert "init_worker_by_lua" in err
            assert answer == [True, "42"]
            nginx.reload()


@pytest.mark.parametrize(
    "directive",
    [
        "set_by_lua_block $x",
        "rewrite_by_lua_block",
        "access_by_lua_block",
        "header_filter_by_lua_block",
        "body_filter_by_lua_block",
        "log_by_lua_block",
    ],
)
def test_phases(new_nginx: NewNginx, directive: str) -> None:
    """Any of them loads; where it cannot wait, it blocks."""
    http = """
        lua_shared_dict seen 64k;
    """
    server = f"""
        location = /t {{
            {directive} {{
                local rt, err = ngx.load_ffi("ffi_python3", "evaluate,init")
                ngx.shared.seen:set("load", tostring(rt ~= nil) .. " "
                                            .. tostring(err))
                return ""
            }}
            content_by_lua_block {{ ngx.print("body") }}
        }}
    """
    with new_nginx(http=http, server=server) as nginx:
        assert nginx.get("/t").text == "body"
        seen = eventually(
            lambda: nginx.lua('return ngx.shared.seen:get("load")')[0]
        )
        assert seen == "true nil"
        assert nginx.python("result = 42") == "42"


def test_timer(nginx: Nginx) -> None:
    assert nginx.lua(
        """
        local done = require("ngx.semaphore").new()
        local seen
        ngx.timer.at(0, function()
            local rt, err = ngx.load_ffi("ffi_python3", "evaluate,init,timer")
            seen = { err, rt and rt:run("result = 42") }
            done:post()
        end)
        done:wait(10)
        return seen[1], seen[2]
        """
    ) == [None, True]


def test_code_cache_off(new_nginx: NewNginx) -> None:
    """Each request has a Lua VM of its own; the runtimes stay."""
    with new_nginx(http="lua_code_cache off;") as nginx:
        nginx.allow_log("lua_code_cache is off")
        code = """
            local rt = assert(ngx.load_ffi("ffi_python3", "evaluate,init"))
            local again = ngx.load_ffi("ffi_python3", "evaluate,init")
            collectgarbage()
            return again == rt, rt:run("result = tq")
        """
        first = nginx.lua(code)
        assert first[:2] == [True, True]
        for _ in range(5):
            assert nginx.lua(code) == first


def test_code_cache_off_and_a_request_that_leaves(
    new_nginx: NewNginx,
) -> None:
    """Its VM is gone when the answer comes."""
    with new_nginx(http="lua_code_cache off;") as nginx:
        nginx.allow_log("lua_code_cache is off")
        for n in range(10, 210, 10):
            nginx.lua(
                f"""
                local probe = require "probe"
                local rt = probe.load()
                for i = 1, 10 do
                    ngx.thread.spawn(rt.call, rt, "hold " .. i)
                end
                probe.wait("held", {n})
                ngx.print("[true,[]]")
                ngx.exit(200)
                """
            )
        assert nginx.lua(
            """
            local probe = require "probe"
            return probe.release(), probe.load():echo("x")
            """
        ) == [200, True, "x"]


def test_single_process(new_nginx: NewNginx) -> None:
    """master_process off: a worker without a master."""
    with new_nginx(master=False) as nginx:
        assert nginx.python("result = 42") == "42"
        assert nginx.lua('return require("probe").load():echo("x")') == [
            True,
            "x",
        ]


def test_each_worker_has_its_own(new_nginx: NewNginx) -> None:
    with new_nginx(workers=2) as nginx:
        pids = nginx.worker_pids()
        seen: set[int] = set()

        def ask() -> bool:
            seen.add(int(nginx.python("import os; result = os.getpid()")))
            return seen == pids

        eventually(ask, "both workers answer")
