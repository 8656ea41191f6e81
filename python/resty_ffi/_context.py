# SPDX-License-Identifier: BSD-2-Clause
"""What the contexts of calls are copies of."""

from __future__ import annotations

import contextvars
import sys
from collections.abc import Callable


class Base:
    """The context as it is where this is made: import and __init__ left it.

    renew is to be called in each copy, where it is not None. A copy has the
    same objects as its original, and one of them calls may well change:
    decimal's context.
    """

    def __init__(self) -> None:
        self.context = contextvars.copy_context()
        decimal = sys.modules.get("decimal")
        self.renew: Callable[[], object] | None = None
        if decimal is not None and any(
            isinstance(value, decimal.Context)
            for value in self.context.values()
        ):
            self.renew = lambda: decimal.setcontext(
                decimal.getcontext().copy()
            )

    @staticmethod
    def renew_here() -> None:
        """Change nobody else's from now on, in the running context."""
        renew = Base().renew
        if renew is not None:
            renew()

    def copy(self) -> contextvars.Context:
        """One for a call."""
        context = self.context.copy()
        if self.renew is not None:
            context.run(self.renew)
        return context
