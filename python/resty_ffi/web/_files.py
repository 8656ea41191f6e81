# SPDX-License-Identifier: BSD-2-Clause
"""wsgi.file_wrapper."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


class FileWrapper:
    """Blocks of a file, from its position on."""

    def __init__(self, file: Any, block_size: int = 65536) -> None:
        self._file = file
        self._block_size = block_size
        if hasattr(file, "close"):
            self.close = file.close

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        block: bytes = self._file.read(self._block_size)
        if not block:
            raise StopIteration
        return block
