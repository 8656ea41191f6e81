# SPDX-License-Identifier: BSD-2-Clause
"""Threads for the plain methods of a class with an event loop."""

from __future__ import annotations

import functools
import threading
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue

from ._loader.threads import Thread
from ._native import native

# A thread with streams looks for those that are overdue as often.
HOUSEKEEPING_S = 1.0


class Pool:
    """Threads answer calls; a stream stays with the thread that began it.

    A thread is started where all others are busy or have streams, up to a
    number.
    """

    def __init__(
        self,
        runtime: native.Runtime,
        threads: int,
        name: str,
        failed: Callable[[BaseException], object],
    ) -> None:
        self._runtime = runtime
        self._threads = threads
        self._name = name
        self._failed = failed
        self._lock = threading.Lock()
        self._workers: list[_Worker] = []
        self._idle: list[_Worker] = []
        self._tasks: deque[int] = deque()
        self._running = 0

    def submit(self, task: int) -> None:
        """Have a thread answer a call."""
        with self._lock:
            # a call may block, and hold up the streams of its thread
            free = [w for w in self._idle if not w.has_streams]
            if free:
                self._mail(free[-1], task)
            elif len(self._workers) < self._threads and self._start(task):
                pass
            elif self._idle:
                self._mail(self._idle[-1], task)
            else:
                self._tasks.append(task)
            self._running += 1

    def _mail(self, worker: _Worker, task: int) -> None:
        self._idle.remove(worker)
        worker.mail_task(task)

    def _start(self, task: int) -> bool:
        """False where no thread can be started, and there are others."""
        worker = _Worker(self, self._runtime)
        worker.mail_task(task)
        number = len(self._workers)
        try:
            Thread(worker.run, f"{self._name}_{number}").start()
        except RuntimeError:
            if not self._workers:
                raise
            return False
        self._workers.append(worker)
        return True

    @property
    def busy(self) -> bool:
        """Whether calls have not been answered."""
        return self._running > 0 or any(w.has_streams for w in self._workers)

    def wake(self, task: int | None) -> None:
        """Something is new about a call; None: maybe about any."""
        for worker in self._workers:
            if worker.has_streams:
                worker.mail.put(functools.partial(worker.streams.wake, task))

    def shutdown(self) -> None:
        """End the threads, and first what streams they have."""
        for worker in self._workers:
            worker.mail.put(worker.end)
        # which refers to this one
        del self._runtime

    # ---- for workers

    def next_task(self, worker: _Worker) -> int | None:
        """A call that waits; where there is none, the next is mailed."""
        with self._lock:
            if self._tasks:
                return self._tasks.popleft()
            if worker not in self._idle:
                self._idle.append(worker)
            return None

    def done(self) -> None:
        with self._lock:
            self._running -= 1

    def failed(self, error: BaseException) -> None:
        self._failed(error)


class _Worker:
    """One thread. mail: what it has to do, of its own."""

    streams: native.Streams

    def __init__(self, pool: Pool, runtime: native.Runtime) -> None:
        self.mail: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self.has_streams = False
        self._pool = pool
        self._runtime = runtime
        self._ended = False

    def mail_task(self, task: int) -> None:
        self.mail.put(functools.partial(self.answer, task))

    def answer(self, task: int) -> None:
        try:
            self._runtime.answer(task, self.streams)
        finally:
            self.has_streams = self.streams.open
            self._pool.done()

    def end(self) -> None:
        self.streams.end()
        self._ended = True

    def run(self) -> None:
        self.streams = self._runtime.streams()
        ready = False
        while not self._ended:
            try:
                self._work(ready)
                ready = self.streams.run()
            except BaseException as error:
                self._pool.failed(error)
            self.has_streams = self.streams.open
        del self.streams, self._runtime, self._pool

    def _work(self, ready: bool) -> None:
        """Do what is next; without anything ready, wait for it."""
        if self.mail.empty():
            task = self._pool.next_task(self)
            if task is not None:
                self.answer(task)
                return
        seconds = 0 if ready else HOUSEKEEPING_S if self.has_streams else None
        try:
            job = self.mail.get(seconds != 0, seconds or None)
        except Empty:
            return
        job()
