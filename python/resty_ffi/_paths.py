# SPDX-License-Identifier: BSD-2-Clause
"""Where a wheel has put the loader and nginx's modules."""

from __future__ import annotations

import os
import sys
from pathlib import Path

# as setup.py lays them out: python_pass finds the loader by this
FOLDER = Path(__file__).resolve().parent / "_nginx"
WITHOUT_LUA = "ngx_http_ffi_module.so"
WITH_LUA = "ngx_http_lua_ffi_module.so"


def main(arguments: list[str]) -> int:
    """Print what nginx.conf takes; 1 where there is no loader."""
    if arguments:
        print("usage: python -m resty_ffi paths", file=sys.stderr)
        return 2
    loader = FOLDER / "lib" / "libffi_python3.so"
    if not loader.is_file():
        print(
            f"there is no {loader}: this package was installed without the"
            " loader (make install puts it elsewhere)",
            file=sys.stderr,
        )
        return 1
    for line in lines(loader):
        print(line)
    return 0


def lines(loader: Path) -> list[str]:
    """Of a configuration, with comments."""
    modules = FOLDER / "modules"
    found = [f"# ffi_python3 is {loader}"]
    if (modules / WITHOUT_LUA).is_file():
        found.append(f"load_module {quoted(modules / WITHOUT_LUA)};")
    if (modules / WITH_LUA).is_file():
        found += [
            "# or, with Lua, behind the line of the lua module:",
            f"# load_module {quoted(modules / WITH_LUA)};",
        ]
    if not modules.is_dir():
        found.append("# no modules: nginx's sources were not there")
    if sys.prefix != sys.base_prefix:
        found += ["# in http:", f"python_venv {quoted(sys.prefix)};"]
    return found


def quoted(path: str | os.PathLike[str]) -> str:
    text = os.fspath(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
