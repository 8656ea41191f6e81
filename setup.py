# SPDX-License-Identifier: BSD-2-Clause
"""Compiles what the wheel has besides Python: see "In a wheel" in README.md.

RESTY_FFI_PURE=1 in the environment compiles nothing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
# of the repository; the loader has some of the package compiled in
SOURCES = [
    "Makefile",
    "VERSION",
    "config",
    "include",
    "lua",
    "python",
    "scripts",
    "src",
]
NGINX_DEV = (
    Path("/usr/share/nginx/src"),
    ROOT / "build/nginx-dev/usr/share/nginx/src",
)
PURE = bool(os.environ.get("RESTY_FFI_PURE"))
# nginx's Makefile, and a shell, read it
BESIDE = "-Wl,-rpath,'$$ORIGIN/../lib'"


def nginx_sources() -> Path | None:
    """Of the nginx that the modules are for; None where it is not all here."""
    binary = os.environ.get("NGINX_BIN", "/usr/sbin/nginx")
    named = os.environ.get("NGINX_SRC")
    for path in [Path(named)] if named else NGINX_DEV:
        if (path / "configure").is_file() and shutil.which(binary):
            return path.absolute()
    return None


class Build(build_py):
    def run(self) -> None:
        # what an earlier one has left, and is no more
        shutil.rmtree(self.build_lib, ignore_errors=True)
        super().run()
        if not PURE and not self.editable_mode:
            self.make()

    def make(self) -> None:
        tree = ROOT / "build" / "wheel" / "tree"
        shutil.rmtree(tree, ignore_errors=True)
        ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
        for name in SOURCES:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, tree / name, ignore=ignore)
            else:
                tree.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, tree / name)
        # not that of an environment in which wheels are made
        python = getattr(sys, "_base_executable", sys.executable)
        jobs = f"-j{os.cpu_count()}"
        make = ["make", "-C", str(tree), jobs, f"PYTHON={python}"]
        subprocess.run([*make, "build/lib/libffi_python3.so"], check=True)
        if sources := nginx_sources():
            flags = os.environ.get("LDFLAGS", "")
            environ = {**os.environ, "LDFLAGS": f"{flags} {BESIDE}"}
            subprocess.run(
                [*make, f"NGINX_SRC={sources}", "modules"],
                env=environ,
                check=True,
            )
        target = Path(self.build_lib) / "resty_ffi" / "_nginx"
        for kind in ("lib", "modules"):
            for file in (tree / "build" / kind).glob("*.so"):
                (target / kind).mkdir(parents=True, exist_ok=True)
                shutil.copy2(file, target / kind / file.name)


class Binary(Distribution):
    def has_ext_modules(self) -> bool:
        return not PURE


setup(
    cmdclass={"build_py": Build},
    distclass=Binary,
    # build/lib is the repository's own
    options={"build": {"build_base": "build/wheel"}},
)
