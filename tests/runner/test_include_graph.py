# SPDX-License-Identifier: BSD-2-Clause
"""make lint fails on an include upwards, sideways or in a circle."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.nginx import ROOT

CORE = "src/nginx/core/ngx_http_ffi"
LUA = "src/nginx/lua/ngx_ffi_lua"


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    for name in ("src", "include"):
        shutil.copytree(ROOT / name, tmp_path / name)
    return tmp_path


def graph(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "scripts/include_graph.py", root],
        capture_output=True,
        text=True,
    )


def add(root: Path, file: str, line: str) -> None:
    path = root / file
    path.write_text(f"{line}\n{path.read_text()}")


def test_the_tree_is_good(sources: Path) -> None:
    done = graph(sources)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("src/bridge/task.c", '#include "ngx_http_ffi_runtime.h"'),
        ("src/bridge/task.h", "#include <ngx_core.h>"),
        ("src/bridge/task.h", "#include <Python.h>"),
        ("src/bridge/task.h", "#  include <lua.h>"),
        ("src/bridge/task.h", '#include "../loader/venv.h"'),
        (f"{CORE}_event.c", '#include "ngx_ffi_lua_conf.h"'),
        (f"{CORE}_event.c", "#include <ngx_ffi_lua_conf.h>"),
        (f"{CORE}_event.h", "#include <lua.h>"),
        (f"{CORE}_event.h", "#include <luajit-2.1/lauxlib.h>"),
        (f"{LUA}_call.c", "#include <Python.h>"),
        (f"{LUA}_call.c", '#include "interpreter.h"'),
        ("src/loader/venv.c", '#include "bridge.h"'),
        ("src/loader/venv.c", "#include <ngx_config.h>"),
        ("include/resty_ffi.h", '#include "bridge.h"'),
    ],
)
def test_upwards_and_sideways(sources: Path, file: str, line: str) -> None:
    add(sources, file, line)
    done = graph(sources)
    assert done.returncode == 1
    assert f"{file} must not include" in done.stderr


@pytest.mark.parametrize(
    ("files", "circle"),
    [
        # a .c and its .h are one
        ((f"{CORE}_event.c", f"{CORE}_runtime.h"), ["event", "runtime"]),
        ((f"{CORE}_log.h", f"{CORE}_module.c"), []),
        ((f"{LUA}_host.h", f"{LUA}_call.h"), ["host", "call"]),
    ],
)
def test_circles(
    sources: Path, files: tuple[str, str], circle: list[str]
) -> None:
    add(sources, files[0], f'#include "{Path(files[1]).stem}.h"')
    done = graph(sources)
    assert (done.returncode == 1) == bool(circle), done.stderr
    assert bool(circle) == ("a circle: " in done.stderr)
    assert all(f"_{name}" in done.stderr for name in circle)


def test_it_prints(sources: Path) -> None:
    done = subprocess.run(
        [sys.executable, "scripts/include_graph.py", "--print"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert "src/nginx/core  ->  src/bridge, include" in lines
    assert "    ngx_http_ffi_log: ngx_http_ffi_conf" in lines
