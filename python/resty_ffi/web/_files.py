# SPDX-License-Identifier: BSD-2-Clause
"""wsgi.file_wrapper."""

from __future__ import annotations

import io
import os
import stat
import tempfile
from collections.abc import Iterator
from typing import Any

# What is shorter is read: that is cheaper than to hand a descriptor over.
SMALL = 65536

# What reads nothing but the bytes of its descriptor; GzipFile has one, too.
_TRUSTED = (io.BufferedReader, io.BufferedRandom)


class FileWrapper:
    """Blocks of a file, from its position on."""

    def __init__(self, file: Any, block_size: int = SMALL) -> None:
        self.file = file
        self._block_size = block_size
        if hasattr(file, "close"):
            self.close = file.close

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        block: bytes = self.file.read(self._block_size)
        if not block:
            raise StopIteration
        return block

    def find(self) -> tuple[int, int, int] | None:
        """Descriptor, position and what is left of a regular file; None: of
        anything else."""
        file = self.file
        if type(file) is tempfile._TemporaryFileWrapper:
            file = file.file
        raw = file.raw if type(file) in _TRUSTED else file
        if type(raw) is not io.FileIO or not raw.readable():
            return None
        fd = raw.fileno()
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            return None
        offset = file.tell()
        return fd, offset, max(status.st_size - offset, 0)
