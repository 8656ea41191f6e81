# SPDX-License-Identifier: BSD-2-Clause
"""What handlers raise, for Lua and for error.log."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time

from ._loader.errors import LOG_ERR, describe, format_traceback
from ._native import native

TRACEBACKS_A_SECOND = 10


class Log:
    """Texts of exceptions for Lua; their tracebacks for error.log.

    Those that are too many are counted; a timer, or the end of the runtime,
    tells of them where no other exception does.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._end = 0.0
        self._shown = 0
        self._hidden = 0

    def __call__(self, error: BaseException) -> str:
        text = describe(error)
        if isinstance(error, asyncio.CancelledError):
            return text
        if self._may_show():
            native.log(
                LOG_ERR,
                f"ffi_python3: {self._name}: {text}\n"
                + format_traceback(error),
            )
        return text

    def _may_show(self) -> bool:
        now = time.monotonic()
        with self._lock:
            if now >= self._end:
                self._tell_hidden()
                self._end = now + 1
                self._shown = 0
            if self._shown < TRACEBACKS_A_SECOND:
                self._shown += 1
                return True
            self._hidden += 1
            if self._hidden > 1:
                return False
            timer = threading.Timer(self._end - now, self.tell_hidden)
            timer.daemon = True
            with contextlib.suppress(RuntimeError):  # no thread to be had
                timer.start()
            return False

    def tell_hidden(self) -> None:
        with self._lock:
            self._tell_hidden()

    def _tell_hidden(self) -> None:
        if self._hidden:
            native.log(
                LOG_ERR,
                f"ffi_python3: {self._name}: {self._hidden} more exceptions in"
                " that second, not shown",
            )
            self._hidden = 0
