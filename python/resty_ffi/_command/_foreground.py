# SPDX-License-Identifier: BSD-2-Clause
"""nginx as a child: its output, its end, and its reloads.

It is in a session of its own, so that what a terminal sends comes here: the
first Ctrl-C lets it end what it has begun, the second does not, and the third
kills it. It ends with this process, however that ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from ._output import Output
from ._watch import Watch

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PR_SET_PDEATHSIG = 1
START_LOOK_S = 0.02


class Foreground:
    """pid: the file that nginx makes once it listens, and started is called.

    prepare: called before a reload; a text says why there is to be none.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        pid: Path | None,
        environ: Mapping[str, str] | None = None,
        cwd: str | Path | None = None,
        watch: Watch | None = None,
        started: Callable[[], None] = lambda: None,
        prepare: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._command = command
        self._environ = environ
        self._cwd = cwd
        self._pid = pid
        self._watch = watch
        self._started: Callable[[], None] | None = started
        self._prepare = prepare
        self._asked = 0
        self._next_look = 0.0

    def run(self) -> int:
        """Until it has ended: 0 where that was asked for."""
        with _signals() as signals, selectors.PollSelector() as selector:
            if self._pid:
                self._pid.unlink(missing_ok=True)
            self._process = subprocess.Popen(
                self._command,
                env=self._environ,
                cwd=self._cwd,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                start_new_session=True,
                preexec_fn=_end_with(os.getpid()),
            )
            try:
                self._serve(selector, signals)
            finally:
                self._kill()
        return 0 if self._asked else self._process.returncode or 1

    def _serve(self, selector: selectors.PollSelector, signals: int) -> None:
        assert self._process.stdout
        output = Output(self._process.stdout.fileno(), selector)
        selector.register(signals, selectors.EVENT_READ)
        while self._process.poll() is None:
            for key, _ in selector.select(self._timeout()):
                if key.fd == signals:
                    self._hear(os.read(signals, 100))
                elif not output.forward(key.fd):
                    os.kill(os.getpid(), signal.SIGTERM)
            self._look()
        output.finish()

    def _timeout(self) -> float | None:
        if self._started:
            return START_LOOK_S
        if self._watch is None or self._asked:
            return None
        return max(0.0, self._next_look - time.monotonic())

    def _hear(self, signals: bytes) -> None:
        for number in signals:
            if number not in ENDING:
                continue
            self._asked += 1
            if self._asked == 1:
                say("ends what it has begun; Ctrl-C again does not wait")
                self._send(signal.SIGQUIT)
            elif self._asked == 2:
                self._send(signal.SIGTERM)
            else:
                self._kill()

    def _look(self) -> None:
        if self._started:
            if self._pid and not self._pid.exists():
                return
            self._started()
            self._started = None
        now = time.monotonic()
        if self._watch is None or self._asked or now < self._next_look:
            return
        changed = self._watch.changed()
        if changed:
            more = f" and {len(changed) - 1} more" if changed[1:] else ""
            refused = self._prepare()
            what = refused or "a new worker"
            say(f"{os.path.relpath(changed[0])}{more} changed: {what}")
            if refused is None:
                self._send(signal.SIGHUP)
        self._next_look = time.monotonic() + self._watch.pause

    def _send(self, number: signal.Signals) -> None:
        if self._process.poll() is None:
            os.kill(self._process.pid, number)

    def _kill(self) -> None:
        """With workers that its master has left behind."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def say(text: str) -> None:
    print(f"serve: {text}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def _signals() -> Iterator[int]:
    """A descriptor from which those that come are read, a byte each."""
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    old = {
        number: signal.signal(number, lambda *_: None)
        for number in (*ENDING, signal.SIGCHLD)
    }
    old_writer = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        yield reader
    finally:
        signal.set_wakeup_fd(old_writer)
        for number, handler in old.items():
            signal.signal(number, handler)
        os.close(reader)
        os.close(writer)


def _end_with(parent: int) -> Callable[[], None]:
    """Has a child told when its parent is gone."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def prepare() -> None:
        prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return prepare
