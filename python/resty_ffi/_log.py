# SPDX-License-Identifier: BSD-2-Clause
"""What handlers raise, for Lua and for error.log."""

from __future__ import annotations

import asyncio
from typing import Any

from ._loader.errors import LOG_ERR, describe, format_traceback
from ._loader.limit import Limit
from ._loader.speaker import join
from ._native import native

TRACEBACKS_A_SECOND = 10


class Log:
    """Texts of exceptions for Lua; their tracebacks for error.log.

    Those that are too many are counted. name: as of speaker.name_var.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._limit = Limit(TRACEBACKS_A_SECOND, self._tell)

    def __call__(self, error: BaseException, task: Any = 0) -> str:
        """task: the call's that has raised it; 0: it is of no call."""
        text = describe(error)
        if isinstance(error, asyncio.CancelledError):
            return text
        if self._limit.may_show():
            name = join(self.name, native.method(task) if task else "")
            native.log(
                LOG_ERR,
                f"FFI030: ffi_python3: {name}: {text}\n"
                + format_traceback(error),
                task,
            )
        return text

    def tell_hidden(self) -> None:
        self._limit.flush()

    def _tell(self, hidden: int) -> None:
        native.log(
            LOG_ERR,
            f"FFI031: ffi_python3: {join(self.name, '')}: {hidden} more"
            " exceptions in that second, not shown",
        )
