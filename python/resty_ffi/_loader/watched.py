# SPDX-License-Identifier: BSD-2-Clause
"""Tells a tool which source files a worker has: `--watch` reads it.

RESTY_FFI_WATCH names a file, to which each worker adds a line for each source
that is compiled or executed: what it was then, and where it is.
"""

from __future__ import annotations

import functools
import os
import sys

VARIABLE = "RESTY_FFI_WATCH"


@functools.cache
def watch_imports() -> None:
    """Where that is set; an audit hook cannot be taken away again."""
    file = os.environ.get(VARIABLE)
    if file:
        sys.addaudithook(_Watched(file).hear)


class _Watched:
    def __init__(self, file: str) -> None:
        self._file = file
        self._told: set[str] = set()

    def hear(self, event: str, arguments: tuple[object, ...]) -> None:
        # what it raised would end the import
        if event == "exec":
            name = getattr(arguments[0], "co_filename", None)
        elif event == "compile":
            name = arguments[1]
        else:
            return
        try:
            if isinstance(name, str) and name not in self._told:
                self._told.add(name)
                self._tell(name)
        except Exception:
            pass

    def _tell(self, name: str) -> None:
        if not name.endswith(".py") or not os.path.isabs(name):
            return
        found = os.stat(name)
        line = f"{found.st_mtime_ns} {found.st_size} {found.st_ino} {name}\n"
        if "\n" in name:
            return
        # threads need not share descriptors
        target = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        try:
            os.write(target, os.fsencode(line))
        finally:
            os.close(target)
