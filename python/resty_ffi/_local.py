"""Calls, threads and event loops of runtimes without nginx."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextvars import Context, copy_context
from typing import Any

from ._call import call_var
from ._ending import Ending

logger = logging.getLogger("resty_ffi")

# What a call returns in Lua; see testing.Runtime.
Answer = tuple[Any, ...]


class LocalCall:
    """A call, between the thread that waits and the one that answers."""

    def __init__(
        self, method: str, request: bytes, timeout: float | None
    ) -> None:
        self.method = method
        self.request = request
        self.deadline = None if timeout is None else time.monotonic() + timeout
        self.cancelled = False
        self.task: asyncio.Future[Any] | None = None
        self._lock = threading.Lock()
        self._answer: Answer | None = None
        self._ends = False
        self._ended = threading.Event()
        self._callbacks: list[tuple[Callable[[bool], object], Context]] = []

    def on_delivered(self, callback: Callable[[bool], object], /) -> None:
        if not callable(callback):
            raise TypeError(f"callback must be callable, not {callback!r}")
        if self._ends:
            raise RuntimeError("the call has been answered")
        context = copy_context()
        context.run(call_var.set, None)
        self._callbacks.append((callback, context))

    def wait(self) -> None:
        """Wait for the end, as long as the deadline says."""
        left = None
        if self.deadline is not None:
            left = max(0.0, self.deadline - time.monotonic())
        self._ended.wait(left)

    def settle(self) -> Answer | None:
        """The answer; where there is none so far, nobody wants it now."""
        with self._lock:
            self.cancelled = self._answer is None
            return self._answer

    def is_late(self) -> bool:
        """Whether it is not to run any more."""
        if self.deadline is None:
            return self.cancelled
        return self.cancelled or self.deadline <= time.monotonic()

    def end(self, answer: Answer) -> None:
        with self._lock:
            delivered = not self.cancelled
            if delivered:
                self._answer = answer
        self._ends = True
        for callback, context in self._callbacks:
            try:
                context.run(callback, delivered)
            except BaseException:
                logger.exception("resty_ffi: on_delivered: %r", callback)
        self._ended.set()


def start_thread(main: Callable[[], None], name: str) -> Future[None]:
    """Run main in a daemon thread; the future is its end."""
    end: Future[None] = Future()

    def run() -> None:
        try:
            main()
        except BaseException as error:
            end.set_exception(error)
        else:
            end.set_result(None)

    threading.Thread(target=run, name=name, daemon=True).start()
    return end


def run_loop(
    main: Coroutine[Any, Any, None],
    name: str,
    failed: Callable[[BaseException], object],
) -> None:
    """Run main in an event loop that SystemExit does not end.

    name: of the loop's executor and in what is said of its end. failed: is
    told what tasks have raised that handlers started.
    """
    loop = asyncio.new_event_loop()
    ending = Ending(
        loop, name, failed, lambda text: logger.warning("%s: %s", name, text)
    )
    task = loop.create_task(main)
    try:
        while not task.done():
            try:
                loop.run_until_complete(task)
            except (SystemExit, KeyboardInterrupt) as error:
                if not task.done():
                    failed(error)
        task.result()
    finally:
        ending.end()
