# SPDX-License-Identifier: BSD-2-Clause
"""The answer of a WSGI application."""

from __future__ import annotations

import errno
from collections.abc import Callable
from types import TracebackType
from typing import Any

from .._native import native

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]


class Response:
    """start is what an application gets as start_response.

    sent: whether the head is on its way. left: the bytes that may follow, as
    Content-Length says, or None.
    """

    __slots__ = ("_call", "_head", "left", "sent")

    def __init__(self, call: native.Call) -> None:
        self._call = call
        self._head: native.WsgiHead | None = None
        self.sent = False
        self.left: int | None = None

    def start(
        self,
        status: str,
        headers: list[tuple[str, str]],
        exc_info: ExcInfo | None = None,
        /,
    ) -> Callable[[bytes], None]:
        if exc_info:
            try:
                if self.sent:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # or it refers to itself
        elif self._head is not None:
            raise AssertionError(
                "start_response was called before: it takes exc_info then"
            )
        self._head = native.WsgiHead(status, headers)
        return self._write

    def _write(self, data: bytes, /) -> None:
        if type(data) is not bytes:
            check_part(data)
        if not self.sent:
            self.send_head(-1)
        if self.left is not None:
            if len(data) > self.left:
                raise ValueError("write: more than Content-Length says")
            self.left -= len(data)
        if data:
            self._call.send(data)

    def send_head(self, length: int) -> None:
        """Once, before the body; length: of all of it; -1: unknown."""
        head = self._head
        if head is None:
            raise AssertionError(
                "the application has not called start_response"
            )
        if length == 0 and head.status in NO_BODY:
            length = -1
        if head.send(self._call._number, length):
            raise gone()
        self.sent = True
        if head.length >= 0:
            self.left = head.length

    def send_file(self, fd: int, offset: int, length: int) -> bool:
        """The whole body, behind the head; False: it has to be read."""
        error = native.send_file(self._call._number, fd, offset, length)
        if error == errno.EPIPE:
            raise gone()
        return error == 0

    def is_enough(self, part: bytes) -> bool:
        """Whether Content-Length leaves no room behind a part, or in it."""
        return self.left is not None and len(part) >= self.left

    def take(self, part: bytes) -> bytes:
        """What of a part Content-Length has room for."""
        if self.left is not None:
            part = part[: self.left]
            self.left -= len(part)
        return part


# Content-Length is not the body's there.
NO_BODY = (204, 304)


def gone() -> BrokenPipeError:
    return BrokenPipeError(errno.EPIPE, "the client has gone")


def check_part(part: Any) -> None:
    if not isinstance(part, bytes):
        kind = type(part).__name__
        raise TypeError(f"a part of the body is {kind}, not bytes")
