# SPDX-License-Identifier: BSD-2-Clause
"""Exceptions, as Lua and error.log are told of them."""

from __future__ import annotations

import linecache
import os
import sys
import traceback
from collections.abc import Iterator

LOG_CRIT, LOG_ERR, LOG_WARN, LOG_NOTICE, LOG_INFO, LOG_DEBUG = range(3, 9)

TRACEBACK = "Traceback (most recent call last):\n"

INTERNAL_ERROR = "ffi_python3: internal error: see error.log"


class LoadError(Exception):
    """What Lua is told; the exception behind it is the cause, if any."""


def failed(what: str, error: BaseException) -> LoadError:
    """The LoadError for an exception; what: which part has raised it."""
    return LoadError(f"ffi_python3: {what}: {describe(error)}")


def log(level: int, text: str, task: int = 0) -> None:
    """Write to error.log; task: as of _resty_ffi.log."""
    import _resty_ffi  # only in nginx

    _resty_ffi.log(level, text, task)


def log_load_error(error: LoadError) -> None:
    """With the traceback of the exception behind it."""
    text = f"FFI020: {error}"
    if error.__cause__ is not None:
        text += "\n" + format_traceback(error.__cause__)
    log(LOG_ERR, text)


def log_internal_error(error: BaseException) -> None:
    """Of ours, with all frames."""
    text = "".join(traceback.format_exception(error))
    log(LOG_ERR, f"FFI019: ffi_python3: internal error: {text}")


def describe(error: BaseException) -> str:
    """One line that UTF-8 can hold: the exception's class and text."""
    name = type(error).__name__
    try:
        text = " ".join(_without_frames(str(error)).split())
    except BaseException:
        text = "(its text cannot be had)"
    line = f"{name}: {text}" if text else name
    return line.encode("utf-8", "backslashreplace").decode()


def _without_frames(text: str) -> str:
    """Where it has a traceback, as Starlette's of a lifespan: its end."""
    before, found, after = text.rpartition(TRACEBACK)
    lines = after.splitlines()
    while lines and lines[0].startswith(" "):
        del lines[0]
    if not found or not lines:
        return text
    return before.partition(TRACEBACK)[0] + "\n".join(lines)


def format_traceback(error: BaseException) -> str:
    """The traceback as in error.log: as the source is on disk now.

    Frames of ours are left out, as they are of no interest to anybody but
    us: RESTY_FFI_TRACEBACK=full has them.
    """
    full = os.environ.get("RESTY_FFI_TRACEBACK") == "full"
    linecache.checkcache()
    try:
        shown = traceback.TracebackException.from_exception(error)
        for part in _chain(shown):
            part.stack[:] = [
                f for f in part.stack if full or not is_ours(f.filename)
            ]
        return "".join(shown.format())
    except BaseException:  # the exception's own code has raised
        lines = traceback.format_tb(error.__traceback__)
        return "".join([*lines, f"{describe(error)}\n"])


def is_ours(file: str) -> bool:
    """Whether a frame's file is one of this package."""
    if file.startswith("<resty_ffi "):
        return True
    package = getattr(sys.modules.get("resty_ffi"), "__file__", None)
    return package is not None and file.startswith(
        os.path.join(os.path.dirname(package), "")
    )


def _chain(
    shown: traceback.TracebackException | None,
) -> Iterator[traceback.TracebackException]:
    """An exception and those it came from."""
    if shown is not None:
        yield shown
        yield from _chain(shown.__cause__)
        yield from _chain(shown.__context__)
