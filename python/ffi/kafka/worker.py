# SPDX-License-Identifier: BSD-2-Clause
"""A thread beside the event loop, for calls of librdkafka that block."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any


class Worker:
    """Runs `run` once; the event loop that made it may wait for its end."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(
            target=self._main, name=name, daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    async def wait(self, seconds: float) -> None:
        """Until it has ended; a thread that takes longer is left behind."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._ended.wait(), seconds)

    def run(self) -> None:
        raise NotImplementedError

    def post(self, callback: Callable[..., object], *args: Any) -> None:
        """Have the loop call it, if the loop is still there."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback, *args)

    def _main(self) -> None:
        try:
            self.run()
        finally:
            self.post(self._ended.set)
