# SPDX-License-Identifier: BSD-2-Clause
"""The answer of a WSGI application."""

from __future__ import annotations

import errno
from collections.abc import Callable
from types import TracebackType
from typing import Any

from .._native import native

ExcInfo = tuple[type[BaseException], BaseException, TracebackType]


class Response:
    """start is what an application gets as start_response."""

    __slots__ = ("_call", "_headers", "_heads", "_sent", "_status")

    def __init__(self, call: native.Call, heads: native.Heads) -> None:
        self._call = call
        self._heads = heads
        self._status: int | None = None
        self._headers: list[tuple[str, str]] = []
        self._sent = False

    def start(
        self,
        status: str,
        headers: list[tuple[str, str]],
        exc_info: ExcInfo | None = None,
    ) -> Callable[[bytes], None]:
        if exc_info is not None:
            try:
                if self._sent:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        elif self._status is not None:
            raise AssertionError("start_response was called before")
        if type(status) is not str:
            kind = type(status).__name__
            raise TypeError(f"the status is {kind}, not str")
        self._status = int(status[:3])
        self._headers = list(headers)
        return self._write

    def _write(self, data: bytes) -> None:
        if data:
            self.send_head(data)
            self._call.send(data)

    def send_head(self, part: Any, length: int | None = None) -> None:
        """Before the first part; length: of the whole body, if it is known."""
        if self._sent:
            return
        if type(part) is not bytes:
            kind = type(part).__name__
            raise TypeError(f"a part of the body is {kind}, not bytes")
        if self._status is None:
            raise AssertionError("start_response was not called")
        headers = self._headers
        if length is not None and not any(
            name.lower() == "content-length" for name, _ in headers
        ):
            headers.append(("Content-Length", str(length)))
        error = self._heads.send(self._call._number, self._status, headers)
        if error:
            raise BrokenPipeError(errno.EPIPE, "the client has gone")
        self._sent = True
