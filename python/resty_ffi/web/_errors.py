# SPDX-License-Identifier: BSD-2-Clause
"""What applications write to wsgi.errors, in error.log."""

from __future__ import annotations

from .._loader.errors import LOG_ERR
from .._loader.lines import Lines


class Errors(Lines):
    """begun: whether this thread may have part of a line, which flush logs."""

    def __init__(self, name: str) -> None:
        super().__init__(LOG_ERR, 2, runtime=name)

    @property
    def begun(self) -> bool:
        return self._holds()
