# SPDX-License-Identifier: BSD-2-Clause
"""Which interface an application has: ASGI 3, or WSGI."""

from __future__ import annotations

import functools
import inspect
from typing import Any

ASGI, WSGI = "asgi", "wsgi"


def find_interface(app: Any, said: str = "") -> str:
    """ASGI or WSGI; TypeError where it has neither, or that cannot be told.

    said: which of them it has, as its user knows; "": nobody does.
    """
    try:
        signature = inspect.signature(app)
    except (TypeError, ValueError):
        # one in C, perhaps
        if not said and not _is_async(app):
            raise TypeError(f"its signature cannot be had: {_SAY}") from None
        return said or ASGI
    three = _takes(signature, 3)
    if _takes(signature, 1) and not three and not _takes(signature, 2):
        raise TypeError(
            "it takes a scope alone, as in ASGI 2; asgiref.compatibility."
            "guarantee_single_callable() makes ASGI 3 of it"
        )
    if said:
        return said
    if _is_async(app):
        if three:
            return ASGI
        raise TypeError(
            f"it does not take (scope, receive, send): {_show(signature)}"
        )
    kinds = {parameter.kind for parameter in signature.parameters.values()}
    two = _takes(signature, 2)
    if two and three and inspect.Parameter.VAR_POSITIONAL in kinds:
        raise TypeError(f"it takes any arguments, {_show(signature)}: {_SAY}")
    if two:
        return WSGI
    if three:
        return ASGI
    what = "the class " if isinstance(app, type) else ""
    raise TypeError(
        f"{what}takes neither (scope, receive, send) nor"
        f" (environ, start_response): {_show(signature)}"
        f"{_FACTORY if _takes(signature, 0) else ''}"
    )


_SAY = "python_pass has to say asgi, or wsgi"
_FACTORY = "; with () behind its name, what it returns is the application"

# Characters of a signature: those of some classes have their documentation.
SHOWN = 80


def _show(signature: inspect.Signature) -> str:
    text = " ".join(str(signature).split())
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _takes(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*range(count))
    except TypeError:
        return False
    return True


def _is_async(app: Any) -> bool:
    """Whether a call gives a coroutine, as far as can be seen."""
    while isinstance(app, functools.partial):
        app = app.func
    called = app if _is_function(app) else type(app).__call__
    return any(
        inspect.iscoroutinefunction(function)
        for function in (app, called, inspect.unwrap(called))
    )


def _is_function(app: Any) -> bool:
    return inspect.isroutine(app) or hasattr(app, "__wrapped__")
