"""Imports what a cfg names and starts it.

Compiled into libffi_python3.so and run in the interpreter that it starts,
where the package need not be importable.
"""

from __future__ import annotations

import atexit
import linecache
import os
import sys
import traceback
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or __package__:
    from . import _fresh
else:
    import _resty_ffi_fresh as _fresh

LOG_ERR = 4

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
    undo = _nothing
    try:
        target, undo = _load(directory, module, fresh, function)
        what = f"{module}.{function}"
        if is_served(target):
            _serve(target, what, config, tq)
        else:
            call(target, what, cfg, tq)
    except LoadError as error:
        undo()
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
    return _load(directory, module, fresh, function)[0]


def _load(
    directory: str | None, module: str, fresh: bool, function: str
) -> tuple[Any, _fresh.Undo]:
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
            return _fresh.load(module, pick)
        return pick(_fresh.load_cached(module)), _nothing
    except BaseException as error:
        raise failed(what, error) from error


def _nothing() -> None:
    pass


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

    Frames of these files and of callers, file names, are left out: they are
    of no interest to anybody.
    """
    linecache.checkcache()
    skipped = {*__file_names, *callers}
    try:
        shown = traceback.TracebackException.from_exception(error)
        for part in _chain(shown):
            part.stack[:] = [
                f for f in part.stack if f.filename not in skipped
            ]
        return "".join(shown.format())
    except BaseException:  # the exception's own code has raised
        lines = traceback.format_tb(error.__traceback__)
        return "".join([*lines, f"{describe(error)}\n"])


def _chain(
    shown: traceback.TracebackException | None,
) -> Iterator[traceback.TracebackException]:
    """An exception and those it came from."""
    if shown is not None:
        yield shown
        yield from _chain(shown.__cause__)
        yield from _chain(shown.__context__)


def _put_on_path(directory: str) -> None:
    directory = os.path.abspath(directory)
    if directory in _put_first:
        return
    _put_first.add(directory)
    sys.path[:] = [directory, *(p for p in sys.path if p != directory)]


__file_names = (start.__code__.co_filename, _fresh.load.__code__.co_filename)
