"""`module?`: imports it from its source, and its package where that changed.

Compiled into libffi_python3.so, beside _bootstrap.py.

What is replaced, and when. A package is imported anew as a whole, so that no
runtime mixes two versions of it: where a loaded module of it differs from its
file, all that are loaded leave sys.modules, and the one that was asked for
and those that have changed are imported into new module objects. Where none
has changed, only the one that was asked for is. The old objects are never
written to: who has them goes on with them. When anything fails, sys.modules
has the old ones back.

Who sees what. The new code finds itself in sys.modules while it runs
(dataclasses and pickle need that), so the old modules cannot be there as
well: until the load has succeeded, `import` statements of anybody but the new
code still give the old. Those of old modules do so for ever.
"""

from __future__ import annotations

import builtins
import contextlib
import importlib
import importlib.abc
import importlib.util
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import FrameType, ModuleType
from typing import Any, TypeVar

T = TypeVar("T")
Undo = Callable[[], None]
Modules = dict[str, Any]  # whatever modules put into sys.modules

SETTLED_S = 10.0
IMPORTS_S = 1.0
MISSING = object()

# of modules that have been replaced: by name, what was there beside them
VERSION = "__resty_ffi_version__"

_locks: dict[str, threading.Lock] = {}
_tops: set[str] = set()


def load(
    name: str, pick: Callable[[Any], T], again: bool = False
) -> tuple[T, Undo]:
    """What pick makes of the module, imported afresh where it has changed.

    again: execute it in any case. Raises what the import and pick raise;
    nothing has changed then. The second result takes the import back, unless
    another one has followed.
    """
    top = _top(name)
    with _lock(top):
        _watch(top)
        importlib.invalidate_caches()
        with _view_of(top) as view:
            change = _Change(name, top, again)
            while not view.shows(change.before, change.old):
                change = _Change(name, top, again)
            try:
                change.run()
                picked = pick(sys.modules[name])
            except BaseException:
                change.undo()
                raise
            change.mark_old()
        after = _loaded(top)

    def undo() -> None:
        with _lock(top):
            now = {name: sys.modules.get(name) for name in after}
            if _same(now, after):
                change.undo()

    return picked, undo


def load_cached(name: str) -> Any:
    """The module as an import gives it, when no load of it is under way."""
    with _lock(_top(name)):
        importlib.invalidate_caches()
        return importlib.import_module(name)


class _Change:
    """The replacement of the old ones of those that were there before."""

    def __init__(self, name: str, top: str, again: bool) -> None:
        self._name = name
        self._top = top
        self.before = _settled(top)
        for n in self.before:
            if _is_initializing(self.before[n]):
                raise ImportError(f"{n} is still being imported", name=n)
        members = _members(self.before, name)
        self._changed = [n for n, m in members.items() if _changed(n, m)]
        if self._changed:
            self.old = members
        elif again:
            self.old = {n: m for n, m in members.items() if n == name}
        else:
            self.old = {}
        self._attributes = {
            name: dict(vars(module))
            for name, module in self.before.items()
            if name not in self.old and isinstance(module, ModuleType)
        }

    def run(self) -> None:
        for name in self.old:
            del sys.modules[name]
        importlib.import_module(self._name)
        for name in self._changed:
            with _unless_gone(name):
                importlib.import_module(name)
        self._link_kept()
        self._restore_shadow()

    def mark_old(self) -> None:
        for module in self.old.values():
            if isinstance(module, ModuleType):
                vars(module)[VERSION] = self.before

    def undo(self) -> None:
        for module in self.old.values():
            if isinstance(module, ModuleType):
                vars(module).pop(VERSION, None)
        _wait_for_imports()
        loaded = _settled(self._top)
        for name in loaded:
            if name not in self.before:
                del sys.modules[name]
        sys.modules.update(self.before)
        for name in {**loaded, **self.before}:
            self._restore_attribute(name)

    def _link_kept(self) -> None:
        """Make kept modules attributes of packages that are new."""
        for name, module in self.before.items():
            parent, _, child = name.rpartition(".")
            if parent in self.old and name not in self.old:
                package = sys.modules.get(parent)
                if isinstance(package, ModuleType):
                    vars(package).setdefault(child, module)

    def _restore_shadow(self) -> None:
        """A kept package may use the module's name for something else."""
        parent, _, child = self._name.rpartition(".")
        if self._name in self.old and parent in self._attributes:
            was = self._attributes[parent].get(child)
            if was is not self.old[self._name]:
                self._restore_attribute(self._name)

    def _restore_attribute(self, name: str) -> None:
        parent, _, child = name.rpartition(".")
        if parent not in self._attributes:
            return
        package = self.before[parent]
        was = self._attributes[parent].get(child, MISSING)
        if was is not MISSING:
            setattr(package, child, was)
        elif child in vars(package):
            delattr(package, child)


# ---- which modules


def _top(name: str) -> str:
    return name.partition(".")[0]


def _lock(top: str) -> threading.Lock:
    return _locks.setdefault(top, threading.Lock())


def _loaded(top: str) -> Modules:
    """The package's part of sys.modules."""
    return {
        name: module
        for name, module in sys.modules.copy().items()
        if _top(name) == top
    }


def _same(one: Modules, other: Modules) -> bool:
    """Whether they hold the same objects."""
    return {n: id(m) for n, m in one.items()} == {
        n: id(m) for n, m in other.items()
    }


def _settled(top: str) -> Modules:
    """The same, when no thread is in the middle of importing any of it."""
    end = time.monotonic() + SETTLED_S
    while True:
        loaded = _loaded(top)
        busy = any(map(_is_initializing, loaded.values()))
        if not busy or time.monotonic() > end:
            return loaded
        time.sleep(0.001)


def _is_initializing(module: Any) -> bool:
    return bool(getattr(_spec(module), "_initializing", False))


def _members(loaded: Modules, name: str) -> Modules:
    """Those that are replaced with the module of that name.

    They stand below the same directory as it does, which counts where the
    package is a namespace, and have been made from source, or by such code.
    """
    root = _root(loaded, name)
    return {n: m for n, m in loaded.items() if _is_member(n, m, root)}


def _root(loaded: Modules, name: str) -> str | None:
    top, *rest = name.split(".")
    for directory in getattr(loaded.get(top), "__path__", ()):
        path = os.path.join(directory, *rest)
        if os.path.exists(path) or os.path.exists(path + ".py"):
            return os.path.join(directory, "")
    return None


def _is_member(name: str, module: Any, root: str | None) -> bool:
    spec = _spec(module)
    if spec is None or spec.name != name:
        return True
    if isinstance(spec.loader, importlib.abc.SourceLoader):
        return root is None or (spec.origin or "").startswith(root)
    if spec.origin is not None or root is None:
        return False
    places = spec.submodule_search_locations or ()
    return any(os.path.join(p, "").startswith(root) for p in places)


def _spec(module: Any) -> ModuleSpec | None:
    spec = getattr(module, "__spec__", None)
    return spec if isinstance(spec, ModuleSpec) else None


def _changed(name: str, module: Any) -> bool:
    """Whether its file is not what was executed; SyntaxError, ValueError."""
    spec = _spec(module)
    if spec is None or spec.name != name or spec.origin is None:
        return False
    seen = spec.loader.seen if isinstance(spec.loader, _Loader) else None
    try:
        with open(spec.origin, "rb") as file:
            source = file.read()
    except OSError:
        return True
    if importlib.util.source_hash(source) == seen:
        return False
    if isinstance(spec.loader, importlib.abc.SourceLoader):
        spec.loader.source_to_code(source, spec.origin)
    return True


@contextlib.contextmanager
def _unless_gone(name: str) -> Iterator[None]:
    """A module whose file has been deleted is imported by nobody."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or not (name + ".").startswith(error.name + "."):
            raise


# ---- how they are imported


class _Loader(SourceFileLoader):
    """Goes past bytecode, and keeps in mind what source it has executed."""

    seen: bytes | None = None

    def path_stats(self, path: Any) -> Mapping[str, Any]:
        raise OSError("bytecode is not used")

    def get_data(self, path: Any) -> bytes:
        data = super().get_data(path)
        if self.seen is None and path == self.path:
            self.seen = importlib.util.source_hash(data)
        return data

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = ModuleType(spec.name)
        for name, kept in sys.modules.copy().items():
            parent, _, child = name.rpartition(".")
            if parent == spec.name:
                setattr(module, child, kept)
        return module


class _Finder(importlib.abc.MetaPathFinder):
    """Gives the modules of some packages their _Loader."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        if _top(fullname) not in _tops:
            return None
        others = sys.meta_path[sys.meta_path.index(self) + 1 :]
        for finder in others:
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                if type(spec.loader) is SourceFileLoader:
                    loader = spec.loader
                    spec.loader = _Loader(loader.name, loader.path)
                return spec
        return None


_finder = _Finder()


def _watch(top: str) -> None:
    _tops.add(top)
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)


# ---- what others see meanwhile

_views_lock = threading.Lock()
_views: list[_View] = []  # another list whenever it changes


class _View:
    """What import statements give while the thread that made it imports."""

    def __init__(self, top: str) -> None:
        self.thread = threading.get_ident()
        self._top = top
        self._before: Modules = {}

    def shows(self, before: Modules, old: Modules) -> bool:
        """Give others the old ones; False if before is not all there is.

        When it returns, no other thread imports them in another way.
        """
        global _views
        with _views_lock:
            self._before = before if old else {}
            _views = _views.copy()
        if old:
            _wait_for_imports()
        return _same(_loaded(self._top), before)

    def seen_by(self, importer: Mapping[str, Any]) -> Modules:
        return {} if self._is_new(importer) else self._before

    def _is_new(self, importer: Mapping[str, Any]) -> bool:
        if threading.get_ident() == self.thread:
            return True
        name = str(importer.get("__name__"))
        now, before = sys.modules.get(name), self._before.get(name)
        return now is not before and getattr(now, "__dict__", 0) is importer


@contextlib.contextmanager
def _view_of(top: str) -> Iterator[_View]:
    global _views
    view = _View(top)
    if not _loaded(top):
        yield view
        return
    with _views_lock:
        _install()
        _views = [*_views, view]
    try:
        yield view
    finally:
        with _views_lock:
            _views = [v for v in _views if v is not view]


def _wait_for_imports() -> None:
    """Until those of other threads are through that are under way."""
    me = threading.get_ident()
    end = time.monotonic() + IMPORTS_S
    while any(
        thread != me and _is_in_machinery(frame)
        for thread, frame in sys._current_frames().items()
    ):
        if time.monotonic() > end:
            break
        time.sleep(0.001)


def _is_in_machinery(frame: FrameType | None) -> bool:
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith("<frozen importlib."):
            return True
        if file != load.__code__.co_filename:
            break
        frame = frame.f_back
    return False


# ---- the import statement

_original: Callable[..., Any] | None = None


def _install() -> None:
    """From the first replacement of a module on."""
    global _original
    if _original is None:
        _original = builtins.__import__
        builtins.__import__ = _import


def _import(
    name: str,
    globals: Mapping[str, Any] | None = None,
    locals: Mapping[str, Any] | None = None,
    fromlist: Sequence[str] | None = (),
    level: int = 0,
) -> Any:
    assert _original is not None
    while True:
        views = _views
        if views or (globals and VERSION in globals):
            module = _find_old(name, globals or {}, fromlist, level)
            if module is not None:
                return module
        try:
            module = _original(name, globals, locals, fromlist, level)
        except BaseException:
            if _holds(views):
                raise
        else:
            if _holds(views):
                return module


def _holds(views: list[_View]) -> bool:
    """Whether what was imported under these views is right still."""
    if views is _views:
        return True
    me = threading.get_ident()
    return any(view.thread == me for view in views)


def _find_old(
    name: str,
    importer: Mapping[str, Any],
    fromlist: Sequence[str] | None,
    level: int,
) -> Any:
    """What an import gives that must not give what is in sys.modules."""
    name = _absolute(importer.get("__package__") or "", name, level)
    modules = importer.get(VERSION, {})
    for view in _views:
        if name not in modules:
            modules = view.seen_by(importer)
    module = modules.get(name)
    if module is None:
        return None
    if not fromlist:
        return modules.get(_top(name))
    there = (n == "*" or hasattr(module, n) for n in fromlist)
    return module if all(there) else None


def _absolute(package: str, name: str, level: int) -> str:
    if not level:
        return name
    parts = package.split(".")
    parts = parts[: len(parts) - level + 1]
    return ".".join([*parts, name] if name else parts)
