# SPDX-License-Identifier: BSD-2-Clause
"""What `module?` replaces in sys.modules, and when."""

from __future__ import annotations

import builtins
import contextlib
import gc
import importlib
import itertools
import os
import pickle
import py_compile
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from resty_ffi._loader import fresh

PATIENCE = 15
TIME = (1_700_000_000, 1_700_000_000)
numbers = itertools.count()


class Package:
    """Files whose size and time do not tell that they change."""

    def __init__(self, folder: Path) -> None:
        self.name = f"freshly_{next(numbers)}"
        self.folder = folder

    def write(self, name: str, source: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
        os.utime(path, TIME)
        return path

    def put(self, **sources: str) -> None:
        """Modules of the package; "init" is the package itself."""
        for name, source in sources.items():
            file = name.replace("__", "/").replace("init", "__init__")
            self.write(f"{self.name}/{file}.py", source)

    def load(self, name: str = "mod", *, again: bool = False) -> Any:
        name = f"{self.name}.{name}"
        return fresh.load_fresh(name, lambda module: module, again)[0]

    def loaded(self) -> dict[str, object]:
        return {
            name: module
            for name, module in sys.modules.items()
            if name.partition(".")[0] == self.name
        }

    def __getitem__(self, name: str) -> Any:
        return sys.modules[f"{self.name}.{name}"]

    def __contains__(self, name: str) -> bool:
        return f"{self.name}.{name}" in sys.modules


@pytest.fixture
def pkg(tmp_path: Path) -> Iterator[Package]:
    package = Package(tmp_path)
    sys.path.insert(0, str(tmp_path))
    try:
        yield package
    finally:
        sys.path.remove(str(tmp_path))
        for name in package.loaded():
            del sys.modules[name]


MOD = "from . import near\nfrom .near import V\n"


def test_what_has_changed_comes_along(pkg: Package) -> None:
    pkg.put(init="", mod=MOD, near="V = 1")
    old = pkg.load()
    pkg.put(near="V = 2")
    new = pkg.load()
    assert (old.V, old.near.V) == (1, 1)
    assert (new.V, new.near.V) == (2, 2)
    assert pkg["mod"] is new
    assert pkg["near"] is new.near
    assert sys.modules[pkg.name].near is new.near


def test_who_imports_it_comes_along(pkg: Package) -> None:
    """The whole package: no runtime sees two versions of it."""
    pkg.put(init="from .between import V", between="from .near import V")
    pkg.put(near="V = 1", mod="from . import V, between")
    old = pkg.load()
    pkg.put(near="V = 2")
    new = pkg.load()
    assert (old.V, old.between.V) == (1, 1)
    assert (new.V, new.between.V) == (2, 2)


def test_what_has_not_changed_is_shared(pkg: Package) -> None:
    """Two runtimes of a module have the same classes."""
    pkg.put(init="", mod=MOD, near="V = 1")
    first = pkg.load()
    pkg.put(mod=MOD, near="V = 1")
    assert pkg.load() is first
    assert pkg.load("near") is first.near


def test_a_reload_of_what_has_not_changed(pkg: Package) -> None:
    """The file that was asked for, and no other."""
    pkg.put(init="", mod=MOD, near="V = object()")
    old = pkg.load()
    new = pkg.load(again=True)
    assert new is not old
    assert new.near is old.near
    assert sys.modules[pkg.name].mod is new


@pytest.mark.parametrize(
    "broken",
    [
        {"near": "def f(:"},
        {"near": "V = 2\0"},
        {"near": "raise SystemExit(3)"},
        {"near": "V = 2", "mod": MOD + "1 / 0"},
        {"near": "V = 2", "late": "1 / 0"},
        {"init": "1 / 0"},
        {"mod": "from . import absent"},
        {"mod": "import sys\n__import__('sys').modules[__name__] = 1\n1 / 0"},
        {"mod": "from . import newer\n1 / 0", "newer": ""},
    ],
)
def test_a_failure_changes_nothing(
    pkg: Package, broken: dict[str, str]
) -> None:
    pkg.put(init="", mod=MOD, near="V = 1", late="V = 1")
    old = pkg.load()
    pkg.load("late")
    before = pkg.loaded()
    attributes = dict(vars(sys.modules[pkg.name]))
    pkg.put(**broken)
    for _ in range(2):
        with pytest.raises(BaseException):  # noqa: B017, PT011
            pkg.load()
        assert pkg.loaded() == before
        assert vars(sys.modules[pkg.name]) == attributes
    assert (old.V, old.near.V) == (1, 1)
    pkg.put(init="", mod=MOD, near="V = 3", late="V = 3")
    assert (pkg.load().V, pkg["late"].V) == (3, 3)


def test_what_the_load_wants_of_it_belongs_to_it(pkg: Package) -> None:
    pkg.put(init="", mod="handler = len")
    old = pkg.load()
    pkg.put(mod="handlers = len")
    with pytest.raises(AttributeError):
        fresh.load_fresh(f"{pkg.name}.mod", lambda module: module.handler)
    assert pkg["mod"] is old
    assert sys.modules[pkg.name].mod is old


def test_a_first_load_that_fails_leaves_nothing(pkg: Package) -> None:
    pkg.put(init="", mod=MOD + "1 / 0", near="V = 1")
    with pytest.raises(ZeroDivisionError):
        pkg.load()
    assert pkg.loaded() == {}


def test_taking_it_back(pkg: Package) -> None:
    pkg.put(init="", mod=MOD, near="V = 1")
    old = pkg.load()
    before = pkg.loaded()
    pkg.put(near="V = 2", late="V = 2")
    _, undo = fresh.load_fresh(f"{pkg.name}.mod", lambda module: module)
    importlib.import_module(f"{pkg.name}.late")
    undo()
    assert pkg.loaded() == before
    assert sys.modules[pkg.name].mod is old


def test_it_is_not_taken_back_from_another_load(pkg: Package) -> None:
    pkg.put(init="", mod="V = 1")
    pkg.load()
    pkg.put(mod="V = 2")
    _, undo = fresh.load_fresh(f"{pkg.name}.mod", lambda module: module)
    pkg.put(mod="V = 3")
    new = pkg.load()
    undo()
    assert pkg["mod"] is new


def test_stale_bytecode(pkg: Package) -> None:
    """Of the same size and time, of a module that has not been loaded yet."""
    pkg.put(init="", mod=MOD)
    near = pkg.write(f"{pkg.name}/near.py", "V = 1")
    assert py_compile.compile(str(near), doraise=True)
    pkg.put(near="V = 2")
    assert pkg.load().V == 2


def test_what_a_plain_import_has_brought(pkg: Package) -> None:
    """What its source was nobody knows: it counts as changed."""
    pkg.put(init="", mod=MOD, near="V = 1")
    importlib.import_module(f"{pkg.name}.mod")
    pkg.put(near="V = 2")
    assert pkg.load().V == 2


def test_a_module_that_was_imported_later(pkg: Package) -> None:
    pkg.put(init="", mod="", near="V = 1")
    pkg.load()
    near = importlib.import_module(f"{pkg.name}.near")
    pkg.put(near="V = 2")
    pkg.load()
    assert (near.V, pkg["near"].V) == (1, 2)


def test_a_module_that_has_been_deleted(pkg: Package) -> None:
    pkg.put(init="", mod=MOD, near="V = 1")
    pkg.put(sub__init="", sub__x="")
    old = pkg.load()
    pkg.load("sub.x")
    for name in ("near.py", "sub/x.py", "sub/__init__.py"):
        (pkg.folder / pkg.name / name).unlink()
    (pkg.folder / pkg.name / "sub").rename(pkg.folder / "gone")
    with pytest.raises(ImportError, match="near"):
        pkg.load()
    assert pkg["near"].V == old.V == 1
    pkg.put(mod="V = 2")
    assert pkg.load().V == 2
    assert "near" not in pkg
    assert "sub.x" not in pkg
    assert not hasattr(sys.modules[pkg.name], "near")


def test_a_module_that_has_become_a_package(pkg: Package) -> None:
    pkg.put(init="", mod=MOD, near="V = 1")
    pkg.load()
    (pkg.folder / pkg.name / "near.py").unlink()
    pkg.put(near__init="from .deep import V", near__deep="V = 2")
    assert pkg.load().V == 2
    assert pkg["near.deep"].V == 2


def test_imports_in_a_circle(pkg: Package) -> None:
    pkg.put(init="", mod="from . import a\nV = a.b.V")
    pkg.put(a="from . import b\nV = 1", b="from . import a, mod\nV = 1")
    assert pkg.load().V == 1
    pkg.put(b="import sys\nfrom . import a, mod\nV = 2")
    new = pkg.load()
    assert new.V == 2
    assert new.a.b.a is new.a
    assert new.a.b.mod is new


def test_absolute_imports_of_itself(pkg: Package) -> None:
    pkg.put(
        init="",
        mod=f"import {pkg.name}.near\nimport {pkg.name}.near as n\n"
        f"V = {pkg.name}.near.V, n.V",
        near="V = 1",
    )
    pkg.load()
    pkg.put(near="V = 2")
    assert pkg.load().V == (2, 2)


@pytest.mark.parametrize("deep", ["", "sub."])
def test_namespace_packages(pkg: Package, deep: str) -> None:
    """Folders without __init__.py."""
    folder = deep.replace(".", "__")
    pkg.put(**{f"{folder}mod": MOD, f"{folder}near": "V = 1"})
    old = pkg.load(f"{deep}mod")
    namespace = sys.modules[pkg.name]
    pkg.put(**{f"{folder}near": "V = 2"})
    new = pkg.load(f"{deep}mod")
    assert (old.V, old.near.V, new.V, new.near.V) == (1, 1, 2, 2)
    assert sys.modules[pkg.name] is not namespace
    before = pkg.loaded()
    pkg.put(**{f"{folder}near": "1 / 0"})
    with pytest.raises(ZeroDivisionError):
        pkg.load(f"{deep}mod")
    assert pkg.loaded() == before


def test_another_part_of_a_namespace(pkg: Package, tmp_path: Path) -> None:
    """What somebody else has put into it is not of the package."""
    other = tmp_path / "elsewhere"
    pkg.write(f"elsewhere/{pkg.name}/other.py", "V = 1")
    pkg.put(mod=f"from . import near, other\nimport {pkg.name}.other")
    pkg.put(near="V = 1")
    sys.path.append(str(other))
    try:
        old = pkg.load()
        pkg.write(f"elsewhere/{pkg.name}/other.py", "V = 2")
        pkg.put(near="V = 2")
        new = pkg.load()
    finally:
        sys.path.remove(str(other))
    assert new.near is not old.near
    assert new.other is old.other
    assert sys.modules[pkg.name].other is old.other


def test_single_files_beside_each_other(tmp_path: Path, pkg: Package) -> None:
    """They are no package: what the module imports is as it was."""
    beside = f"{pkg.name}_beside"
    pkg.write(f"{pkg.name}.py", f"import {beside} as beside\nV = 1")
    pkg.write(f"{beside}.py", "V = 1")
    old = fresh.load_fresh(pkg.name, lambda module: module)[0]
    pkg.write(f"{pkg.name}.py", f"import {beside} as beside\nV = 2")
    pkg.write(f"{beside}.py", "V = 2")
    new = fresh.load_fresh(pkg.name, lambda module: module)[0]
    assert (old.V, new.V, new.beside.V) == (1, 2, 1)
    assert new.beside is old.beside
    del sys.modules[beside]


def test_modules_without_source_stay(pkg: Package) -> None:
    """As extension modules do, which can be loaded once only."""
    pkg.put(init="", mod=f"import {pkg.name}.bare\nfrom . import bare, near")
    pkg.put(near="V = 1")
    source = pkg.write(f"{pkg.name}/bare.py", "V = 1")
    py_compile.compile(
        str(source), cfile=str(source.with_suffix(".pyc")), doraise=True
    )
    source.unlink()
    old = pkg.load()
    pkg.put(near="V = 2")
    new = pkg.load()
    assert new.near is not old.near
    assert new.bare is old.bare
    assert sys.modules[pkg.name].bare is old.bare


def test_a_package_that_uses_the_name_of_its_module(pkg: Package) -> None:
    pkg.put(init="from .mod import mod", mod="def mod(): return 1")
    pkg.load()
    package: Any = sys.modules[pkg.name]
    function = package.mod
    assert function() == 1
    pkg.load(again=True)
    assert package.mod is function
    pkg.put(mod="def mod(): return 2")
    pkg.load()
    assert package.mod is function
    package = sys.modules[pkg.name]
    assert package.mod() == 2


def test_modules_that_replace_themselves(pkg: Package) -> None:
    source = (
        "import sys\nclass M:\n    V = {0}\n"
        "sys.modules[__name__] = sys.modules[__package__ + '.alias'] = M()"
    )
    pkg.put(init="", mod="from .odd import V\nfrom .alias import V as W")
    pkg.put(odd=source.format(1))
    odd = pkg.load("odd")
    assert pkg.load().V == 1
    assert pkg.load("odd") is odd
    pkg.put(odd=source.format(2), mod="from .odd import V")
    assert pkg.load().V == 2
    assert pkg.load("odd").V == 2


def test_code_that_looks_itself_up(pkg: Package) -> None:
    pkg.put(init="", mod="from .point import Point", point="")
    for number in range(2):
        pkg.put(
            point="from __future__ import annotations\n"
            "import dataclasses, pickle, sys, typing\n"
            f"class N{number}: pass\n"
            "@dataclasses.dataclass\n"
            "class Point:\n"
            f"    x: N{number}\n"
            "assert typing.get_type_hints(Point)['x'].__module__ == __name__\n"
            "assert pickle.loads(pickle.dumps(Point(1))) == Point(1)\n"
            "assert sys.modules[__name__].Point is Point\n"
        )
        point = pkg.load().Point(number)
        assert pickle.loads(pickle.dumps(point)) == point


def test_what_old_code_has_imported(pkg: Package) -> None:
    """It stays with that; what it imports later is the new."""
    pkg.put(init="", near="V = 1", mod=MOD + "def call(): return near.V, V\n")
    old = pkg.load()
    pkg.put(near="V = 2")
    new = pkg.load()
    assert (old.call(), new.call()) == ((1, 1), (2, 2))


def test_after_a_failure_code_imports_as_ever(pkg: Package) -> None:
    pkg.put(
        init="",
        near="V = 1",
        mod=MOD + "def call():\n    from .near import V\n    return V",
    )
    old = pkg.load()
    pkg.put(near="1 / 0")
    with pytest.raises(ZeroDivisionError):
        pkg.load()
    near = pkg["near"]
    near.V = 2
    assert old.call() == 2
    assert sys.modules[pkg.name].near is near


def test_threads_of_the_new_code_see_the_new(pkg: Package) -> None:
    source = (
        "import threading\nfrom . import near\nseen = []\n"
        "def run():\n    from .near import V\n    seen.append(V)\n"
        "t = threading.Thread(target=run)\nt.start()\nt.join()\n"
    )
    pkg.put(init="", near="V = 1", mod=source)
    assert pkg.load().seen == [1]
    pkg.put(near="V = 2")
    assert pkg.load().seen == [2]


def at_once(*functions: Callable[[], object]) -> None:
    errors: list[BaseException] = []

    def run(function: Callable[[], object]) -> None:
        try:
            function()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(f,)) for f in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert not errors, errors


def test_loads_at_once(pkg: Package) -> None:
    """Of one package: one after the other, each sees one version."""
    names = ["a", "b", "c", "d"]
    source = "import time\nfrom . import near\nassert near.V == {}\n"

    def load(name: str) -> Callable[[], object]:
        return lambda: pkg.load(name)

    for number in range(5):
        pkg.put(init="", near=f"import time\ntime.sleep(0.01)\nV = {number}")
        pkg.put(**{name: source.format(number) for name in names})
        at_once(*map(load, names))
        versions = {pkg[name].near for name in names}
        assert versions == {pkg["near"]}


def test_loads_beside_imports(pkg: Package) -> None:
    """Code that imports at call time does not get into their way."""
    pkg.put(init="", near="V = 0", late="V = 0")
    pkg.put(
        mod="def call():\n"
        "    from .near import V\n    from . import late\n"
        f"    import {pkg.name}.near as n\n"
        "    return V, late.V, n.V"
    )
    current = pkg.load()
    pkg.load("late")
    stop = threading.Event()

    def use() -> None:
        while not stop.is_set():
            # amid a load it gets either version, or none
            with contextlib.suppress(ImportError, KeyError):
                current.call()

    def change() -> None:
        nonlocal current
        try:
            for number in range(50):
                pkg.put(near=f"V = {number}", late=f"V = {number}")
                current = pkg.load()
                assert current.call() == (number, number, number)
        finally:
            stop.set()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        at_once(change, use, use)
    finally:
        sys.setswitchinterval(interval)


def test_loads_beside_a_first_import(pkg: Package) -> None:
    """A module another thread is in the middle of is not taken away."""
    pkg.put(init="", mod="", slow="")
    pkg.load()
    begun, go_on = threading.Event(), threading.Event()
    builtins.events = begun, go_on  # type: ignore[attr-defined]
    pkg.put(
        mod="V = 2",
        slow="import builtins\nbegun, go_on = builtins.events\n"
        f"begun.set()\nassert go_on.wait({PATIENCE})\nV = 1",
    )

    def first() -> None:
        importlib.import_module(f"{pkg.name}.slow")

    def load() -> None:
        assert begun.wait(PATIENCE)
        threading.Timer(0.05, go_on.set).start()
        assert pkg.load().V == 2

    at_once(first, load, first)
    del builtins.events  # type: ignore[attr-defined]


def test_a_lock_of_one_package_is_not_that_of_another(pkg: Package) -> None:
    """A module whose import hangs holds up its own package only."""
    pkg.put(init="", mod="")
    other = Package(pkg.folder)
    other.put(init="", mod="")
    with fresh._lock(other.name):
        at_once(pkg.load)


def test_old_modules_are_collected(pkg: Package) -> None:
    pkg.put(init="from . import near", mod=MOD + "class C: pass", near="V = 0")
    old: list[weakref.ref[Any]] = []
    for number in range(1, 1001):
        pkg.put(near=f"V = {number}" if number % 3 else "1 / 0")
        if number % 3 == 0:
            with pytest.raises(ZeroDivisionError):
                pkg.load()
            continue
        module = pkg.load()
        old += [weakref.ref(module), weakref.ref(module.near)]
    del module
    gc.collect()
    alive = [ref() for ref in old if ref() is not None]
    assert alive == [pkg["mod"], pkg["near"]]
