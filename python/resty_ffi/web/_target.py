# SPDX-License-Identifier: BSD-2-Clause
"""Finds the application that nginx.conf names."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl


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

    def load(self) -> Any:
        """The application; raises what its import or factory raises."""
        if self.directory and self.directory not in sys.path:
            sys.path.insert(0, self.directory)
        found: Any = importlib.import_module(self.module)
        for name in self.attribute.split("."):
            found = getattr(found, name)
        if not callable(found):
            kind = type(found).__name__
            raise TypeError(f"{self.name} is {kind}, which cannot be called")
        return found() if self.factory else found

    def is_asgi(self, app: Any) -> bool:
        """Whether to call it as ASGI has it, and not as WSGI has it."""
        if self.interface:
            return self.interface == "asgi"
        call = app if inspect.isroutine(app) else type(app).__call__
        if inspect.iscoroutinefunction(inspect.unwrap(call)):
            return True
        try:
            parameters = inspect.signature(app).parameters.values()
        except (TypeError, ValueError):
            return False
        places = [
            p
            for p in parameters
            if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
            and p.default is p.empty
        ]
        return len(places) == 3


def set_home() -> None:
    """HOME, of the user that the worker runs as, where nginx took it away."""
    if "HOME" not in os.environ:
        os.environ["HOME"] = os.path.expanduser("~")
