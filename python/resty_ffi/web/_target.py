# SPDX-License-Identifier: BSD-2-Clause
"""Finds the application that nginx.conf names."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from types import ModuleType
from typing import Any
from urllib.parse import parse_qsl

from ._interface import find_interface


@dataclass(frozen=True)
class Target:
    """What `python_pass [/dir/]module:attr [asgi|wsgi] [name=…]` says.

    attribute: dotted; called without arguments where factory is set.
    interface: "asgi", "wsgi", or "": to be found out.
    """

    directory: str
    module: str
    attribute: str
    factory: bool
    interface: str
    name: str

    @classmethod
    def parse(cls, options: str) -> Target:
        """Of a query string, with app, interface and name; as nginx makes."""
        said = dict(parse_qsl(options, keep_blank_values=True))
        app = said["app"]
        directory, _, path = app.rpartition("/")
        module, _, attribute = path.partition(":")
        factory = attribute.endswith("()")
        return cls(
            directory or ("/" if app.startswith("/") else ""),
            module,
            attribute.removesuffix("()"),
            factory,
            said.get("interface", ""),
            said.get("name") or path,
        )

    def load(self) -> tuple[Any, str]:
        """The application, and its interface.

        Raises what its import or factory raises; TypeError where it is none.
        """
        if self.directory and self.directory not in sys.path:
            sys.path.insert(0, self.directory)
        found: Any = _import(self.module)
        for name in self.attribute.split("."):
            found = getattr(found, name)
        _check(found)
        if self.factory:
            found = found()
            _check(found)
        return found, find_interface(found, self.interface)


def _import(name: str) -> ModuleType:
    """With no frames of importlib's in the traceback, as `import` has it."""
    try:
        __import__(name)
    except ModuleNotFoundError as error:
        hint = _hint(name, error.name)
        if hint:
            error.msg = f"{error.msg}; {hint}"
        raise
    return sys.modules[name]


def _hint(wanted: str, missing: str | None) -> str:
    """Why a module may be missing, and what to do."""
    if not missing:
        return ""
    if wanted != missing and not wanted.startswith(f"{missing}."):
        return f"the packages are those of {sys.prefix}"
    if wanted.endswith(".py"):
        return f"a module's name has no .py: {wanted.removesuffix('.py')}"
    package = missing.rpartition(".")[0]
    places = sys.path
    if package:
        places = getattr(sys.modules.get(package), "__path__", [])
    return f"it is not in {', '.join(places)}" if places else ""


def _check(found: Any) -> None:
    if not callable(found):
        kind = type(found).__name__
        raise TypeError(f"{kind!r} object is not callable")
