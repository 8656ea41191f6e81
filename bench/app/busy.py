# SPDX-License-Identifier: BSD-2-Clause
"""A thread that never lets go of the GIL by itself."""

from __future__ import annotations

import threading


def spin() -> None:
    count = 0
    while True:
        count += 1


def start(cfg: int, tq: int) -> int:
    threading.Thread(target=spin, daemon=True).start()
    return 0
