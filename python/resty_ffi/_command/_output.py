# SPDX-License-Identifier: BSD-2-Clause
"""What a child writes, to stdout: who does not read it holds up nothing else.

The child has to wait then, as if it had stdout itself.
"""

from __future__ import annotations

import os
import select
import selectors
import sys

# as much as a pipe takes at once, where it takes anything
PIECE = 4096
LAST_MS = 1000


class Output:
    """source: a pipe. selector waits for it, or for stdout: by turns."""

    def __init__(self, source: int, selector: selectors.PollSelector) -> None:
        self._source = source
        self._selector = selector
        self._target = sys.stdout.fileno() if sys.stdout else _nowhere()
        self._pending = b""
        self._ended = False
        os.set_blocking(source, False)
        selector.register(source, selectors.EVENT_READ)

    def forward(self, fd: int) -> bool:
        """For the one that is ready; False: nobody reads any more."""
        if fd == self._source:
            if self._read():
                self._selector.unregister(fd)
                self._selector.register(self._target, selectors.EVENT_WRITE)
            elif self._ended:
                self._selector.unregister(fd)
            return True
        written = self._write()
        if not self._pending:
            self._selector.unregister(fd)
            self._selector.register(self._source, selectors.EVENT_READ)
        return written

    def finish(self) -> None:
        """What is there, where somebody reads it."""
        poll = select.poll()
        poll.register(self._target, select.POLLOUT)
        while self._pending or self._read():
            if not poll.poll(LAST_MS) or not self._write():
                break

    def _read(self) -> bool:
        try:
            self._pending = os.read(self._source, 65536)
        except BlockingIOError:
            return False
        self._ended = not self._pending
        return not self._ended

    def _write(self) -> bool:
        try:
            done = os.write(self._target, self._pending[:PIECE])
        except BlockingIOError:
            return True
        except OSError:
            self._pending = b""
            self._target = _nowhere()
            return False
        self._pending = self._pending[done:]
        return True


def _nowhere() -> int:
    return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
