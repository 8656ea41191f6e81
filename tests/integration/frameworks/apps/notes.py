# SPDX-License-Identifier: BSD-2-Clause
"""What an application has noted, for a later request to ask about."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

FOLDER = Path(os.environ["FRAMEWORKS_FOLDER"])


class Notes:
    def __init__(self) -> None:
        self._names: list[str] = []

    def note(self, name: str) -> None:
        self._names.append(name)

    def has(self, name: str) -> str:
        return "yes" if name in self._names else "no"

    def count(self, name: str) -> int:
        return self._names.count(name)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def make_file(name: str, size: int) -> Path:
    """Its bytes are those of 0 to 255, again and again."""
    path = FOLDER / name
    path.write_bytes((bytes(range(256)) * (size // 256 + 1))[:size])
    return path
