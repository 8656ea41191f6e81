# SPDX-License-Identifier: BSD-2-Clause
"""Lines of users' code for error.log, sys.stdout's and sys.stderr's too."""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Iterable
from typing import Any, TextIO

from .errors import LOG_ERR, LOG_NOTICE, LOG_WARN
from .leave import callbacks
from .limit import Limit
from .speaker import join, name_var, running_task, speaker

# Characters of a line; of one entry of several lines.
LINE = 8192
ENTRY = 60_000

# Lines a second of one runtime, where RESTY_FFI_LOG_RATE does not say.
RATE = 1000

_limits: dict[str, Limit] = {}
_in_child = False


def say(
    level: int, text: str, name: str = "", whose: Any = None, code: str = ""
) -> None:
    """Write what users' code says to error.log.

    name: of the runtime, where that is known; whose: as of speaker, where it
    is not who runs now; code: of a message of ours.
    """
    import _resty_ffi  # only in nginx

    if level > _resty_ffi.log_level():
        return
    limit = _limit_of(name or name_var.get())
    if limit is not None and not limit.may_show():
        return
    who, task = whose or speaker(name)
    text = f"{code}ffi_python3: {who}: {cut(text, ENTRY)}"
    _resty_ffi.log(level, text, task)


def cut(text: str, most: int, more: int = 0) -> str:
    """With a mark where it was too long; more: of it that is not there."""
    more += max(0, len(text) - most)
    if more:
        text = f"{text[:most]}... ({more} more characters)"
    return text


def in_child() -> bool:
    """Whether this is a process that the worker has forked."""
    return _in_child


def _limit_of(name: str) -> Limit | None:
    limit = _limits.get(name)
    if limit is None and _rate:

        def tell(hidden: int) -> None:
            import _resty_ffi  # only in nginx

            _resty_ffi.log(
                LOG_WARN,
                f"FFI032: ffi_python3: {join(name, '') or 'threads'}:"
                f" {hidden} more lines suppressed in 1 s",
            )

        limit = _limits.setdefault(name, Limit(_rate, tell))
    return limit


def _find_rate() -> int:
    try:
        return max(0, int(os.environ.get("RESTY_FFI_LOG_RATE", RATE)))
    except ValueError:
        return RATE


_rate = _find_rate()


def _tell_hidden() -> None:
    for limit in list(_limits.values()):
        limit.flush()


# ---- streams


class _Begun:
    """A line that has not ended: its first characters, and who has written.

    more: how many there were besides. Where its thread ends, so does it.
    """

    def __init__(self, lines: Lines, key: Any) -> None:
        self.lines = lines
        self.key = key
        self.text = ""
        self.more = 0
        self.whose = speaker(lines.runtime)

    def add(self, text: str) -> None:
        room = max(0, LINE - len(self.text))
        self.text += text[:room]
        self.more += max(0, len(text) - room)

    def end(self, *_: object) -> None:
        text, more = self.text, self.more
        self.text, self.more = "", 0
        if text:
            self.lines.log(text, more, self.whose)

    __del__ = end


class Lines(io.TextIOBase):
    """A text stream that logs whole lines, of each thread or task its own.

    What has no line feed is logged by flush, when the task, call or thread
    ends, or where the thread answers another call. runtime: whose it is, if
    it is not everybody's.
    """

    encoding = "utf-8"
    errors = "backslashreplace"
    line_buffering = True
    mode = "w"

    def __init__(
        self,
        level: int,
        fd: int,
        raw: TextIO | None = None,
        runtime: str = "",
    ) -> None:
        self.level = level
        self.runtime = runtime
        self.name = f"<{'stdout' if fd == 1 else 'stderr'}>"
        self.buffer = _Buffer(self)
        self._fd = fd
        self._raw = raw
        self._of_thread = threading.local()

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        return self._fd

    def close(self) -> None:
        """It is everybody's."""

    def reconfigure(self, **_: object) -> None:
        """As io.TextIOWrapper has it; there is nothing to choose."""

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            kind = type(text).__name__
            raise TypeError(f"write() argument must be str, not {kind}")
        if _in_child:
            if self._raw is not None:
                self._raw.write(text)
            return len(text)
        *whole, rest = text.split("\n")
        begun = self._begun() if rest or self._holds() else None
        if begun is not None:
            if not whole:
                begun.add(rest)
                return len(text)
            begun.add(whole.pop(0))
            begun.end()
        for line in whole:
            self.log(line)
        if begun is not None:
            begun.add(rest)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:  # type: ignore[override]
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """What this thread or task has begun, as a line."""
        if not _in_child and self._holds():
            self._begun().end()

    def log(self, line: str, more: int = 0, whose: Any = None) -> None:
        line = line.removesuffix("\r")
        if line:
            say(self.level, cut(line, LINE, more), self.runtime, whose)

    def _holds(self) -> bool:
        return bool(self._of_thread.__dict__)

    def _begun(self) -> _Begun:
        """That of the task which runs, or of the thread's call."""
        local = self._of_thread.__dict__
        task = _running_task()
        if task is not None:
            key = f"{id(task):x}"
            begun: _Begun | None = local.get(key)
            if begun is None:
                begun = local[key] = _Begun(self, task)

                def end(_: object) -> None:
                    local.pop(key).end()

                task.add_done_callback(end)
            return begun
        number = running_task()
        begun = local.get("begun")
        if begun is None or begun.key != number:
            if begun is not None:
                begun.end()
            begun = local["begun"] = _Begun(self, number)
        return begun


class _Buffer(io.RawIOBase):
    """sys.stdout.buffer: bytes of lines."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._lines.fileno()

    def close(self) -> None:
        """It is everybody's."""

    def write(self, data: Any) -> int:
        with memoryview(data) as view:
            text = view.tobytes().decode("utf-8", "backslashreplace")
            self._lines.write(text)
            return view.nbytes

    def flush(self) -> None:
        self._lines.flush()


def _running_task() -> Any:
    """The task of asyncio's that runs in this thread, or None."""
    events = sys.modules.get("asyncio.events")
    running = getattr(events, "_get_running_loop", None)
    loop = running() if running is not None else None
    if loop is None:
        return None
    return sys.modules["asyncio.tasks"].current_task(loop)


def _after_fork() -> None:
    """A child has the descriptors, and no nginx that would write its lines."""
    global _in_child
    _in_child = True
    for name in ("stdout", "stderr"):
        if isinstance(getattr(sys, name), Lines):
            setattr(sys, name, getattr(sys, f"__{name}__"))


def are_plain() -> bool:
    """Whether streams are left as they are."""
    return os.environ.get("RESTY_FFI_STREAMS") == "plain"


def install() -> None:
    if not are_plain():
        sys.stdout = Lines(LOG_NOTICE, 1, sys.__stdout__)
        sys.stderr = Lines(LOG_ERR, 2, sys.__stderr__)
    os.register_at_fork(after_in_child=_after_fork)
    callbacks.append(_tell_hidden)


if "_resty_ffi" in sys.builtin_module_names:
    install()
