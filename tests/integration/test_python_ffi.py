# SPDX-License-Identifier: BSD-2-Clause
"""Users' own `ffi` beside the one that comes with this."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .conftest import NewNginx
from .nginx import HERE, ROOT, Nginx

MINE = """
from resty_ffi import serve

VERSION = {version}


@serve
def who(request):
    return "mine " + str(VERSION)
"""
WHO = "from resty_ffi import serve\n@serve\ndef init(request): return 'mine'\n"

LAYOUTS = {
    "namespace": {"ffi/mine.py": MINE},
    "regular": {"ffi/__init__.py": "X = 1\n", "ffi/mine.py": MINE},
    "imports ours": {
        "ffi/__init__.py": "from . import echo\nfrom ffi.kafka import wire\n",
        "ffi/mine.py": MINE,
    },
}


def put(folder: Path, files: dict[str, str]) -> None:
    for name, source in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source.replace("{version}", "1"))


def environ(folder: Path, *, first: bool = True) -> dict[str, str]:
    """The user's own before ours on sys.path, or behind."""
    parts = [ROOT / "python", HERE / "python"]
    parts.insert(0 if first else len(parts), folder)
    return {"PYTHONPATH": ":".join(map(str, parts))}


def call(nginx: Nginx, cfg: str, request: str = "x") -> list[Any]:
    answer: list[Any] = nginx.lua(
        f'local rt, err = ngx.load_ffi("ffi_python3", "{cfg}")'
        "if not rt then return err end"
        f' local ok, res = rt:any("{request}") return ok, res'
    )
    return answer


def check_ours(nginx: Nginx) -> None:
    assert call(nginx, "ffi.echo,init", "hello") == [True, "hello"]
    assert call(nginx, "ffi.echo?,init", "hello") == [True, "hello"]
    assert call(nginx, "ffi.kafka,init,{}")[0].startswith(
        "ffi_python3: ffi.kafka.init: "
    )
    for code in (
        "import ffi.kafka.wire as wire",
        "from ffi.kafka import wire",
        "from ffi import echo as wire",
        "import ffi.echo; wire = ffi.echo",
    ):
        file = nginx.python(f"{code}; result = wire.__file__")
        assert file.startswith(f"{ROOT}/python/ffi/")


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_both_are_found(
    new_nginx: NewNginx, tmp_path: Path, layout: str, first: bool
) -> None:
    put(tmp_path, LAYOUTS[layout])
    with new_nginx(environ=environ(tmp_path, first=first)) as nginx:
        assert call(nginx, "ffi.mine,who") == [True, "mine 1"]
        check_ours(nginx)
        assert call(nginx, "ffi.mine?,who") == [True, "mine 1"]
    with new_nginx(environ=environ(tmp_path, first=first)) as nginx:
        check_ours(nginx)
        assert call(nginx, "ffi.mine?,who") == [True, "mine 1"]


def test_a_file_of_that_name(new_nginx: NewNginx, tmp_path: Path) -> None:
    put(tmp_path, {"ffi.py": MINE})
    with new_nginx(environ=environ(tmp_path)) as nginx:
        assert call(nginx, "ffi,who") == [True, "mine 1"]
        check_ours(nginx)
        assert call(nginx, "ffi?,who") == [True, "mine 1"]


@pytest.mark.parametrize("regular", [True, False])
def test_a_users_own_echo(
    new_nginx: NewNginx, tmp_path: Path, regular: bool
) -> None:
    put(tmp_path, {"ffi/echo.py": WHO})
    if regular:
        put(tmp_path, {"ffi/__init__.py": ""})
    with new_nginx(environ=environ(tmp_path)) as nginx:
        assert call(nginx, "ffi.echo,init") == [True, "mine"]
        assert call(nginx, "ffi.echo?,init") == [True, "mine"]
        file = nginx.python("import ffi.kafka; result = ffi.kafka.__file__")
        assert file.startswith(f"{ROOT}/python/ffi/")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("mark", ["", "?"])
@pytest.mark.parametrize("ours", [True, False])
def test_a_directory_before_it(
    new_nginx: NewNginx, tmp_path: Path, layout: str, mark: str, ours: bool
) -> None:
    """Also where ours has been loaded when sys.path did not have it yet."""
    put(tmp_path, LAYOUTS[layout])
    with new_nginx() as nginx:
        if ours:
            check_ours(nginx)
        cfg = f"{tmp_path}/ffi.mine{mark},who"
        assert call(nginx, cfg) == [True, "mine 1"]
        check_ours(nginx)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_new_versions(
    new_nginx: NewNginx, tmp_path: Path, layout: str
) -> None:
    """Of the user's modules; ours stay what they are."""
    put(tmp_path, LAYOUTS[layout])
    with new_nginx(environ=environ(tmp_path)) as nginx:
        nginx.python("import ffi.echo, sys; sys.ours = ffi.echo; result = 1")
        assert call(nginx, "ffi.mine?,who,1") == [True, "mine 1"]
        for version in (2, 3):
            (tmp_path / "ffi/mine.py").write_text(MINE.format(version=version))
            assert call(nginx, f"ffi.mine?,who,{version}") == [
                True,
                f"mine {version}",
            ]
        (tmp_path / "ffi/mine.py").write_text("1 / 0")
        assert "ZeroDivisionError" in call(nginx, "ffi.mine?,who,4")[0]
        assert nginx.python(
            "import ffi.echo, sys; result = sys.ours is ffi.echo"
        ) == ("True")
        check_ours(nginx)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_the_command_says(tmp_path: Path, layout: str) -> None:
    put(tmp_path, LAYOUTS[layout])
    for cfg in ("ffi.mine,who", "ffi.echo,init", "ffi.kafka?,init,{}"):
        done = subprocess.run(
            [sys.executable, "-m", "resty_ffi", cfg],
            env={**os.environ, **environ(tmp_path)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("old", [True, False])
def test_an_installation(tmp_path: Path, old: bool) -> None:
    """It has no __init__.py, and one of an earlier version's goes."""
    target = {
        **os.environ,
        "DESTDIR": str(tmp_path / "root"),
        "PREFIX": "/opt/somewhere",
        "NGINX_BIN": os.environ.get("NGINX_BIN", "/usr/sbin/nginx"),
        "PYTHON": sys.executable,
    }
    install = [ROOT / "scripts" / "install"]
    subprocess.run([*install, "install"], env=target, check=True)
    (echo,) = (tmp_path / "root").rglob("ffi/echo.py")
    package = echo.with_name("__init__.py")
    assert not package.exists()
    text = "Modules for ngx.load_ffi that come with it." if old else "Mine."
    package.write_text(f'"""{text}"""\n')
    subprocess.run([*install, "install"], env=target, check=True)
    assert package.exists() == (not old)
    subprocess.run([*install, "uninstall"], env=target, check=True)
    assert package.exists() == (not old)
    assert not echo.exists()
