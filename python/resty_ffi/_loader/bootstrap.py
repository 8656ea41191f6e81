# SPDX-License-Identifier: BSD-2-Clause
"""Imports what a cfg names and starts it.

C calls start_thread, leave, report and describe.
"""

from __future__ import annotations

import contextvars
import os
import sys
from collections.abc import Callable
from typing import Any

from .cfg import Cfg, parse
from .errors import (
    INTERNAL_ERROR,
    LoadError,
    failed,
    format_traceback,
    log_internal_error,
    log_load_error,
)
from .fresh import Undo, load_cached, load_fresh
from .leave import leave
from .main_thread import starting
from .speaker import name_var
from .threads import Thread, describe, report
from .watched import watch_imports

__all__ = ["describe", "leave", "load", "report", "start_thread"]

RELOAD = 2
SHOW_ERRORS = 3

_put_first: set[str] = set()

# Context variables that imports have set: the value, and whose load it was.
_imported: dict[contextvars.ContextVar[Any], tuple[Any, str]] = {}

# What a runtime has its thread do once it has started.
Serve = Callable[[], None]


def start_thread(text: bytes | None, address: int, tq: int) -> None:
    """Have a thread start the runtime of a cfg, report that, and serve.

    text: the cfg, whose bytes are at address; tq: the queue's handle.
    """
    watch_imports()
    try:
        cfg = parse(text)
        config = 0
        if text is not None and cfg.config is not None:
            config = address + len(text) - len(cfg.config)
        thread = Thread(_main, cfg.what, cfg, config, tq, text)
        thread.daemon = False  # nor those that users' code starts there
        thread.start()
    except LoadError as error:
        if error.__cause__ is not None:
            log_load_error(error)
        _started(tq, str(error))
    except RuntimeError:
        _started(tq, "ffi_python3: no thread to be had")


def _main(cfg: Cfg, config: int, tq: int, memory: object) -> None:
    """config: the address of cfg's, which memory keeps; 0: there is none."""
    text: str | None = INTERNAL_ERROR
    serve = None
    try:
        with starting():
            serve = _new_context().run(start, cfg, config, tq)
        text = None
    except LoadError as error:
        text = str(error)
        if error.__cause__ is not None and _option(tq, SHOW_ERRORS):
            text += "\n" + format_traceback(error.__cause__)
    except BaseException as error:
        log_internal_error(error)
    finally:
        _started(tq, text)
    if serve is not None:
        serve()


def start(cfg: Cfg, config: int, tq: int) -> Serve | None:
    """Start the runtime of a cfg, on its own thread.

    Returns what that thread has to do when this has been reported; None for
    a poll loop. LoadError says why it could not start; that and the
    traceback are in error.log then.
    """
    undo = _nothing
    name_var.set(cfg.what)
    try:
        target, undo = _load(cfg, cfg.fresh and _option(tq, RELOAD))
        _keep_variables(cfg.module)
        if is_served(target):
            return _serve(target, cfg, tq)
        call(target, cfg, config, tq)
    except LoadError as error:
        undo()
        log_load_error(error)
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
        if variable is not name_var
        and (variable not in _imported or _imported[variable][0] is not value)
    }
    names = {variable.name for variable in found}
    for variable, (_, setter) in _imported.copy().items():
        if setter == module and variable.name in names:
            _imported.pop(variable, None)
    _imported.update(found)


def load(cfg: Cfg) -> Any:
    """The callable that a cfg names; LoadError where there is none."""
    return _load(cfg)[0]


def _load(cfg: Cfg, again: bool = False) -> tuple[Any, Undo]:
    what = cfg.module

    def pick(loaded: Any) -> Any:
        nonlocal what
        target = getattr(loaded, cfg.function)
        what = cfg.what
        if not callable(target):
            kind = type(target).__name__
            raise TypeError(f"{kind!r} object is not callable")
        return target

    try:
        if cfg.directory is not None:
            _put_on_path(cfg.directory)
        if cfg.fresh:
            return load_fresh(cfg.module, pick, again)
        return pick(load_cached(cfg.module)), _nothing
    except BaseException as error:
        raise failed(what, error) from error


def _nothing() -> None:
    pass


def is_served(target: Any) -> bool:
    """Whether `resty_ffi.serve` has made the target."""
    return hasattr(target, "__resty_ffi__")


def _serve(target: Any, cfg: Cfg, tq: int) -> Serve:
    try:
        config = (cfg.config or b"").decode("utf-8", "surrogateescape")
        serve: Serve = target.__resty_ffi__.start(target, cfg.what, config, tq)
        return serve
    except LoadError:
        raise
    except BaseException as error:
        raise failed(cfg.what, error) from error


def call(target: Any, cfg: Cfg, config: int, tq: int) -> None:
    """Start a poll loop; LoadError where that fails."""
    try:
        rc = target(config, tq)
        told = None if rc == 0 else f"returned {rc!a}, not 0"
    except BaseException as error:
        raise failed(cfg.what, error) from error
    if told is not None:
        raise LoadError(f"ffi_python3: {cfg.what}: {told}")


def _started(tq: int, text: str | None) -> None:
    import _resty_ffi  # only in nginx

    _resty_ffi.started(tq, text)


def _option(tq: int, option: int) -> bool:
    import _resty_ffi  # only in nginx

    return bool(_resty_ffi.option(tq, option, 0))


def _put_on_path(directory: str) -> None:
    directory = os.path.abspath(directory)
    if directory in _put_first:
        return
    _put_first.add(directory)
    sys.path[:] = [directory, *(p for p in sys.path if p != directory)]
