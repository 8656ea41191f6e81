# SPDX-License-Identifier: BSD-2-Clause
"""Processes that this started, and what they cost."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

PATIENCE = 20.0


class BenchError(Exception):
    """A competitor cannot be measured, for the reason that this names."""


def eventually(probe: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not probe():
        if time.monotonic() > end:
            raise BenchError(f"{what}: nothing within {PATIENCE:.0f} s")
        time.sleep(0.02)


class Process:
    """A server in a process group of its own, its output in a file."""

    def __init__(
        self,
        command: Sequence[str],
        output: Path,
        environ: Mapping[str, str],
        cwd: Path,
    ) -> None:
        self.output = output
        with output.open("wb") as file:
            try:
                self._process = subprocess.Popen(
                    command,
                    cwd=cwd,
                    env=environ,
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:
                raise BenchError(str(error)) from error

    def said(self) -> str:
        lines = self.output.read_text(errors="replace").split("\n")
        return " ".join(line.strip() for line in lines[-4:]).strip()

    def check(self) -> bool:
        if self._process.poll() is not None:
            raise BenchError(f"ended at its start: {self.said()}")
        return True

    def pids(self) -> list[int]:
        """Parents first."""
        found = [self._process.pid]
        for pid in found:
            with contextlib.suppress(OSError):
                for file in Path(f"/proc/{pid}/task").glob("*/children"):
                    found += map(int, file.read_text().split())
        return found

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def pause(self) -> None:
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)

    def stop(self) -> None:
        self.resume()
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(PATIENCE / 4)
        self.signal(signal.SIGKILL)
        self._process.wait()


def cpu(pid: int) -> int:
    """Nanoseconds of CPU of a process, threads that have ended included."""
    # what clock_getcpuclockid(3) makes of a pid
    return time.clock_gettime_ns(~pid << 3 | 2)


def main_thread_cpu(pid: int) -> int:
    """Nanoseconds of CPU of a process's first thread."""
    schedstat = Path(f"/proc/{pid}/task/{pid}/schedstat").read_text()
    return int(schedstat.split()[0])
