# SPDX-License-Identifier: BSD-2-Clause
"""`module?`: imports it, and its package, from source where that has changed.

A package is imported anew as a whole, so that no runtime mixes two versions of
it: its modules leave sys.modules, and the one that was asked for and those
that have changed are imported into new module objects. The old ones are never
written to: who has them goes on with them. When anything fails, sys.modules
has them back.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.abc
import importlib.util
import os
import sys
from _thread import LockType, allocate_lock
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import ModuleType
from typing import Any, TypeVar

from .imports import Finder, prepare

T = TypeVar("T")
Undo = Callable[[], None]
Modules = dict[str, Any]  # whatever modules put into sys.modules
Sources = dict[str, tuple[str, bytes]]  # by module: file, hash of its content

MISSING = object()

_locks: dict[str, LockType] = {}

# What has been executed of the packages that `?` has been used for.
_executed: dict[str, Sources] = {}


def load_fresh(
    name: str, pick: Callable[[Any], T], again: bool = False
) -> tuple[T, Undo]:
    """What pick makes of the module, imported afresh where it has changed.

    again: execute it in any case. Raises what the import and pick raise;
    nothing has changed then. The second result takes the import back, unless
    another one has followed.
    """
    top = _top(name)
    with _lock(top):
        _executed.setdefault(top, {})
        importlib.invalidate_caches()
        prepare(name)
        _finder.install()
        _wait_for_imports(top)
        before = _Before(top)
        changed, old = before.outdated(name, again)
        try:
            for module in old:
                del sys.modules[module]
            importlib.import_module(name)
            for module in changed:
                with _unless_gone(module):
                    importlib.import_module(module)
            before.link_kept(old)
            before.restore_shadow(name)
            picked = pick(sys.modules[name])
        except BaseException:
            before.restore()
            raise
        after = _loaded(top)

    def undo() -> None:
        with _lock(top):
            if all(sys.modules.get(n) is m for n, m in after.items()):
                before.restore()

    return picked, undo


def load_cached(name: str) -> Any:
    """The module as an import gives it, when no load of it is under way."""
    with _lock(_top(name)):
        importlib.invalidate_caches()
        prepare(name)
        return importlib.import_module(name)


class _Before:
    """A package as it was before a load."""

    def __init__(self, top: str) -> None:
        self._top = top
        self._modules = _loaded(top)
        self._executed = _executed[top].copy()
        self._attributes = {
            name: dict(vars(module))
            for name, module in self._modules.items()
            if isinstance(module, ModuleType)
        }

    def outdated(self, name: str, again: bool) -> tuple[list[str], list[str]]:
        """Those that have changed, and those that make place for new ones."""
        members = _members(self._modules, name)
        changed = [n for n in members if self._changed(n)]
        if changed:
            return changed, members
        return [], [name] if again and name in members else []

    def _changed(self, name: str) -> bool:
        """Whether its file is not what was executed; SyntaxError, ValueError.

        Of one that an import without `?` has brought nobody knows.
        """
        if name not in self._executed:
            spec = _spec(self._modules[name])
            return spec is not None and spec.name == name and bool(spec.origin)
        file, digest = self._executed[name]
        try:
            source = _read(file)
        except OSError:
            return True
        if importlib.util.source_hash(source) == digest:
            return False
        compile(source, file, "exec", dont_inherit=True)
        return True

    def restore(self) -> None:
        _wait_for_imports(self._top)
        loaded = _loaded(self._top)
        for name in loaded.keys() - self._modules.keys():
            del sys.modules[name]
        sys.modules.update(self._modules)
        _executed[self._top] = self._executed.copy()
        for name in {**loaded, **self._modules}:
            self._restore_attribute(name)

    def link_kept(self, old: list[str]) -> None:
        """Make modules that stay attributes of packages that are new."""
        for name in self._modules.keys() - set(old):
            parent, _, child = name.rpartition(".")
            package = sys.modules.get(parent)
            if parent in old and isinstance(package, ModuleType):
                vars(package).setdefault(child, self._modules[name])

    def restore_shadow(self, name: str) -> None:
        """A package that stays may use a module's name for something else."""
        parent, _, child = name.rpartition(".")
        was = self._attributes.get(parent, {}).get(child, MISSING)
        if was is not MISSING and was is not self._modules.get(name):
            self._restore_attribute(name)

    def _restore_attribute(self, name: str) -> None:
        parent, _, child = name.rpartition(".")
        if parent not in self._attributes:
            return
        package = self._modules[parent]
        was = self._attributes[parent].get(child, MISSING)
        if was is not MISSING:
            setattr(package, child, was)
        elif child in vars(package):
            delattr(package, child)


# ---- which modules


def _top(name: str) -> str:
    return name.partition(".")[0]


def _lock(top: str) -> LockType:
    return _locks.setdefault(top, allocate_lock())


def _loaded(top: str) -> Modules:
    """The package's part of sys.modules."""
    return {
        name: module
        for name, module in sys.modules.copy().items()
        if _top(name) == top
    }


def _wait_for_imports(top: str) -> None:
    """Until other threads are through with those that they have begun.

    What one is in the middle of must not be taken away from it.
    """
    for name, module in _loaded(top).items():
        if getattr(_spec(module), "_initializing", False):
            with contextlib.suppress(BaseException):
                importlib.import_module(name)


def _members(loaded: Modules, name: str) -> list[str]:
    """Those that are replaced with the module of that name.

    They stand below the same directory as it does, which counts where the
    package is a namespace, and have been made from source, or by such code.
    """
    root = _root(loaded, name)
    return [n for n, m in loaded.items() if _is_member(n, m, root)]


def _root(loaded: Modules, name: str) -> str:
    top, *rest = name.split(".")
    for directory in getattr(loaded.get(top), "__path__", ()):
        path = os.path.join(directory, *rest)
        if os.path.exists(path) or os.path.exists(path + ".py"):
            return os.path.join(directory, "")
    return ""


def _is_member(name: str, module: Any, root: str) -> bool:
    spec = _spec(module)
    if spec is None or spec.name != name:
        return True
    if spec.origin is not None:
        is_source = isinstance(spec.loader, importlib.abc.SourceLoader)
        return is_source and spec.origin.startswith(root)
    places = spec.submodule_search_locations or ()
    return any(os.path.join(p, "").startswith(root) for p in places)


def _spec(module: Any) -> ModuleSpec | None:
    spec = getattr(module, "__spec__", None)
    return spec if isinstance(spec, ModuleSpec) else None


@contextlib.contextmanager
def _unless_gone(name: str) -> Iterator[None]:
    """A module whose file has been deleted is imported by nobody."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or not (name + ".").startswith(error.name + "."):
            raise


# ---- how they are imported


def _read(file: str) -> bytes:
    with open(file, "rb") as opened:
        return opened.read()


class _Loader(SourceFileLoader):
    """Goes past bytecode, and keeps in mind what source it has executed."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        # of a package whose other modules stay, as extension modules do
        module = ModuleType(spec.name)
        for name, kept in sys.modules.copy().items():
            parent, _, child = name.rpartition(".")
            if parent == spec.name:
                setattr(module, child, kept)
        return module

    def exec_module(self, module: ModuleType) -> None:
        source = _read(self.path)
        digest = importlib.util.source_hash(source)
        _executed[_top(self.name)][self.name] = self.path, digest
        exec(self.source_to_code(source, self.path), vars(module))


class _Finder(Finder):
    """Gives the modules of some packages their _Loader."""

    def minds(self, name: str) -> bool:
        return _top(name) in _executed

    def change(self, spec: ModuleSpec) -> None:
        loader = spec.loader
        if type(loader) is SourceFileLoader:
            spec.loader = _Loader(loader.name, loader.path)


_finder = _Finder()
