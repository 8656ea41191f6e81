# SPDX-License-Identifier: BSD-2-Clause
"""`serve`, which makes handlers of functions and classes."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, overload

T = TypeVar("T", bound=Callable[..., Any])


@dataclass(frozen=True)
class Options:
    """How a handler wants to be called; see `serve`."""

    threads: int = 1
    view: bool = False

    def start(
        self, target: Any, name: str, config: str, tq: int
    ) -> Callable[[], None]:
        """Start a runtime of what has these options; see _serve.start."""
        from . import _serve  # who only imports handlers has no need of it

        return _serve.start(target, name, config, tq)


@overload
def serve(target: T, /, *, threads: int = 1, view: bool = False) -> T: ...


@overload
def serve(
    target: None = None, /, *, threads: int = 1, view: bool = False
) -> Callable[[T], T]: ...


def serve(
    target: T | None = None, /, *, threads: int = 1, view: bool = False
) -> T | Callable[[T], T]:
    """Let Lua call a function, an async function or a class.

    Returns the target itself, which stays what it was.

    A function gets the request and returns the answer: bytes, str (sent as
    UTF-8), any contiguous buffer, or None for no body. What it raises, Lua
    gets as `false, 1, "ValueError: text"`; see `Error`. An async function
    runs as a task of the runtime's own event loop. What a generator yields,
    plain or asynchronous, is sent part by part; see docs/python.md. A request
    parameter that is declared as `BodyReader` or `AsyncBodyReader` gives the
    request in parts.

    Of a class, each runtime makes one instance, with the config of its cfg
    (a str, "" without) unless __init__ takes no argument. Lua's method name
    picks the public method; `rt(request)` is __call__, which answers every
    name where there is no other public method. close(), plain or async, is
    called once, after the last call; see `on_unload`.

    threads: how many calls plain handlers answer at a time. One thread also
    imports the module and runs __init__: what may only be used where it was
    made can be made there. Of more, the others have not run that. Of a class
    with async methods, the plain ones run on the event loop's thread where
    this is 1, and may return an asyncio.Future of that loop: its result is
    the answer, which costs less than a task does.
    view: the request is a memoryview rather than bytes: no copy is made.

    TypeError, ValueError: what is given cannot be served in this way.
    """
    if isinstance(threads, bool) or not isinstance(threads, int):
        raise TypeError(f"threads must be an integer, got {threads!r}")
    if threads < 1:
        raise ValueError(f"threads must be at least 1, got {threads}")
    if not isinstance(view, bool):
        raise TypeError(f"view must be True or False, got {view!r}")
    options = Options(threads, view)

    def mark(target: T) -> T:
        _check(target, options)
        try:
            target.__resty_ffi__ = options  # type: ignore[attr-defined]
        except (AttributeError, TypeError):
            raise TypeError(
                f"serve cannot mark {target!r}: wrap it in a function"
            ) from None
        return target

    return mark if target is None else mark(target)


def _check(target: object, options: Options) -> None:
    if not callable(target):
        raise TypeError(f"serve takes a function or a class, got {target!r}")
    if options.threads > 1 and (
        inspect.iscoroutinefunction(target)
        or inspect.isasyncgenfunction(target)
    ):
        raise ValueError(
            f"threads={options.threads} is for plain functions:"
            f" {_name(target)} runs on one event loop"
        )


def _name(target: object) -> str:
    return getattr(target, "__qualname__", None) or repr(target)
