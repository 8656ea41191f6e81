# SPDX-License-Identifier: BSD-2-Clause
"""What applications write to wsgi.errors, in error.log."""

from __future__ import annotations

import io
import threading

from .._loader.errors import LOG_ERR
from .._native import native

# A line that is longer is broken.
LINE = 8192


class Errors(io.TextIOBase):
    """Whole lines, of each thread its own.

    begun: whether a thread may have part of one, which flush writes.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._local = threading.local()
        self.begun = False

    def writable(self) -> bool:
        return True

    def close(self) -> None:
        """It is for all requests."""

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            kind = type(text).__name__
            raise TypeError(f"wsgi.errors takes str, not {kind}")
        *lines, rest = (getattr(self._local, "text", "") + text).split("\n")
        while len(rest) >= LINE:
            lines.append(rest[:LINE])
            rest = rest[LINE:]
        self._local.text = rest
        if rest:
            self.begun = True
        for line in lines:
            self._log(line)
        return len(text)

    def flush(self) -> None:
        """What this thread has begun, as a line."""
        rest = getattr(self._local, "text", "")
        if rest:
            self._local.text = ""
            self._log(rest)

    def _log(self, line: str) -> None:
        native.log(LOG_ERR, f"ffi_python3: {self._name}: {line}")
