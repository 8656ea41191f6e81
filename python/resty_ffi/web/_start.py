# SPDX-License-Identifier: BSD-2-Clause
"""Starts a web application's runtime, on the thread that is to serve it."""

from __future__ import annotations

import functools
from collections.abc import Callable

from .._context import Base
from .._loader.errors import failed
from .._loader.speaker import name_var
from .._native import native
from .._options import Options
from ._asgi import Asgi
from ._interface import ASGI
from ._target import Target
from ._wsgi import Wsgi

THREADS = 0


def start(config: str, tq: int) -> Callable[[], None]:
    """LoadError where the application's import, or its start, fails."""
    target = Target.parse(config)
    name_var.set(target.name)
    try:
        native.watch_fatal()
        runtime = _make(target, tq)
        runtime.open()
    except BaseException as error:
        raise failed(target.name, error) from error
    return functools.partial(runtime.base.copy().run, runtime.run)


def _make(target: Target, tq: int) -> Asgi | Wsgi:
    app, interface = target.load()
    Base.renew_here()
    options = Options()
    if interface == ASGI:
        return Asgi(app, target.name, "", tq, 1, options)
    threads = int(native.option(tq, THREADS, 8))
    return Wsgi(app, target.name, "", tq, threads, options)
