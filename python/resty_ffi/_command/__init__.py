# SPDX-License-Identifier: BSD-2-Clause
"""python -m resty_ffi serve: nginx in the foreground, for one application."""

from ._foreground import Foreground
from ._serve import main
from ._watch import Watch

__all__ = ["Foreground", "Watch", "main"]
