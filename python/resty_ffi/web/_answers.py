# SPDX-License-Identifier: BSD-2-Clause
"""What nginx is told of a request whose application has failed."""

from __future__ import annotations

from .. import _answers

INTERNAL_SERVER_ERROR = 500


class Answers(_answers.Answers):
    def failed(self, error: BaseException) -> tuple[int, str]:
        """The status for the client, and a line for error.log."""
        return INTERNAL_SERVER_ERROR, self._describe(error)
