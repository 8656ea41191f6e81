"""Imports what a cfg names and starts it.

C calls start_thread, leave and report.
"""

from __future__ import annotations

import contextvars
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

from .errors import LOG_ERR, LoadError, failed, format_traceback, log
from .fresh import Undo, load_cached, load_fresh
from .leave import leave
from .main_thread import starting
from .threads import Thread, report

__all__ = ["leave", "load", "report", "start_thread"]

RELOAD = 2

INTERNAL_ERROR = "ffi_python3: internal error: see error.log"

_put_first: set[str] = set()

# Context variables that imports have set: the value, and whose load it was.
_imported: dict[contextvars.ContextVar[Any], tuple[Any, str]] = {}

# What a runtime has its thread do once it has started.
Serve = Callable[[], None]


def start_thread(
    directory: str | None,
    module: str,
    fresh: bool,
    function: str,
    cfg: int,
    tq: int,
    config: bytes | None,
    memory: object,
) -> None:
    """Have a thread start the runtime of a cfg, report that, and serve.

    `cfg` and `tq` are addresses for the module's function, 0 is NULL; config
    are the bytes at cfg, which are there as long as memory is.
    """
    arguments = (directory, module, fresh, function, cfg, tq, config, memory)
    try:
        Thread(_main, f"{module}.{function}", *arguments).start()
    except RuntimeError:
        _started(tq, "ffi_python3: no thread to be had")


def _main(
    directory: str | None,
    module: str,
    fresh: bool,
    function: str,
    cfg: int,
    tq: int,
    config: bytes | None,
    memory: object,
) -> None:
    text: str | None = INTERNAL_ERROR
    serve = None
    try:
        with starting():
            serve = _new_context().run(
                start, directory, module, fresh, function, cfg, tq, config
            )
        text = None
    except LoadError as error:
        text = str(error)
    except BaseException:
        traceback.print_exc()
    finally:
        _started(tq, text)
    if serve is not None:
        serve()


def start(
    directory: str | None,
    module: str,
    fresh: bool,
    function: str,
    cfg: int,
    tq: int,
    config: bytes | None,
) -> Serve | None:
    """Start the runtime of a cfg, on its own thread.

    Returns what that thread has to do when this has been reported; None for
    a poll loop. LoadError says why it could not start; that and the
    traceback are in error.log then.
    """
    undo = _nothing
    try:
        again = fresh and _is_reload(tq)
        target, undo = _load(directory, module, fresh, function, again)
        _keep_variables(module)
        what = f"{module}.{function}"
        if is_served(target):
            return _serve(target, what, config, tq)
        call(target, what, cfg, tq)
    except LoadError as error:
        undo()
        full = str(error)
        if error.__cause__ is not None:
            full += "\n" + format_traceback(error.__cause__)
        log(LOG_ERR, full)
        raise
    return None


def _new_context() -> contextvars.Context:
    """One as it would be in a thread that had imported all modules."""
    context = contextvars.Context()
    for variable, (value, _) in _imported.copy().items():
        context.run(variable.set, value)
    return context


def _keep_variables(module: str) -> None:
    """Keep what this load has set; not what an earlier version of it has."""
    found = {
        variable: (value, module)
        for variable, value in contextvars.copy_context().items()
        if variable not in _imported or _imported[variable][0] is not value
    }
    names = {variable.name for variable in found}
    for variable, (_, setter) in _imported.copy().items():
        if setter == module and variable.name in names:
            _imported.pop(variable, None)
    _imported.update(found)


def load(
    directory: str | None, module: str, fresh: bool, function: str
) -> Any:
    """The callable that a cfg names; LoadError where there is none."""
    return _load(directory, module, fresh, function)[0]


def _load(
    directory: str | None,
    module: str,
    fresh: bool,
    function: str,
    again: bool = False,
) -> tuple[Any, Undo]:
    what = module

    def pick(loaded: Any) -> Any:
        nonlocal what
        target = getattr(loaded, function)
        what = f"{module}.{function}"
        if not callable(target):
            kind = type(target).__name__
            raise TypeError(f"{kind!r} object is not callable")
        return target

    try:
        if directory is not None:
            _put_on_path(directory)
        if fresh:
            return load_fresh(module, pick, again)
        return pick(load_cached(module)), _nothing
    except BaseException as error:
        raise failed(what, error) from error


def _nothing() -> None:
    pass


def is_served(target: Any) -> bool:
    """Whether `resty_ffi.serve` has made the target."""
    return hasattr(target, "__resty_ffi__")


def _serve(target: Any, what: str, config: bytes | None, tq: int) -> Serve:
    try:
        text = (config or b"").decode("utf-8", "surrogateescape")
        serve: Serve = target.__resty_ffi__.start(target, what, text, tq)
        return serve
    except BaseException as error:
        raise failed(what, error) from error


def call(target: Any, what: str, cfg: int, tq: int) -> None:
    """Start a poll loop; LoadError where that fails."""
    try:
        rc = target(cfg, tq)
        told = None if rc == 0 else f"returned {rc!a}, not 0"
    except BaseException as error:
        raise failed(what, error) from error
    if told is not None:
        raise LoadError(f"ffi_python3: {what}: {told}")


def _started(tq: int, text: str | None) -> None:
    import _resty_ffi  # only in nginx

    _resty_ffi.started(tq, text)


def _is_reload(tq: int) -> bool:
    import _resty_ffi  # only in nginx

    return bool(_resty_ffi.option(tq, RELOAD, 0))


def _put_on_path(directory: str) -> None:
    directory = os.path.abspath(directory)
    if directory in _put_first:
        return
    _put_first.add(directory)
    sys.path[:] = [directory, *(p for p in sys.path if p != directory)]
