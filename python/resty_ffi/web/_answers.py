# SPDX-License-Identifier: BSD-2-Clause
"""What nginx is told of a request whose application has failed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import _answers
from .._loader.errors import format_traceback
from .._native import native

INTERNAL_SERVER_ERROR = 500
SHOW_ERRORS = 3


class Answers(_answers.Answers):
    def __init__(
        self, name: str, describe: Callable[[BaseException, Any], str], tq: int
    ) -> None:
        super().__init__(name, describe)
        self._shows = bool(native.option(tq, SHOW_ERRORS, 0))

    def failed(self, error: BaseException, task: Any) -> tuple[int, str]:
        """The status for the client, and a line for error.log.

        Behind that there is the traceback where python_show_errors is on.
        """
        text = self._describe(error, task)
        if self._shows:
            text += "\n" + format_traceback(error)
        return INTERNAL_SERVER_ERROR, text
