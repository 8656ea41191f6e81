# SPDX-License-Identifier: BSD-2-Clause
"""wsgi.input: the body of a request as a file."""

from __future__ import annotations

import io
from typing import Any

from .._native import native


class _Parts(io.RawIOBase):
    def __init__(self, call: native.Call) -> None:
        self._call = call
        self._part: memoryview = memoryview(b"")
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._part and not self._ended:
            part = self._call._read()
            self._part = memoryview(part)
            self._ended = not part
        size = min(len(buffer), len(self._part))
        buffer[:size] = self._part[:size]
        self._part = self._part[size:]
        return size


def open_input(call: native.Call) -> io.BufferedReader:
    return io.BufferedReader(_Parts(call))
