# SPDX-License-Identifier: BSD-2-Clause
"""make install: which files of nginx's, and which one nginx loads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .nginx import BUILD, ROOT

AVAILABLE = Path("/usr/share/nginx/modules-available")
ENABLED = Path("/etc/nginx/modules-enabled")
NAMES = {"mod-http-ffi.conf", "mod-http-lua-ffi.conf"}

pytestmark = pytest.mark.skipif(
    BUILD != ROOT / "build", reason="it installs what is in build"
)


class Place:
    """Below a directory, for an nginx that looks for modules in /mods."""

    def __init__(self, folder: Path, lua: bool) -> None:
        self.root = folder / "root"
        self.modules = folder / "mods"
        self.modules.mkdir()
        if lua:
            (self.modules / "ngx_http_lua_module.so").touch()
        nginx = folder / "nginx"
        nginx.write_text(
            "#!/bin/sh\n"
            f"echo 'configure arguments: --modules-path={self.modules} -x' >&2"
        )
        nginx.chmod(0o755)
        self.environ = {
            **os.environ,
            "DESTDIR": str(self.root),
            "PREFIX": "/opt/somewhere",
            "NGINX_BIN": str(nginx),
            "PYTHON": sys.executable,
        }

    def run(self, command: str) -> None:
        script = ROOT / "scripts" / "install"
        subprocess.run([script, command], env=self.environ, check=True)

    def files(self, folder: Path) -> dict[str, Path]:
        return {path.name: path for path in self.below(folder).glob("*")}

    def below(self, folder: Path) -> Path:
        return self.root / folder.relative_to("/")


@pytest.mark.parametrize("lua", [True, False])
def test_both_modules(tmp_path: Path, lua: bool) -> None:
    place = Place(tmp_path, lua)
    for _ in range(2):
        place.run("install")
        files = place.files(place.modules)
        assert set(files) == {
            "ngx_http_ffi_module.so",
            "ngx_http_lua_ffi_module.so",
        }
        for name, path in files.items():
            built = BUILD / "modules" / name
            assert path.read_bytes() == built.read_bytes()
    place.run("uninstall")
    assert not place.files(place.modules)


@pytest.mark.skipif(
    not (AVAILABLE.is_dir() and ENABLED.is_dir()), reason="not Debian's layout"
)
def test_one_is_enabled(tmp_path: Path) -> None:
    """Once there is the lua module, the one that has Lua, too."""
    place = Place(tmp_path, lua=False)
    place.run("install")
    files = place.files(AVAILABLE)
    assert set(files) == NAMES
    assert {path.read_text() for path in files.values()} == {
        "load_module modules/ngx_http_ffi_module.so;\n",
        "load_module modules/ngx_http_lua_ffi_module.so;\n",
    }
    for name in ("mod-http-ffi.conf", "mod-http-lua-ffi.conf"):
        place.run("install")
        ((link, path),) = place.files(ENABLED).items()
        assert link == f"60-{name}"
        assert path.readlink() == AVAILABLE / name
        (place.modules / "ngx_http_lua_module.so").touch()
    place.run("uninstall")
    assert not place.files(AVAILABLE)
    assert not place.files(ENABLED)
