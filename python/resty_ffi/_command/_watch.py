# SPDX-License-Identifier: BSD-2-Clause
"""Which files have changed: `.py` of some folders, and what workers tell.

Files are looked at again and again, which sees what every editor does on
every file system. That takes a twentieth of one CPU at most: a look that
takes long is followed by a longer pause.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

# Time of the change in ns, size, inode; None: it is not there.
State = tuple[int, int, int] | None

PAUSE_S = 0.1
PAUSES_PER_LOOK = 20
SETTLE_S = 2.0


class Watch:
    """files: others than `.py`. told: the file of _loader/watched.py, which
    is there.

    What there is when this is made has not changed.
    """

    def __init__(
        self, folders: Iterable[str], told: Path, files: Iterable[str] = ()
    ) -> None:
        self._folders = list(dict.fromkeys(map(os.path.abspath, folders)))
        self._files = list(files)
        self._told = told
        self._position = 0
        self._begun: float | None = None
        self._base: dict[str, State] = {}
        self._last: dict[str, State] = {}
        self._look()
        self._base = self._last
        self.pause = PAUSE_S

    def changed(self) -> list[str]:
        """Those that have, once nothing changes any more from look to look."""
        begin = time.monotonic()
        before = self._last
        self._look()
        now = time.monotonic()
        self.pause = max(PAUSE_S, PAUSES_PER_LOOK * (now - begin))
        if self._begun is None:
            self._begun = now
        if self._last != before and now - self._begun < SETTLE_S:
            return []
        self._begun = None
        names = self._base.keys() | self._last.keys()
        changes = [
            name
            for name in sorted(names)
            if self._base.get(name) != self._last.get(name)
        ]
        self._base = self._last
        return changes

    def _look(self) -> None:
        found: dict[str, State] = {}
        for folder in self._folders:
            found.update(_sources(folder))
        for name in [*self._files, *(self._base.keys() - found.keys())]:
            found[name] = state(name)
        for name, then in self._news():
            if name not in found:
                self._base = {**self._base, name: then}
                found[name] = state(name)
        self._last = found

    def _news(self) -> Iterator[tuple[str, State]]:
        """What workers have imported meanwhile, as it was then."""
        with self._told.open("rb") as file:
            file.seek(self._position)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._position += len(line)
                *numbers, name = line[:-1].split(b" ", 3)
                mtime, size, inode = map(int, numbers)
                yield os.fsdecode(name), (mtime, size, inode)


def state(name: str) -> State:
    try:
        found = os.stat(name)
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _sources(folder: str) -> Iterator[tuple[str, State]]:
    """No hidden ones, and none of a virtual environment."""
    folders = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                name = entry.name
                if name == "pyvenv.cfg":
                    return
                if name.startswith(".") or name in _SKIPPED:
                    continue
                if name.endswith(".py"):
                    yield entry.path, state(entry.path)
                elif entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
    except OSError:
        return
    for inner in folders:
        yield from _sources(inner)


_SKIPPED = {"__pycache__", "node_modules", "site-packages", "dist-packages"}
