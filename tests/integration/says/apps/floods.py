# SPDX-License-Identifier: BSD-2-Clause
"""Says much, and says that it did."""

from __future__ import annotations

import logging
import logging.config
import time

from resty_ffi import serve


@serve
def flood(request: bytes) -> str:
    """So many lines at once; the seconds that takes."""
    begun = time.monotonic()
    for number in range(int(request)):
        print("flood", number)
    return str(time.monotonic() - begun)


@serve(threads=4)
def steady(request: bytes) -> None:
    """One line, by logging."""
    logging.warning("steady %s", request.decode())


@serve
def level(request: bytes) -> str:
    """Of logging's root."""
    logging.debug("a debug line")
    return logging.getLevelName(logging.getLogger().level)


@serve
def configured(request: bytes) -> str:
    """What an application may do with logging of its own accord."""
    logging.basicConfig(level=logging.DEBUG, force=True)
    logging.debug("by basicConfig")
    logging.basicConfig(format="<%(message)s>", force=True)
    logging.warning("with a format")
    logging.basicConfig(filename=request.decode(), force=True)
    logging.warning("in a file")
    logging.basicConfig(handlers=[logging.NullHandler()], force=True)
    logging.warning("nowhere")
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {"nginx": {"class": "resty_ffi.log.Handler"}},
            "root": {"handlers": ["nginx"], "level": "INFO"},
        }
    )
    logging.getLogger("shop").info("by dictConfig")
    return "done"
