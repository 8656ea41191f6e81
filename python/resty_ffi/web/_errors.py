# SPDX-License-Identifier: BSD-2-Clause
"""What applications write to wsgi.errors, in error.log."""

from __future__ import annotations

import io
import threading

from .._loader.errors import LOG_ERR
from .._native import native


class Errors(io.TextIOBase):
    """Whole lines, of each thread its own."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._local = threading.local()

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        begun = getattr(self._local, "text", "") + text
        *lines, self._local.text = begun.split("\n")
        for line in lines:
            self._log(line)
        return len(text)

    def flush(self) -> None:
        begun = getattr(self._local, "text", "")
        if begun:
            self._local.text = ""
            self._log(begun)

    def _log(self, line: str) -> None:
        native.log(LOG_ERR, f"ffi_python3: {self._name}: {line}")
