# SPDX-License-Identifier: BSD-2-Clause
"""A straight line through measurements."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

BATCHES = 30


@dataclass(frozen=True)
class Line:
    slope: float
    error: float  # standard error of the slope
    span: float  # of x

    def grows(self, most: float) -> bool:
        """By more than that, and not by chance."""
        certain = self.slope - 3 * self.error
        return certain > 0 and self.slope * self.span > most


def fit(points: Sequence[tuple[float, float]]) -> Line | None:
    """Least squares through the means of batches.

    Measurements close to each other are alike, and would make the error look
    smaller than it is; batches are nearly independent.
    """
    size = max(1, len(points) // BATCHES)
    batches = [
        points[i : i + size] for i in range(0, len(points) - size + 1, size)
    ]
    if len(batches) < 3:
        return None
    x = [fmean(p[0] for p in batch) for batch in batches]
    y = [fmean(p[1] for p in batch) for batch in batches]
    middle, level = fmean(x), fmean(y)
    spread = sum((a - middle) ** 2 for a in x)
    if spread == 0:
        return None
    slope = (
        sum((a - middle) * (b - level) for a, b in zip(x, y, strict=True))
        / spread
    )
    rest = sum(
        (b - level - slope * (a - middle)) ** 2
        for a, b in zip(x, y, strict=True)
    )
    error = math.sqrt(rest / (len(x) - 2) / spread)
    return Line(slope, error, x[-1] - x[0])
