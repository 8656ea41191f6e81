# SPDX-License-Identifier: BSD-2-Clause
"""What a path is answered with, by every competitor."""

from __future__ import annotations

SIZES = (64, 4 << 10, 64 << 10, 1 << 20)

HELLO = b"x" * SIZES[0]
BY_PATH = {f"/{size}": b"x" * size for size in SIZES}
BY_PATH_BYTES = {path.encode(): body for path, body in BY_PATH.items()}
