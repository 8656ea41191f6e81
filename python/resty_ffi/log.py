# SPDX-License-Identifier: BSD-2-Clause
"""A handler of logging's for nginx's error.log.

    LOGGING = {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"nginx": {"class": "resty_ffi.log.Handler"}},
        "root": {"handlers": ["nginx"], "level": "INFO"},
    }

Where an application has no handler at all, there is one already.
"""

from __future__ import annotations

import logging
import sys

from ._loader import logs


class Handler(logging.Handler):
    """Lines of a logger in error.log, at its level; outside nginx, stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        if "_resty_ffi" in sys.builtin_module_names:
            logs.emit(self, record)
            return
        try:
            sys.stderr.write(self.format(record) + "\n")
        except Exception:
            self.handleError(record)
