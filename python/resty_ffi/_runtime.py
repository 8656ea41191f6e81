# SPDX-License-Identifier: BSD-2-Clause
"""What all runtimes of served handlers have in common."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ._answers import Answers
from ._call import call_var
from ._context import Base
from ._handlers import Handlers
from ._loader.speaker import name_var
from ._log import Log
from ._native import native
from ._options import Options

LAST_REPLIES_S = 1.0
REPLY_TURN_S = 0.01


class Runtime:
    def __init__(
        self,
        target: Any,
        name: str,
        config: str,
        tq: int,
        threads: int,
        options: Options,
    ) -> None:
        self._target = target
        self._name = name
        self._config = config
        self._tq = tq
        self._threads = threads
        self._options = options
        self._log = Log(name)

    def open(self) -> None:
        """Get ready to take calls, on the thread that then runs run."""
        raise NotImplementedError

    def run(self) -> None:
        """Serve until the runtime is unloaded, and end it."""
        raise NotImplementedError

    def _make(
        self,
        handlers: Handlers,
        run: Callable[..., Any],
        readers: dict[Callable[..., Any], Callable[..., Any]],
    ) -> native.Runtime:
        if handlers.methods is not None:
            self._log.name = f"{self._name}."
        name_var.set(self._log.name)
        self.base = Base()
        return native.Runtime(
            tq=self._tq,
            handler=handlers.function,
            methods=handlers.methods,
            coroutines=handlers.coroutines,
            answers=self._make_answers(),
            run=run,
            call_var=call_var,
            context=self.base.context,
            renew=self.base.renew,
            view=self._options.view,
            readers=readers,
        )

    def _make_answers(self) -> Answers:
        return Answers(self._name, self._log)


class Replies:
    """The last answers, whose objects and whose fate nginx's thread has."""

    def __init__(self, runtime: native.Runtime) -> None:
        self._runtime = runtime
        self._end: float | None = None

    def to_come(self) -> bool:
        """Whether to wait: they all come back, unless the worker leaves."""
        if not self._runtime.outstanding:
            return False
        if not native.exiting():
            return True
        now = time.monotonic()
        if self._end is None:
            self._end = now + LAST_REPLIES_S
        return now < self._end
