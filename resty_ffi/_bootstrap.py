"""Imports what a cfg names and starts it.

Compiled into libffi_python3.so and run in the interpreter that it starts,
where the package need not be importable: no relative imports here.
"""

from __future__ import annotations

import atexit
import importlib
import importlib.abc
import importlib.util
import linecache
import os
import sys
import threading
import traceback
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType
from typing import Any

LOG_ERR = 4

_fresh_locks: dict[str, threading.Lock] = {}
_put_first: set[str] = set()


class LoadError(Exception):
    """What Lua is told; the exception behind it is the cause, if any."""


def start(
    directory: str | None,
    module: str,
    fresh: bool,
    function: str,
    cfg: int,
    tq: int,
    config: bytes | None,
) -> str | None:
    """Start the runtime of a cfg.

    `cfg` and `tq` are addresses for the module's function, 0 is NULL; config
    are the bytes at cfg.
    Returns None, or the text that says why it could not start; that and the
    traceback are in error.log then.
    """
    try:
        target = load(directory, module, fresh, function)
        what = f"{module}.{function}"
        if is_served(target):
            _serve(target, what, config, tq)
        else:
            call(target, what, cfg, tq)
    except LoadError as error:
        text = full = str(error)
        if error.__cause__ is not None:
            full += "\n" + format_traceback(error.__cause__)
        _log(LOG_ERR, full)
        return text
    return None


def load(
    directory: str | None, module: str, fresh: bool, function: str
) -> Any:
    """The callable that a cfg names; LoadError where there is none."""
    what = module
    try:
        if directory is not None:
            _put_on_path(directory)
        loaded = _import_fresh(module) if fresh else _import(module)
        target = getattr(loaded, function)
        what = f"{module}.{function}"
        if not callable(target):
            kind = type(target).__name__
            raise TypeError(f"{kind!r} object is not callable")
    except BaseException as error:
        raise failed(what, error) from error
    return target


def leave() -> None:
    """What an interpreter does at its end, as far as a worker can wait."""
    atexit._run_exitfuncs()
    for file in (sys.stdout, sys.stderr):
        if file is not None:
            file.flush()


def is_served(target: Any) -> bool:
    """Whether `resty_ffi.serve` has made the target."""
    return hasattr(target, "__resty_ffi__")


def _serve(target: Any, what: str, config: bytes | None, tq: int) -> None:
    try:
        from resty_ffi import _serve

        text = None
        if config is not None:
            text = config.decode("utf-8", "surrogateescape")
        _serve.start(target, what, text, tq)
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


def failed(what: str, error: BaseException) -> LoadError:
    """The LoadError for an exception; what: which part has raised it."""
    return LoadError(f"ffi_python3: {what}: {describe(error)}")


def _log(level: int, text: str) -> None:
    import _resty_ffi  # only where this is compiled in

    _resty_ffi.log(level, text)


def describe(error: BaseException) -> str:
    """One line that UTF-8 can hold: the exception's class and text."""
    name = type(error).__name__
    try:
        text = " ".join(str(error).split())
    except BaseException:
        text = "(its text cannot be had)"
    line = f"{name}: {text}" if text else name
    return line.encode("utf-8", "backslashreplace").decode()


def format_traceback(error: BaseException, *callers: str) -> str:
    """The traceback as in error.log: as the source is on disk now.

    It begins below the frames of this file and of callers, file names: they
    are of no interest to anybody.
    """
    linecache.checkcache()
    skipped = (__file_name, *callers)
    tb = error.__traceback__
    while tb is not None and tb.tb_frame.f_code.co_filename in skipped:
        tb = tb.tb_next
    lines = traceback.format_exception(type(error), error, tb)
    return "".join(lines)


def _put_on_path(directory: str) -> None:
    directory = os.path.abspath(directory)
    if directory in _put_first:
        return
    _put_first.add(directory)
    sys.path[:] = [directory, *(p for p in sys.path if p != directory)]


def _import(name: str) -> ModuleType:
    importlib.invalidate_caches()
    return importlib.import_module(name)


def _import_fresh(name: str) -> ModuleType:
    """Import from source, whatever is cached in memory or on disk.

    The old module's globals stay as they are, for those who still use them;
    sys.modules has the new one only where its code ran to the end.
    """
    importlib.invalidate_caches()
    with _fresh_locks.setdefault(name, threading.Lock()):
        spec = _find_spec(name)
        loader = spec.loader
        if not isinstance(loader, importlib.abc.SourceLoader):
            return importlib.import_module(name)
        path = loader.get_filename(name)
        code = loader.source_to_code(loader.get_data(path), path)
        module = importlib.util.module_from_spec(spec)
        _execute(module, name, code)
        module = sys.modules.get(name, module)
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, module)
        return module


def _execute(module: ModuleType, name: str, code: CodeType) -> None:
    # code that runs looks itself up in sys.modules: dataclasses do
    missing = object()
    old = sys.modules.get(name, missing)
    sys.modules[name] = module
    try:
        exec(code, module.__dict__)
    except BaseException:
        if isinstance(old, ModuleType):
            sys.modules[name] = old
        else:
            sys.modules.pop(name, None)
        raise


def _find_spec(name: str) -> ModuleSpec:
    path = None
    parent, _, _ = name.rpartition(".")
    if parent:
        package = importlib.import_module(parent)
        path = getattr(package, "__path__", None)
        if path is None:
            raise ModuleNotFoundError(
                f"No module named {name!r}; {parent!r} is not a package",
                name=name,
            )
    for finder in sys.meta_path:
        spec = finder.find_spec(name, path, None)
        if spec is not None:
            return spec
    raise ModuleNotFoundError(f"No module named {name!r}", name=name)


__file_name = start.__code__.co_filename
