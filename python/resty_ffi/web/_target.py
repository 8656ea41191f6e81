# SPDX-License-Identifier: BSD-2-Clause
"""Finds the application that nginx.conf names."""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
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
        found: Any = importlib.import_module(self.module)
        for name in self.attribute.split("."):
            found = getattr(found, name)
        _check(found)
        if self.factory:
            found = found()
            _check(found)
        return found, find_interface(found, self.interface)


def _check(found: Any) -> None:
    if not callable(found):
        kind = type(found).__name__
        raise TypeError(f"{kind!r} object is not callable")
