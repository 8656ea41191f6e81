# SPDX-License-Identifier: BSD-2-Clause
"""What Python has to say of its own accord, in error.log.

Records of logging that no handler takes, warnings, and exceptions that nobody
catches: of threads, and in code that has no caller.
"""

from __future__ import annotations

import functools
import sys
import threading
import warnings
from types import TracebackType
from typing import Any

from .errors import (
    LOG_CRIT,
    LOG_DEBUG,
    LOG_ERR,
    LOG_INFO,
    LOG_NOTICE,
    LOG_WARN,
    describe,
    format_traceback,
)
from .imports import after_execution, changes, finder
from .lines import LINE, cut, in_child, say

# From which level of logging's on it is which of nginx's.
LEVELS = (
    (50, LOG_CRIT),
    (40, LOG_ERR),
    (30, LOG_WARN),
    (25, LOG_NOTICE),
    (20, LOG_INFO),
)

# A record whose text logs, whose text logs.
DEPTH = 5

_depth = threading.local()

# A formatter that stands for none: the handler of basicConfig has it.
_plain: Any = None


# ---- logging


def level_of(number: int) -> int:
    """nginx's level for one of logging's."""
    for least, level in LEVELS:
        if number >= least:
            return level
    return LOG_DEBUG


def level_for(level: int) -> int:
    """The least of logging's levels that reaches one of nginx's; WARNING is
    what it is without us, for users' handlers to count on."""
    numbers = (n for n, its in (*LEVELS, (10, LOG_DEBUG)) if its <= level)
    return min(30, *numbers, 30)


def emit(handler: Any, record: Any) -> None:
    """What handler.emit(record) has to do; handler: a logging.Handler."""
    if in_child():
        print(handler.format(record), file=sys.__stderr__)
        return
    depth = getattr(_depth, "number", 0)
    _depth.number = depth + 1
    try:
        _emit(handler, record, depth >= DEPTH)
    except RecursionError:
        raise
    except Exception as error:
        what = f"a record of {record.name} cannot be shown"
        _tell(what, error, type(error), "FFI036")
    finally:
        _depth.number = depth


def _emit(handler: Any, record: Any, too_deep: bool) -> None:
    level = level_of(record.levelno)
    if too_deep:
        text, rest = "(its text logs, too)", ""
    elif handler.formatter in (None, _plain):
        text, rest = record.getMessage(), _rest_of(record)
    else:
        text, rest = handler.format(record), ""
    if too_deep or handler.formatter in (None, _plain):
        text = f"{record.name}: {text}"
    # so that no line of it can be taken for one of nginx's
    lines = [cut(line, LINE) for line in text.rstrip().split("\n")]
    say(level, "\n    ".join(lines) + rest)


def _rest_of(record: Any) -> str:
    """The traceback, and the stack that it asks for."""
    rest = ""
    if record.exc_info and record.exc_info[1] is not None:
        rest += "\n" + format_traceback(record.exc_info[1]).rstrip()
    if record.stack_info:
        rest += f"\n{record.stack_info}"
    return rest


def _change_logging(logging: Any) -> None:
    import _resty_ffi  # only in nginx

    global _plain
    _plain = logging.Formatter()
    basic_config = logging.basicConfig

    class Handler(logging.Handler):  # type: ignore[misc]
        """Of records for which there is no other."""

        def emit(self, record: Any) -> None:
            emit(self, record)

    @functools.wraps(basic_config)
    def configure(**options: Any) -> None:
        if not options and sys._getframe(1).f_globals is vars(logging):
            return  # logging.info() and the like, where there is no handler
        if not options.keys() & {"filename", "stream", "handlers"}:
            handler = Handler()
            if not options.keys() & {"format", "datefmt", "style"}:
                handler.setFormatter(_plain)
            options["handlers"] = [handler]
        basic_config(**options)

    logging.basicConfig = configure
    logging.lastResort = Handler()
    if logging.root.level == logging.WARNING:
        logging.root.setLevel(level_for(_resty_ffi.log_level()))


# ---- warnings


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: Any = None,
    line: str | None = None,
) -> None:
    if file is not None or in_child():
        _original_show_warning(message, category, filename, lineno, file, line)
        return
    text = " ".join(str(message).split())
    say(LOG_WARN, f"{filename}:{lineno}: {category.__name__}: {text}")


_original_show_warning = warnings.showwarning


# ---- exceptions that nobody catches


def _thread_failed(args: Any) -> None:
    if args.exc_type is SystemExit:
        return
    name = args.thread.name if args.thread is not None else "?"
    _tell(
        f'thread "{name}" has ended', args.exc_value, args.exc_type, "FFI033"
    )


def _not_raised(args: Any) -> None:
    if args.object is None and not args.err_msg:
        _not_caught(args.exc_type, args.exc_value, args.exc_traceback)
        return
    what = args.err_msg or "Exception ignored in"
    try:
        text = repr(args.object)
    except Exception:
        text = f"an object of {type(args.object).__name__}"
    if args.object is not None:
        what = f"{what}: {cut(text, 500)}"
    _tell(what, args.exc_value, args.exc_type, "FFI034")


def _not_caught(
    kind: type[BaseException],
    error: BaseException | None,
    traceback: TracebackType | None,
) -> None:
    _tell("nobody has caught", error, kind, "FFI035")


def _tell(
    what: str,
    error: BaseException | None,
    kind: type[BaseException],
    code: str,
) -> None:
    if in_child():
        hook = sys.__excepthook__
        if error is not None:
            hook(kind, error, error.__traceback__)
        return
    text = kind.__name__
    rest = ""
    if error is not None:
        text, rest = describe(error), "\n" + format_traceback(error).rstrip()
    say(LOG_ERR, f"{what}: {text}{rest}", code=f"{code}: ")


def install() -> None:
    warnings.showwarning = _show_warning
    threading.excepthook = _thread_failed
    sys.unraisablehook = _not_raised
    sys.excepthook = _not_caught
    if "logging" in sys.modules:
        _change_logging(sys.modules["logging"])
    changes["logging"] = after_execution(_change_logging)
    finder.install()


if "_resty_ffi" in sys.builtin_module_names:
    install()
