# SPDX-License-Identifier: BSD-2-Clause
"""Bytes without end, of which no two neighbouring MiB are alike."""

from __future__ import annotations

import random

# no multiple or divisor of any buffer's size
CYCLE = 1_048_573
_BYTES = random.Random(1).randbytes(CYCLE) * 2


def at(where: int, size: int) -> bytes:
    """At most CYCLE of them."""
    begin = where % CYCLE
    return _BYTES[begin : begin + size]
