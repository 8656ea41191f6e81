# SPDX-License-Identifier: BSD-2-Clause
"""Which callable answers which method."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ._unload import Callbacks, callbacks_var


@dataclass(frozen=True)
class Handlers:
    """What answers the calls of one runtime.

    function answers every method; where it is None, methods says by name
    ("" is rt(request)). A class with __call__ alone has a function.
    coroutines are those that are `async def`. close is to be called at the
    end.
    """

    function: Callable[..., Any] | None
    methods: dict[str, Callable[..., Any]] | None
    coroutines: frozenset[Callable[..., Any]]
    close: Callable[[], Any] | None


def is_asynchronous(target: Any) -> bool:
    """Whether a target of `serve` needs an event loop."""
    if not inspect.isclass(target):
        return _is_coroutine(target)
    names = method_names(target)
    if defines(target, "close"):
        names.append("close")
    return any(
        inspect.iscoroutinefunction(getattr(target, name)) for name in names
    )


def resolve(target: Any, config: str) -> Handlers:
    """The handlers of a target; makes the instance of a class.

    Raises what the class's __init__ raises, and what method_names raises.
    """
    if not inspect.isclass(target):
        is_async = _is_coroutine(target)
        return Handlers(
            target, None, frozenset([target] if is_async else []), None
        )
    names = method_names(target)
    make: Any = target
    instance = make(config) if _takes_config(target) else make()
    methods = {
        "" if name == "__call__" else name: getattr(instance, name)
        for name in names
    }
    only = methods.get("") if len(methods) == 1 else None
    return Handlers(
        only,
        None if only else methods,
        frozenset(filter(inspect.iscoroutinefunction, methods.values())),
        getattr(instance, "close", None),
    )


def resolve_async(target: Any, config: str) -> tuple[Handlers, Callbacks]:
    """The same in an event loop; and what `on_unload` has been given."""
    callbacks: Callbacks = []
    token = callbacks_var.set(callbacks)
    try:
        return resolve(target, config), callbacks
    finally:
        callbacks_var.reset(token)


def _is_coroutine(function: Any) -> bool:
    """Also of an instance whose class has `async def __call__`."""
    return inspect.iscoroutinefunction(
        function
    ) or inspect.iscoroutinefunction(type(function).__call__)


def defines(cls: type, name: str) -> bool:
    """Whether a class or a base of it has an attribute, for instances."""
    return any(name in vars(base) for base in cls.__mro__)


def method_names(cls: type) -> list[str]:
    """What Lua can call; TypeError where that is nothing."""
    names = [
        name
        for name in dir(cls)
        if not name.startswith("_")
        and name != "close"
        and callable(getattr(cls, name))
        and not inspect.isclass(getattr(cls, name))
    ]
    if defines(cls, "__call__"):
        names.append("__call__")
    if not names:
        raise TypeError(f"{cls.__name__} has no public method to call")
    return names


def _takes_config(cls: type) -> bool:
    try:
        parameters = inspect.signature(cls).parameters
    except (TypeError, ValueError):
        return False
    return bool(parameters)
