# SPDX-License-Identifier: BSD-2-Clause
"""Imports that are not in a worker what they are elsewhere."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any, NoReturn


class Finder(importlib.abc.MetaPathFinder):
    """Changes what the finders behind it find."""

    def minds(self, name: str) -> bool:
        raise NotImplementedError

    def change(self, spec: ModuleSpec) -> None:
        raise NotImplementedError

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        if not self.minds(fullname):
            return None
        for finder in sys.meta_path[sys.meta_path.index(self) + 1 :]:
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                self.change(spec)
                return spec
        return None

    def install(self) -> None:
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)


class _OfWorker(Finder):
    def minds(self, name: str) -> bool:
        return name in changes

    def change(self, spec: ModuleSpec) -> None:
        changes[spec.name](spec)


finder = _OfWorker()


def after_execution(
    change: Callable[[ModuleType], None],
) -> Callable[[ModuleSpec], None]:
    """Of a module itself, when it has been executed."""

    def change_spec(spec: ModuleSpec) -> None:
        loader: Any = spec.loader
        if isinstance(loader, type):
            return  # one for all built-in modules
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            if module.__name__ == spec.name:  # its loader may have others
                change(module)

        loader.exec_module = exec_module

    return change_spec


def prepare(name: str) -> None:
    """Before a module of that name is imported for a load; its lock held."""
    finder.install()
    _renew_namespace(name.partition(".")[0])


# ---- ffi: what a user has of that name, and what comes with this


def _add_ours(spec: ModuleSpec) -> None:
    """Add our `ffi` to a user's package of that name, or to a file ffi.py.

    A package without __init__.py finds it by itself.
    """
    ours = importlib.util.find_spec("resty_ffi")
    if _is_namespace(spec) or ours is None or ours.origin is None:
        return
    places = list(spec.submodule_search_locations or ())
    folder = os.path.dirname(os.path.dirname(ours.origin))
    places.append(os.path.join(folder, "ffi"))
    spec.submodule_search_locations = places


def _renew_namespace(top: str) -> None:
    """Have a package that sys.path has now in the place of a namespace.

    Python would not look for it any more; `ffi` is one as soon as one of ours
    has been imported.
    """
    module = sys.modules.get(top)
    if module and _is_namespace(getattr(module, "__spec__", None)):
        found = PathFinder.find_spec(top)
        if found is not None and not _is_namespace(found):
            importlib.reload(module)


def _is_namespace(spec: ModuleSpec | None) -> bool:
    if spec is None or spec.submodule_search_locations is None:
        return False
    return spec.origin is None


# ---- who patches Python for the whole process


def _refuse_patches(module: ModuleType) -> None:
    """Have a module's functions for that raise RuntimeError.

    In a worker's threads, those of other runtimes among them, patched locks
    deadlock, and the import that patches cannot end.
    """
    for name in vars(module).copy():
        if name.startswith(("patch_", "monkey_patch")):
            setattr(module, name, _refusal(module.__name__))


def _refusal(library: str) -> Callable[..., NoReturn]:
    def refuse(*args: object, **kwargs: object) -> NoReturn:
        raise RuntimeError(
            f"{library} would patch the threads, locks and sockets of all that"
            " runs in this nginx worker"
        )

    return refuse


# By the module's name; others add theirs.
changes: dict[str, Callable[[ModuleSpec], None]] = {
    "ffi": _add_ours,
    "gevent.monkey": after_execution(_refuse_patches),
    "eventlet.patcher": after_execution(_refuse_patches),
}
