# SPDX-License-Identifier: BSD-2-Clause
"""Which callable answers which method."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ._body import AsyncBodyReader, BodyReader, Reader, reader_of
from ._unload import Callbacks, callbacks_var


@dataclass(frozen=True)
class Handlers:
    """What answers the calls of one runtime.

    function answers every method; where it is None, methods says by name
    ("" is rt(request)). A class with __call__ alone has a function.
    coroutines are those that are `async def`. readers says with what those
    are called that read their request in parts. close is to be called at the
    end.
    """

    function: Callable[..., Any] | None
    methods: dict[str, Callable[..., Any]] | None
    coroutines: frozenset[Callable[..., Any]]
    readers: dict[Callable[..., Any], Reader]
    close: Callable[[], Any] | None


def is_asynchronous(target: Any) -> bool:
    """Whether a target of `serve` needs an event loop."""
    if not inspect.isclass(target):
        return is_coroutine(target)
    names = method_names(target)
    if defines(target, "close"):
        names.append("close")
    return any(_is_async(getattr(target, name)) for name in names)


def resolve(target: Any, config: str) -> Handlers:
    """The handlers of a target; makes the instance of a class.

    Raises what the class's __init__ raises, and what method_names raises.
    """
    if not inspect.isclass(target):
        return _handlers({"": target}, True, None)
    names = method_names(target)
    make: Any = target
    instance = make(config) if _takes_config(target) else make()
    methods = {
        "" if name == "__call__" else name: getattr(instance, name)
        for name in names
    }
    one = len(methods) == 1 and "" in methods
    return _handlers(methods, one, getattr(instance, "close", None))


def _handlers(
    methods: dict[str, Callable[..., Any]],
    one: bool,
    close: Callable[[], Any] | None,
) -> Handlers:
    """one: whether there is one for all names."""
    readers = {name: reader_of(method) for name, method in methods.items()}
    coroutines = {n for n, method in methods.items() if is_coroutine(method)}
    for name, reader in readers.items():
        what = getattr(methods[name], "__qualname__", name)
        if reader is BodyReader and name in coroutines:
            raise TypeError(
                f"{what} is asynchronous and takes a BodyReader, which"
                " blocks: declare an AsyncBodyReader"
            )
        if reader is AsyncBodyReader and not coroutines:
            raise TypeError(
                f"{what} takes an AsyncBodyReader, which needs an event loop:"
                " declare a BodyReader"
            )
    methods = {
        name: _awaitable(method) if _is_generator(method) else method
        for name, method in methods.items()
    }
    return Handlers(
        methods[""] if one else None,
        None if one else methods,
        frozenset(methods[name] for name in coroutines),
        {methods[n]: reader for n, reader in readers.items() if reader},
        close,
    )


def _awaitable(method: Callable[..., Any]) -> Callable[..., Any]:
    """A coroutine function that returns an asynchronous generator."""

    async def call(request: Any) -> Any:
        return method(request)

    return call


def resolve_async(target: Any, config: str) -> tuple[Handlers, Callbacks]:
    """The same in an event loop; and what `on_unload` has been given."""
    callbacks: Callbacks = []
    token = callbacks_var.set(callbacks)
    try:
        return resolve(target, config), callbacks
    finally:
        callbacks_var.reset(token)


def is_coroutine(function: Any) -> bool:
    """Also of an instance whose class has `async def __call__`."""
    return _is_async(function) or _is_async(type(function).__call__)


def _is_generator(function: Any) -> bool:
    """The same, of one that yields."""
    return inspect.isasyncgenfunction(function) or inspect.isasyncgenfunction(
        type(function).__call__
    )


def _is_async(function: Any) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(
        function
    )


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
