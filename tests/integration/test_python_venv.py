# SPDX-License-Identifier: BSD-2-Clause
"""VIRTUAL_ENV: its packages, and the loader's own standard library."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .checker import VALGRIND
from .conftest import NewNginx
from .nginx import Nginx

MINOR = f"{sys.version_info[0]}.{sys.version_info[1]}"
OWN = f"{MINOR}.{sys.version_info[2]}"
OTHER_PATCH = f"{MINOR}.{sys.version_info[2] + 5}"
ABI = getattr(sys, "abiflags", "")
LOAD = 'return ngx.load_ffi("ffi_python3", "skeleton,init")'
# where cffi is, which the modules of the tests need
TESTS_SITE = next(p for p in sys.path if p.endswith("site-packages"))


def make_venv(folder: Path, *lines: str, minor: str = MINOR) -> Path:
    """One by hand: of any Python, with its packages and its python."""
    site = folder / "lib" / f"python{minor}{ABI}" / "site-packages"
    site.mkdir(parents=True)
    (site / "of_the_venv.py").write_text("")
    (site / "pointer.pth").write_text(f"{folder}/pointed\n")
    (folder / "pointed").mkdir()
    (folder / "pointed" / "by_pth.py").write_text("")
    # what another Python's library would be taken for
    (folder / "base" / "bin").mkdir(parents=True)
    (folder / "base" / "bin" / "python").touch()
    library = folder / "base" / "lib" / f"python{minor}"
    library.mkdir(parents=True)
    for name in ("os.py", "encodings.py", "site.py"):
        (library / name).write_text("1 / 0\n")
    (library / "lib-dynload").mkdir()
    (folder / "bin").mkdir()
    (folder / "bin" / "python").symlink_to(sys.executable)
    text = "\n".join([f"home = {folder}/base/bin", *lines, ""])
    (folder / "pyvenv.cfg").write_text(text)
    return folder


def load(nginx: Nginx) -> str | None:
    """The error, or None."""
    values: list[Any] = nginx.lua(LOAD)
    return None if values[0] else values[1]


FACTS = """
import os, sys
names = ("of_the_venv", "by_pth")
found = []
for name in names:
    try:
        found.append(__import__(name).__name__)
    except ImportError:
        pass
result = "|".join([
    sys.prefix, sys.executable, os.path.dirname(os.__file__),
    sys.base_prefix, ",".join(found),
])
"""


def check_facts(nginx: Nginx, venv: Path) -> None:
    facts = nginx.python(FACTS).split("|")
    assert facts == [
        str(venv),
        f"{venv}/bin/python",
        str(Path(subprocess.__file__).parent),
        sys.base_prefix,
        "of_the_venv,by_pth",
    ]


@pytest.mark.parametrize(
    "lines",
    [
        [f"version = {OWN}"],
        [f"version_info = {OWN}.final.0"],
        [f"Version={OWN}"],
        [f"version = {MINOR}"],
        ["implementation = CPython"],
    ],
)
def test_one_of_the_same_python(
    new_nginx: NewNginx, tmp_path: Path, lines: list[str]
) -> None:
    """Whoever has made it."""
    venv = make_venv(tmp_path / "venv", *lines)
    with new_nginx(
        environ={"VIRTUAL_ENV": str(venv)}, python_path=[TESTS_SITE]
    ) as nginx:
        check_facts(nginx, venv)
        assert "VIRTUAL_ENV" not in nginx.log()


@pytest.mark.parametrize("key", ["version = ", "version_info = "])
def test_another_patch_level(
    new_nginx: NewNginx, tmp_path: Path, key: str
) -> None:
    """Its packages, not its library; a notice says so."""
    venv = make_venv(tmp_path / "venv", f"{key}{OTHER_PATCH}")
    with new_nginx(
        environ={"VIRTUAL_ENV": str(venv)}, python_path=[TESTS_SITE]
    ) as nginx:
        check_facts(nginx, venv)
        nginx.wait_log(
            rf"\[notice\] .* ffi_python3: VIRTUAL_ENV {venv}: it is of Python"
            rf" {OTHER_PATCH}; .* that of the loader's, {OWN}"
        )


@pytest.mark.parametrize("system", ["true", "false"])
def test_packages_of_the_system(
    new_nginx: NewNginx, tmp_path: Path, system: str
) -> None:
    line = f"include-system-site-packages = {system}"
    venv = make_venv(tmp_path / "venv", f"version = {OTHER_PATCH}", line)
    command = [f"{sys.base_prefix}/bin/python{MINOR}", "-c"]
    asked = "import os, site; print(*filter(os.path.isdir, {}))"
    folders = subprocess.check_output(
        [*command, asked.format("site.getsitepackages()")], text=True
    ).split()
    assert folders
    with new_nginx(
        environ={"VIRTUAL_ENV": str(venv)}, python_path=[TESTS_SITE]
    ) as nginx:
        check_facts(nginx, venv)
        for folder in folders:
            assert nginx.python(
                f"import sys; result = {folder!r} in sys.path"
            ) == str(system == "true")


@pytest.mark.parametrize("minor", ["3.6", "3.99", "4.0"])
@pytest.mark.parametrize("key", ["version", "version_info"])
def test_another_minor_version(
    new_nginx: NewNginx, tmp_path: Path, minor: str, key: str
) -> None:
    """Every load says so, and so does error.log."""
    venv = make_venv(tmp_path / "venv", f"{key} = {minor}.1", minor=minor)
    error = (
        f"ffi_python3: cannot start Python: VIRTUAL_ENV {venv} is of Python"
        f" {minor}, the loader of Python {MINOR}"
    )
    with new_nginx(environ={"VIRTUAL_ENV": str(venv)}) as nginx:
        for _ in range(3):
            assert load(nginx) == error
        nginx.wait_log(error)
        assert nginx.count_log(error) == 3


def test_another_interpreters_packages(
    new_nginx: NewNginx, tmp_path: Path
) -> None:
    """PyPy's, a free-threaded one's, or one that says no version."""
    venv = make_venv(tmp_path / "venv")
    (venv / "lib").rename(venv / "elsewhere")
    with new_nginx(environ={"VIRTUAL_ENV": str(venv)}) as nginx:
        assert load(nginx) == (
            f"ffi_python3: cannot start Python: VIRTUAL_ENV {venv} has no"
            f" packages for Python {MINOR}{ABI}:"
            f" lib/python{MINOR}{ABI}/site-packages: No such file or directory"
        )


@pytest.mark.parametrize("there", [True, False])
def test_none_at_all(new_nginx: NewNginx, tmp_path: Path, there: bool) -> None:
    """No such directory, or one that is no environment."""
    folder = tmp_path / "no venv"
    if there:
        folder.mkdir()
    with new_nginx(environ={"VIRTUAL_ENV": str(folder)}) as nginx:
        for _ in range(2):
            assert load(nginx) == (
                f"ffi_python3: cannot start Python: VIRTUAL_ENV {folder} is"
                " no virtual environment: pyvenv.cfg: No such file or"
                " directory"
            )


def test_one_that_comes_later(new_nginx: NewNginx, tmp_path: Path) -> None:
    """A load that has failed does not keep the next one from looking."""
    folder = tmp_path / "venv"
    with new_nginx(
        environ={"VIRTUAL_ENV": str(folder)}, python_path=[TESTS_SITE]
    ) as nginx:
        assert load(nginx)
        make_venv(folder)
        check_facts(nginx, folder)


def test_one_that_is_corrected(new_nginx: NewNginx, tmp_path: Path) -> None:
    """In nginx.conf; a reload is enough."""
    venv = make_venv(tmp_path / "venv")
    wrong = f"env VIRTUAL_ENV={tmp_path}/wrong;"
    nginx = new_nginx(main=wrong, python_path=[TESTS_SITE])
    text = nginx.conf.read_text().replace("env VIRTUAL_ENV;", "")
    nginx.conf.write_text(text)
    with nginx:
        assert load(nginx)
        nginx.conf.write_text(text.replace(f"{tmp_path}/wrong", str(venv)))
        old = nginx.worker()
        nginx.reload()
        nginx.wait_gone(old)
        check_facts(nginx, venv)


def test_one_whose_python_has_gone(
    new_nginx: NewNginx, tmp_path: Path
) -> None:
    """As in an image that it was copied to: its packages are there."""
    venv = make_venv(tmp_path / "venv")
    (venv / "bin" / "python").unlink()
    with new_nginx(
        environ={"VIRTUAL_ENV": str(venv)}, python_path=[TESTS_SITE]
    ) as nginx:
        check_facts(nginx, venv)
        nginx.wait_log(rf"\[notice\] .*VIRTUAL_ENV {venv}: its bin/python can")


@pytest.mark.skipif(VALGRIND, reason="would run in the children, too")
def test_child_processes(new_nginx: NewNginx, tmp_path: Path) -> None:
    """They are of the environment, by its own python."""
    venv = tmp_path / "venv"
    python = [sys.executable, "-m", "venv", "--without-pip", str(venv)]
    subprocess.run(python, check=True)
    site = venv / "lib" / f"python{MINOR}{ABI}" / "site-packages"
    (site / "of_the_venv.py").write_text("def double(x): return x * 2\n")
    with new_nginx(
        environ={"VIRTUAL_ENV": str(venv)}, python_path=[TESTS_SITE]
    ) as nginx:
        assert (
            nginx.python(
                """
            import multiprocessing, subprocess, sys
            import of_the_venv
            code = "import of_the_venv, sys; print(sys.prefix)"
            out = subprocess.check_output([sys.executable, "-c", code])
            assert out.decode().strip() == sys.prefix, out
            context = multiprocessing.get_context("spawn")
            with context.Pool(1) as pool:
                result = pool.map(of_the_venv.double, range(3))
            """
            )
            == "[0, 2, 4]"
        )


OTHERS = sorted(Path.home().glob(".pyenv/versions/3.*/bin/python"))


@pytest.mark.parametrize("python", OTHERS, ids=lambda p: str(p.parts[-3]))
def test_real_ones(new_nginx: NewNginx, tmp_path: Path, python: Path) -> None:
    """Of whatever other Pythons there are."""
    venv = tmp_path / "venv"
    subprocess.run(
        [str(python), "-m", "venv", "--without-pip", str(venv)], check=True
    )
    with new_nginx(
        environ={"VIRTUAL_ENV": str(venv)}, python_path=[TESTS_SITE]
    ) as nginx:
        error = load(nginx)
        if python.parts[-3].startswith(f"{MINOR}."):
            assert error is None
            library = nginx.python("import os; result = os.__file__")
            assert library == str(Path(subprocess.__file__).parent / "os.py")
        else:
            assert error
            assert f"the loader of Python {MINOR}" in error
