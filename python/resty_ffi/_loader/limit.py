# SPDX-License-Identifier: BSD-2-Clause
"""Floods of lines for error.log."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable


class Limit:
    """So many of a kind a second; tell(hidden) is called for the others.

    A timer, or flush, tells of them where no other line does. What a garbage
    collection has logged comes in between: the lock lets its thread in again.
    """

    def __init__(self, most: int, tell: Callable[[int], object]) -> None:
        self._most = most
        self._tell = tell
        self._lock = threading.RLock()
        self._end = 0.0
        self._shown = 0
        self._hidden = 0

    def may_show(self) -> bool:
        with self._lock:
            now = time.monotonic()
            if now >= self._end:
                self.flush()
                self._end = now + 1
                self._shown = 0
            if self._shown < self._most:
                self._shown += 1
                return True
            self._hidden += 1
            first = self._hidden == 1
        if first:
            timer = threading.Timer(self._end - now, self.flush)
            timer.daemon = True
            with contextlib.suppress(RuntimeError):  # no thread to be had
                timer.start()
        return False

    def flush(self) -> None:
        with self._lock:
            hidden, self._hidden = self._hidden, 0
        if hidden:
            self._tell(hidden)
