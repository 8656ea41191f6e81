# SPDX-License-Identifier: BSD-2-Clause
"""What input can choose, and where code is looked for."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from .client import lua_string
from .conftest import NewNginx
from .nginx import BUILD, HERE, ROOT, Nginx

SERVED = """
from resty_ffi import serve

class Base:
    secret = "attribute"
    def inherited(self, request): return "inherited"
    def _base(self, request): return "private"
    def overridden(self, request): return "no longer there"

@serve
class Public(Base):
    class Inner:
        def __init__(self, request=None): pass
    made = str
    overridden = None
    def __init__(self): self.on_instance = lambda request: "on the instance"
    def method(self, request): return "method"
    def _private(self, request): return "private"
    def __mangled(self, request): return "private"
    def close(self): pass
    @property
    def value(self): return lambda request: "value"
"""


@pytest.fixture
def served(nginx: Nginx) -> str:
    nginx.write_python("served.py", SERVED)
    return 'local rt = assert(ngx.load_ffi("ffi_python3", "served,Public"))'


@pytest.mark.parametrize(
    "name",
    [
        *("_private", "_base", "_Public__mangled", "close", "Inner", "made"),
        *("on_instance", "secret", "value", "overridden", "mro", "_"),
        *("", " ", "method ", "METHOD", "method\0", "method\0x", "method.x"),
        *("os.system", "../method", "method()", "\xff", "m" * 100_000),
    ],
)
def test_no_other_name_reaches_python(
    nginx: Nginx, served: str, name: str
) -> None:
    """Public methods of the class do, those of its bases included."""
    ok, rc, *_ = nginx.lua(
        f"{served} return rt[{lua_string(name.encode('latin-1'))}](rt, 'x')"
    )
    assert (ok, rc) == (False, 404)
    for good in ("method", "inherited"):
        assert nginx.lua(f"{served} return rt[{lua_string(good)}](rt)") == [
            *(True, good),
        ]


@pytest.mark.parametrize(
    "name",
    [
        *("__init__", "__class__", "__dict__", "__call__", "__getattribute__"),
        *("__del__", "__", "__index", "__newindex", "__metatable"),
    ],
)
def test_reserved_names_are_none(nginx: Nginx, served: str, name: str) -> None:
    assert nginx.lua(f'{served} return type(rt["{name}"])') == ["nil"]


def test_the_two_that_lua_has(nginx: Nginx, served: str) -> None:
    """A name of a request must not be one of these; see docs/security.md."""
    assert nginx.lua(
        f'{served} return type(rt["__unload"]), type(rt["__reload"])'
    ) == ["function", "function"]


@pytest.mark.parametrize(
    "lib", ["./libprobe.so", "../libprobe.so", "lib/libprobe.so", "."]
)
def test_a_relative_library(nginx: Nginx, lib: str) -> None:
    rt, err = nginx.lua(f'return ngx.load_ffi("{lib}")')
    assert rt is None
    assert isinstance(err, str)


@pytest.mark.parametrize(
    "path", ["", "{build}:", ":{build}", "{build}::/usr/lib", ".", "./", "/./"]
)
def test_no_library_of_the_current_directory(
    new_nginx: NewNginx, libs: Path, path: str
) -> None:
    """Which empty entries mean to the dynamic linker."""
    path = path.format(build=BUILD / "lib")
    with new_nginx(environ={"LD_LIBRARY_PATH": path}) as nginx:
        shutil.copy(libs / "libprobe.so", nginx.prefix / "libhere.so")
        rt, err = nginx.lua('return ngx.load_ffi("here")')
        assert rt is None
        assert "here" in err
        full = str(libs / "libprobe.so")
        assert nginx.lua(f'return ngx.load_ffi("{full}"):call("x")') == [
            *(True, "x"),
        ]


def test_a_library_before_the_current_directory(
    new_nginx: NewNginx, libs: Path
) -> None:
    """An entry that stands first is searched first."""
    path = f"{libs}:"
    with new_nginx(environ={"LD_LIBRARY_PATH": path}) as nginx:
        shutil.copy(libs / "libbadinit.so", nginx.prefix / "libprobe.so")
        assert nginx.lua('return ngx.load_ffi("probe"):call("x")') == [
            *(True, "x"),
        ]


@pytest.mark.parametrize(
    "path", ["{root}:", ":{root}", "{root}::{tests}", ":"]
)
def test_no_module_of_the_current_directory(
    new_nginx: NewNginx, path: str
) -> None:
    """Which empty entries mean to Python."""
    path = path.format(root=ROOT / "python", tests=HERE / "python")
    with new_nginx(environ={"PYTHONPATH": path}) as nginx:
        (nginx.prefix / "here.py").write_text("def init(cfg, tq): return 0\n")
        rt, err = nginx.lua('return ngx.load_ffi("ffi_python3", "here,init")')
        assert rt is None
        assert "No module named 'here'" in err
        # our own packages are beside the loader
        assert nginx.lua(
            'return ngx.load_ffi("ffi_python3", "ffi.echo,init") ~= nil'
        ) == [True]


def test_paths_of_a_worker(new_nginx: NewNginx) -> None:
    """All of sys.path is absolute."""
    path = f"{ROOT}/python:{HERE}/python::sub"
    with new_nginx(environ={"PYTHONPATH": path}) as nginx:
        (nginx.prefix / "sub").mkdir()
        entries = nginx.python("import sys; result = chr(10).join(sys.path)")
        assert all(entry.startswith("/") for entry in entries.split("\n"))
        assert str(nginx.prefix) not in entries.split("\n")
        # somebody has written that one
        assert f"{nginx.prefix}/sub" in entries.split("\n")
