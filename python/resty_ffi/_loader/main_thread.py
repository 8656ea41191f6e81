# SPDX-License-Identifier: BSD-2-Clause
"""What Python gives its main thread only, for code that expects to be there.

No code of users' runs
on Python's main thread, and signals are nginx's: what asks for one, on
whatever thread, is ignored, and error.log is told so once for each module.
While a thread imports a module or is in its init, asyncio makes a loop where
it asks for the current one.
"""

from __future__ import annotations

import contextlib
import faulthandler
import functools
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType, ModuleType
from typing import Any

from .errors import LOG_WARN, log
from .imports import after_execution, changes, finder

# nginx's workers have handlers of their own for these.
OF_NGINX = {
    *(signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH),
    *(signal.SIGTERM, signal.SIGQUIT, signal.SIGINT, signal.SIGALRM),
    *(signal.SIGIO, signal.SIGCHLD, signal.SIGSYS, signal.SIGPIPE),
}

# They ask on behalf of others.
BETWEEN = ("asyncio", "contextlib", "uvloop")

MAX_TOLD = 1000

_told: set[str] = set()
_starting: set[int] = set()


@contextlib.contextmanager
def starting() -> Iterator[None]:
    """While this thread imports a module, or is in its init."""
    ident = threading.get_ident()
    _starting.add(ident)
    try:
        yield
    finally:
        _starting.discard(ident)


def install() -> None:
    """To be called before any code of users' runs."""
    _replace(signal, "signal", _signal)
    _replace(signal, "set_wakeup_fd", _set_wakeup_fd)
    _replace(signal, "siginterrupt", _siginterrupt)
    _replace(signal, "alarm", _alarm)
    _replace(signal, "setitimer", _setitimer)
    _replace(faulthandler, "register", _register)
    for name, change in _CHANGES.items():
        if name in sys.modules:
            change(sys.modules[name])
        changes[name] = after_execution(change)
    finder.install()


def _replace(
    module: ModuleType, name: str, function: Callable[..., Any]
) -> None:
    """In this process; its children have signals of their own."""
    original = getattr(module, name)
    setattr(module, name, functools.wraps(original)(function))
    os.register_at_fork(after_in_child=lambda: setattr(module, name, original))


# ---- signals


def _signal(signalnum: int, handler: Any) -> Any:
    before = signal.getsignal(signalnum)
    known = (None, signal.SIG_DFL, signal.SIG_IGN)
    if not callable(handler) and handler not in known:
        raise TypeError(
            "signal handler must be signal.SIG_IGN, signal.SIG_DFL, or a"
            " callable object"
        )
    _ignore(f"signal.signal({_name(signalnum)})")
    return before


def _set_wakeup_fd(fd: int, *, warn_on_full_buffer: bool = True) -> int:
    _ignore("signal.set_wakeup_fd()")
    return -1


def _siginterrupt(signalnum: int, flag: bool) -> None:
    _ignore(f"signal.siginterrupt({_name(signalnum)})")


def _alarm(seconds: int) -> int:
    _ignore("signal.alarm()")
    return 0


def _setitimer(
    which: int, seconds: float, interval: float = 0.0
) -> tuple[float, float]:
    _ignore("signal.setitimer()")
    return 0.0, 0.0


_original_register = faulthandler.register


def _register(signum: int, *args: Any, **kwargs: Any) -> None:
    if signum in OF_NGINX:
        _ignore(f"faulthandler.register({_name(signum)})")
    else:
        _original_register(signum, *args, **kwargs)


def _add_signal_handler(
    loop: object, sig: int, callback: object, *args: object
) -> None:
    signal.getsignal(sig)  # ValueError where it is none
    _ignore(f"loop.add_signal_handler({_name(sig)})")


def _remove_signal_handler(loop: object, sig: int) -> bool:
    signal.getsignal(sig)
    return False


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def _ignore(what: str) -> None:
    module = _asking()
    if module not in _told and len(_told) < MAX_TOLD:
        _told.add(module)
        text = f"{what} is ignored: signals are nginx's"
        log(LOG_WARN, f"FFI028: ffi_python3: {module}: {text}")


def _asking() -> str:
    """The name of the module whose code asks for a signal."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        name = str(frame.f_globals.get("__name__"))
        if name != __name__ and name.partition(".")[0] not in BETWEEN:
            return name
        frame = frame.f_back
    return "some code"


# ---- what is changed once it is imported


def _change_loop(unix_events: Any) -> None:
    _ignore_handlers(getattr(unix_events, "_UnixSelectorEventLoop", None))


def _change_uvloop(uvloop: Any) -> None:
    _ignore_handlers(getattr(uvloop, "Loop", None))


def _ignore_handlers(loop: Any) -> None:
    if loop is not None:
        loop.add_signal_handler = _add_signal_handler
        loop.remove_signal_handler = _remove_signal_handler


def _change_policy(events: Any) -> None:
    """From Python 3.14 on a main thread has no loop to get either."""
    if sys.version_info < (3, 14):
        policy = events.BaseDefaultEventLoopPolicy
        policy.get_event_loop = _getting_loop(policy.get_event_loop)


def _getting_loop(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    @functools.wraps(original)
    def get_event_loop(self: Any) -> Any:
        try:
            return original(self)
        except RuntimeError:
            if threading.get_ident() not in _starting:
                raise
        self.set_event_loop(self.new_event_loop())
        return original(self)

    return get_event_loop


_CHANGES: dict[str, Callable[[Any], None]] = {
    "asyncio.events": _change_policy,
    "asyncio.unix_events": _change_loop,
    "uvloop": _change_uvloop,
}


if "_resty_ffi" in sys.builtin_module_names:
    install()
