# SPDX-License-Identifier: BSD-2-Clause
"""Runtimes of plain handlers."""

from __future__ import annotations

import functools
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from ._handlers import Handlers, resolve
from ._loader.threads import Thread
from ._native import native
from ._runtime import REPLY_TURN_S, Replies, Runtime

# Calls a poll takes at once: alone, a thread takes what there is; one of
# several leaves the rest to the others.
BATCH = 64


class Threads(Runtime):
    """Plain handlers: each thread takes calls and answers them."""

    def open(self) -> None:
        native.name(self._tq, self._name)
        handlers = self._resolve()
        self._runtime = self._make(
            handlers, no_run, self._make_readers(handlers)
        )
        self._left = 1
        self._lock = threading.Lock()
        self._close = handlers.close
        self._closed = threading.Event()
        try:
            for number in range(2, self._threads + 1):
                with self._lock:
                    self._spawn(f"{self._name}-{number}")
                    self._left += 1
        except BaseException:
            # the load fails, which unloads those that have started
            self._leave()
            raise

    def _resolve(self) -> Handlers:
        return resolve(self._target, self._config)

    def _make_readers(
        self, handlers: Handlers
    ) -> dict[Callable[..., Any], Callable[..., Any]]:
        return dict(handlers.readers)

    def _spawn(self, name: str) -> None:
        serve = functools.partial(self.base.copy().run, self._serve, name)
        Thread(serve, name).start()

    def run(self) -> None:
        self._serve(self._name)
        self._closed.wait()

    def _serve(self, name: str) -> None:
        native.name(self._tq, name[-15:])
        if self._threads == 1:
            self._runtime.serve(BATCH, sys.getswitchinterval() / 2)
        else:
            self._runtime.serve(1, sys.getswitchinterval())
        self._leave()

    def _leave(self) -> None:
        with self._lock:
            self._left -= 1
            last = self._left == 0
        if last:
            replies = Replies(self._runtime)
            while replies.to_come():
                time.sleep(REPLY_TURN_S)
                self._runtime.collect()
            if self._close is not None:
                try:
                    self._close()
                except BaseException as error:
                    self._log(error)
            self._log.tell_hidden()
            self._closed.set()


def no_run(*args: object) -> Any:
    raise AssertionError("no handler of plain threads makes a coroutine")
