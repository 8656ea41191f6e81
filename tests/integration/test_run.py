# SPDX-License-Identifier: BSD-2-Clause
"""What `make run` adds to a configuration: scripts/run.py."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .nginx import BUILD, NGINX_BIN, NGINX_MODULES, ROOT

pytestmark = pytest.mark.skipif(
    BUILD != ROOT / "build", reason="it serves what is in build"
)

# what is served, and ends
SCRIPT = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(ROOT / "scripts")!r})
import run
server = run.Server({NGINX_BIN!r}, Path(sys.argv[1]), "1")
server.prepare()
print(server.copy.read_text())
print("VIRTUAL_ENV", server.environ["VIRTUAL_ENV"])
print("KAFKA", server.uses_kafka())
"""

CONF = """\
{main}
error_log stderr;
events {{ }}
http {{
    {http}
    server {{ listen unix:{folder}/sock; }}
}}
"""
WITH_LUA = "ngx_http_lua_ffi_module.so"
CORE = "/ngx_http_ffi_module.so"


def prepare(
    folder: Path, http: str = "", main: str = "", venv: Path | None = None
) -> subprocess.CompletedProcess[str]:
    conf = folder / "my.conf"
    conf.write_text(CONF.format(main=main, http=http, folder=folder))
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, conf],
        env={
            **os.environ,
            "PYTHONDONTWRITEBYTECODE": "1",
            "VIRTUAL_ENV": str(venv or ""),
        },
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    ("http", "lua"),
    [
        ("", False),
        ("ffi_exit_timeout 1s;", False),
        ("ffi_timeout 1s;", False),
        ("lua_code_cache on;", True),
        ("init_by_lua_block { local a = 1 }", True),
        ("# lua_code_cache on;", False),
        ("include included;", True),
    ],
)
def test_which_file(tmp_path: Path, http: str, lua: bool) -> None:
    (tmp_path / "included").write_text("lua_code_cache on;")
    done = prepare(tmp_path, http)
    assert done.returncode == 0, done.stderr
    assert (WITH_LUA in done.stdout) == lua
    assert ("ngx_http_lua_module.so" in done.stdout) == lua
    assert (CORE in done.stdout) != lua


@pytest.mark.parametrize("lua", [True, False])
def test_one_that_loads_it_itself(tmp_path: Path, lua: bool) -> None:
    files = [BUILD / "modules" / CORE[1:]]
    if lua:
        files = [
            NGINX_MODULES / "ndk_http_module.so",
            NGINX_MODULES / "ngx_http_lua_module.so",
            BUILD / "modules" / WITH_LUA,
        ]
    main = "\n".join(f'load_module "{file}";' for file in files)
    done = prepare(tmp_path, "lua_code_cache on;" if lua else "", main)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("load_module") == len(files)


@pytest.mark.parametrize("name", ["lua_no_such_thing", "no_such_thing"])
def test_an_unknown_directive(tmp_path: Path, name: str) -> None:
    done = prepare(tmp_path, f"{name} on;")
    assert done.returncode == 1
    assert f'unknown directive "{name}"' in done.stderr
    assert f"{tmp_path}/my.conf:5" in done.stderr


VENV = re.compile(r"^VIRTUAL_ENV (.*)$", re.MULTILINE)
PASS = "server { location / { python_pass app:app; } }"


def virtual_env(done: subprocess.CompletedProcess[str]) -> Path:
    assert done.returncode == 0, done.stderr
    found = VENV.search(done.stdout)
    assert found
    return Path(found[1])


def test_what_an_application_requires(tmp_path: Path) -> None:
    """It is installed once, until requirements.txt changes."""
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("# none\n")
    done = prepare(tmp_path, PASS)
    venv = virtual_env(done)
    assert venv.parent.parent == BUILD / "run"
    assert (venv / "pyvenv.cfg").exists()
    assert "installing" in done.stdout
    done = prepare(tmp_path, PASS)
    assert virtual_env(done) == venv
    assert "installing" not in done.stdout
    requirements.write_text("# others, of which there are none\n")
    assert "installing" in prepare(tmp_path, PASS).stdout


def test_what_cannot_be_installed(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("no such thing\n")
    for _ in range(2):
        done = prepare(tmp_path, PASS)
        assert done.returncode == 1
        assert "it cannot be installed" in done.stderr


@pytest.mark.parametrize("http", ["", "# python_pass app:app;"])
def test_requirements_of_others(tmp_path: Path, http: str) -> None:
    (tmp_path / "requirements.txt").write_text("no such thing\n")
    assert virtual_env(prepare(tmp_path, http)) == BUILD / "venv"


def test_one_with_a_venv_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("no such thing\n")
    done = prepare(tmp_path, f"python_venv {sys.prefix}; {PASS}")
    assert virtual_env(done) == BUILD / "venv"


def make_venv(folder: Path, version: str) -> Path:
    folder.mkdir()
    (folder / "pyvenv.cfg").write_text(
        f"home = /usr/bin\nversion = {version}.1\n"
    )
    return folder


OURS = f"{sys.version_info[0]}.{sys.version_info[1]}"


@pytest.mark.parametrize("http", ["", PASS])
def test_an_activated_venv(tmp_path: Path, http: str) -> None:
    """It is used, and left as it is."""
    (tmp_path / "requirements.txt").write_text("no such thing\n")
    venv = make_venv(tmp_path / "mine", OURS)
    done = prepare(tmp_path, http, venv=venv)
    assert virtual_env(done) == venv
    assert f"{venv}, which is activated" in done.stdout
    assert len(list(venv.iterdir())) == 1


def test_an_activated_venv_of_another_python(tmp_path: Path) -> None:
    venv = make_venv(tmp_path / "mine", "3.9")
    done = prepare(tmp_path, venv=venv)
    assert done.returncode == 1
    assert f"make run: the activated {venv} is of Python 3.9" in done.stderr
    assert f"make run PYTHON={venv}/bin/python" in done.stderr


def test_our_own_activated(tmp_path: Path) -> None:
    done = prepare(tmp_path, venv=BUILD / "venv")
    assert virtual_env(done) == BUILD / "venv"
    assert "is activated" not in done.stdout


@pytest.mark.parametrize(
    ("http", "kafka"),
    [
        ("", False),
        ("lua_code_cache on;", False),
        ("# ffi.kafka", False),
        ('init_by_lua_block { require "resty.ffi.kafka" }', True),
        ('init_by_lua_block { local cfg = "ffi.kafka?,init" }', True),
    ],
)
def test_who_uses_kafka(tmp_path: Path, http: str, kafka: bool) -> None:
    done = prepare(tmp_path, http)
    assert f"KAFKA {kafka}" in done.stdout
