# SPDX-License-Identifier: BSD-2-Clause
"""wsgi.input: the body of a request as a file."""

from __future__ import annotations

from collections.abc import Iterator

from .._native import native


class Input:
    """Blocks until as much as was asked for is there.

    OSError where the client has gone before.
    """

    __slots__ = ("_at", "_call", "_ended", "_part")

    def __init__(self, call: native.Call) -> None:
        self._call = call
        self._part = b""
        self._at = 0  # how much of _part has been read
        self._ended = False

    def read(self, size: int | None = -1, /) -> bytes:
        """Fewer bytes only at the end; all for None and what is negative."""
        if size is None or size < 0:
            return b"".join(self._rest())
        pieces = []
        while size > 0 and self._fill():
            piece = self._take(self._at + size)
            size -= len(piece)
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def read1(self, size: int | None = -1, /) -> bytes:
        """What is there, of one part of the body."""
        if size == 0 or not self._fill():
            return b""
        if size is None or size < 0:
            size = len(self._part)
        return self._take(self._at + size)

    def readinto(self, buffer: bytearray | memoryview, /) -> int:
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def readline(self, size: int | None = -1, /) -> bytes:
        """With its line feed; at most size bytes."""
        left = size if size is not None and size >= 0 else None
        pieces = []
        while left != 0 and self._fill():
            end = self._part.find(b"\n", self._at) + 1
            stop = end or len(self._part)
            if left is not None:
                stop = min(stop, self._at + left)
            piece = self._take(stop)
            pieces.append(piece)
            if left is not None:
                left -= len(piece)
            if end and stop == end:
                break
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def readlines(self, hint: int | None = -1, /) -> list[bytes]:
        """Lines of at least hint bytes in all, or all of them."""
        lines = []
        size = 0
        for line in self:
            lines.append(line)
            size += len(line)
            if hint is not None and 0 < hint <= size:
                break
        return lines

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        line = self.readline()
        if not line:
            raise StopIteration
        return line

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    @property
    def closed(self) -> bool:
        return False

    def close(self) -> None:
        """The body is the server's: this does nothing."""

    def flush(self) -> None:
        """For io.TextIOWrapper."""

    def _fill(self) -> bool:
        """Whether there is something in _part."""
        if self._at < len(self._part):
            return True
        if not self._ended:
            self._at = 0
            self._part = self._call._read()
            self._ended = not self._part
        return not self._ended

    def _take(self, stop: int) -> bytes:
        piece = self._part[self._at : stop]
        self._at += len(piece)
        return piece

    def _rest(self) -> Iterator[bytes]:
        while self._fill():
            yield self._take(len(self._part))
