# SPDX-License-Identifier: BSD-2-Clause
"""Web applications that nginx passes requests to: `python_pass` starts them.

nginx loads `resty_ffi.web,application,options`; see _target.py for those.
"""

from __future__ import annotations

from collections.abc import Callable


class _Web:
    """What the loader asks to start a runtime of `application`."""

    def start(
        self, target: object, name: str, config: str, tq: int
    ) -> Callable[[], None]:
        from . import _start

        return _start.start(config, tq)


def application(config: int, tq: int) -> int:
    """For the loader alone, which asks what is marked and never calls it."""
    raise NotImplementedError


application.__resty_ffi__ = _Web()  # type: ignore[attr-defined]
