# SPDX-License-Identifier: BSD-2-Clause
"""`module?`: fresh from source, whatever is cached."""

from __future__ import annotations

import itertools
import os
import py_compile
from pathlib import Path

import pytest

from .nginx import Nginx

numbers = itertools.count()

VERSION = """
import evaluate

VERSION = {version}


def init(cfg, tq):
    evaluate.init(cfg, tq)
    return 0
"""


class Module:
    """A file that changes without its size or time telling so."""

    def __init__(self, nginx: Nginx) -> None:
        self.nginx = nginx
        self.name = f"fresh_{next(numbers)}"
        self.path = nginx.python_dir / f"{self.name}.py"

    def write(self, source: str) -> None:
        self.path.write_text(source)
        os.utime(self.path, (1_700_000_000, 1_700_000_000))

    def version(self, number: int) -> None:
        self.write(VERSION.format(version=number))

    def load(self, mark: str = "?") -> str | None:
        """The error, or None."""
        values = self.nginx.lua(
            f'return ngx.load_ffi("ffi_python3", "{self.name}{mark},init")'
        )
        return None if values[0] else values[1]

    def unload(self, mark: str = "?") -> None:
        self.nginx.lua(
            f'ngx.load_ffi("ffi_python3", "{self.name}{mark},init"):__unload()'
        )

    def seen(self) -> str:
        """The version that an import gives."""
        return self.nginx.python(
            f"import {self.name}; result = {self.name}.VERSION"
        )


@pytest.fixture
def module(nginx: Nginx) -> Module:
    return Module(nginx)


def test_without_it_the_cached_module_is_used(module: Module) -> None:
    module.version(1)
    assert module.load("") is None
    module.unload("")
    module.version(2)
    assert module.load("") is None
    assert module.seen() == "1"


def test_with_it_the_file_is_read_again(module: Module) -> None:
    for number in range(1, 6):
        module.version(number)
        assert module.load() is None
        assert module.seen() == str(number)
        module.unload()


COUNTED = """
import sys
import evaluate

sys.executed = getattr(sys, "executed", 0) + 1


class Point:
    def __init__(self, x):
        self.x = x


def double(point):
    return point.x * 2


def init(cfg, tq):
    return evaluate.init(cfg, tq)
"""


def test_a_second_runtime_of_what_has_not_changed(module: Module) -> None:
    """It is the same module: nothing in it is there twice."""
    module.write(COUNTED)
    nginx, name = module.nginx, module.name
    nginx.python("import sys; sys.executed = 0; result = 0")
    for config in ("one", "two", "three"):
        assert nginx.lua(
            f'return ngx.load_ffi("ffi_python3", "{name}?,init,{config}")'
            ':run("import sys; result = sys.executed")'
        ) == [True, "1"]
    assert nginx.lua(
        f'''local rt = ngx.load_ffi("ffi_python3", "{name}?,init,one")
        rt:__unload()
        return ngx.load_ffi("ffi_python3", "{name}?,init,one")
            :run("import sys; result = sys.executed")'''
    ) == [True, "1"]


def test_objects_of_two_runtimes_for_a_process_pool(module: Module) -> None:
    """pickle wants the class that is the one of that name."""
    module.write(COUNTED)
    nginx, name = module.nginx, module.name
    nginx.lua(
        f'assert(ngx.load_ffi("ffi_python3", "{name}?,init,one"))'
        f':run("import {name}, sys; sys.points = [{name}.Point(4)]")'
    )
    assert nginx.lua(
        f'return ngx.load_ffi("ffi_python3", "{name}?,init,two")'
        f":run([[import {name}, multiprocessing, sys\n"
        'context = multiprocessing.get_context("spawn")\n'
        "with context.Pool(1) as pool:\n"
        f"    result = pool.map({name}.double, sys.points)]])"
    ) == [True, "[8]"]


def test_a_reload_executes_it_again(module: Module) -> None:
    module.write(COUNTED)
    nginx, name = module.nginx, module.name
    nginx.python("import sys; sys.executed = 0; result = 0")
    assert nginx.lua(
        f'''local rt = ngx.load_ffi("ffi_python3", "{name}?,init,again")
        for i = 1, 3 do
            assert(rt:__reload())
        end
        return rt:run("import sys; result = sys.executed")'''
    ) == [True, "4"]


def test_a_reload_without_the_mark_does_not(module: Module) -> None:
    module.write(COUNTED)
    nginx, name = module.nginx, module.name
    nginx.python("import sys; sys.executed = 0; result = 0")
    assert nginx.lua(
        f'''local rt = ngx.load_ffi("ffi_python3", "{name},init,again")
        assert(rt:__reload())
        return rt:run("import sys; result = sys.executed")'''
    ) == [True, "1"]


def test_a_stale_pyc(module: Module) -> None:
    module.version(1)
    pyc = py_compile.compile(str(module.path), doraise=True)
    assert pyc
    module.version(2)
    assert module.load() is None
    assert module.seen() == "2"


def test_the_same_runtime_is_not_loaded_again(module: Module) -> None:
    module.version(1)
    assert module.load() is None
    module.version(2)
    assert module.load() is None
    assert module.seen() == "1"


def test_a_module_that_others_import(module: Module) -> None:
    """An old module object keeps its globals; new imports get the new."""
    module.version(1)
    assert module.load() is None
    module.nginx.python(
        f"import sys, {module.name}; sys.old = {module.name}; result = 1"
    )
    module.unload()
    module.version(2)
    assert module.load() is None
    assert (
        module.nginx.python(
            f"import sys, {module.name}\n"
            f"result = sys.old.VERSION, {module.name}.VERSION,"
            f" sys.old is {module.name}"
        )
        == "(1, 2, False)"
    )


@pytest.mark.parametrize(
    "broken", ["raise ValueError('broken')", "def init(:", "import absent"]
)
def test_a_failure_leaves_the_old_one(module: Module, broken: str) -> None:
    module.version(1)
    assert module.load("") is None
    module.write(broken)
    assert module.load()
    assert module.seen() == "1"
    assert module.nginx.lua(
        f'local rt = ngx.load_ffi("ffi_python3", "{module.name},init")'
        'return rt:run("result = 42")'
    ) == [True, "42"]
    module.version(2)
    assert module.load() is None
    assert module.seen() == "2"


def test_a_first_load_that_fails_leaves_nothing(module: Module) -> None:
    module.write("raise ValueError('broken')")
    assert module.load() == (f"ffi_python3: {module.name}: ValueError: broken")
    assert (
        module.nginx.python(
            f"import sys; result = {module.name!r} in sys.modules"
        )
        == "False"
    )


def test_it_is_a_proper_module(module: Module) -> None:
    module.write(
        VERSION.format(version=1)
        + "import importlib.util\n"
        + "facts = [__name__, __package__, __file__, __spec__.name,\n"
        + "         __loader__ is __spec__.loader]\n"
    )
    assert module.load() is None
    assert module.nginx.python(
        f"import {module.name}; result = {module.name}.facts"
    ) == str([module.name, "", str(module.path), module.name, True])


@pytest.mark.parametrize("before", [True, False])
def test_code_that_looks_itself_up(module: Module, before: bool) -> None:
    """dataclasses, pickle, typing and enum go by sys.modules."""
    if before:
        module.version(1)
        assert module.load("") is None
    module.write(
        "from __future__ import annotations\n"
        "import dataclasses, pickle, sys, typing\n"
        + VERSION.format(version=2)
        + "@dataclasses.dataclass\n"
        "class Point:\n"
        "    x: int\n"
        "    kind: typing.ClassVar[str] = 'point'\n"
        "assert pickle.loads(pickle.dumps(Point(1))) == Point(1)\n"
        "assert sys.modules[__name__].VERSION == 2\n"
        "assert typing.get_type_hints(Point)['x'] is int\n"
        "assert [f.name for f in dataclasses.fields(Point)] == ['x']\n"
    )
    assert module.load() is None
    assert module.seen() == "2"


def test_relative_imports(nginx: Nginx) -> None:
    nginx.write_python("freshpkg/__init__.py", "")
    nginx.write_python("freshpkg/near.py", "from evaluate import init\n")
    nginx.write_python("freshpkg/mod.py", "from .near import init\n")
    code = """
        local rt = assert(ngx.load_ffi("ffi_python3", "freshpkg.mod?,init"))
        local ok, res = rt:run("import freshpkg.mod, sys;"
            .. "result = freshpkg.mod is sys.modules['freshpkg.mod']")
        rt:__unload()
        return ok, res
    """
    for _ in range(3):
        assert nginx.lua(code) == [True, "True"]


def test_a_package_itself(nginx: Nginx) -> None:
    nginx.write_python("freshinit/near.py", "from evaluate import init\n")
    path = nginx.write_python(
        "freshinit/__init__.py", "from .near import init\nVERSION = 1\n"
    )
    code = """
        local rt = assert(ngx.load_ffi("ffi_python3", "freshinit?,init"))
        local ok, res = rt:run("import freshinit; result = freshinit.VERSION")
        rt:__unload()
        return ok, res
    """
    assert nginx.lua(code) == [True, "1"]
    path.write_text("from .near import init\nVERSION = 2\n")
    assert nginx.lua(code) == [True, "2"]


def test_modules_without_source(nginx: Nginx, libs: Path) -> None:
    """From a .pyc alone, or built in: as an import gives them."""
    source = nginx.write_python("only_pyc.py", "from evaluate import init\n")
    py_compile.compile(
        str(source), cfile=str(source.with_suffix(".pyc")), doraise=True
    )
    source.unlink()
    assert nginx.lua(
        'return assert(ngx.load_ffi("ffi_python3", "only_pyc?,init"))'
        ':run("result = 1")'
    ) == [True, "1"]
    rt, err = nginx.lua('return ngx.load_ffi("ffi_python3", "sys?,exit")')
    assert rt is None
    assert err.startswith("ffi_python3: sys")
    assert nginx.python("import sys; result = bool(sys.path)") == "True"
