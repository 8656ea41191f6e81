# SPDX-License-Identifier: BSD-2-Clause
"""Drives a handler as nginx would, without nginx.

    from resty_ffi.testing import Runtime

    with Runtime(upper) as rt:
        assert rt(b"x") == (True, b"X")

    with Runtime(Cache, config='{"size": 1}') as rt:
        ok, rc, err = rt.get(b"key", timeout=0.25)

Threads, event loop, contexts and the meaning of every answer are as in nginx,
by the same code, but that the threads are daemons. What error.log would hold
goes to the logger "resty_ffi". There is no limit to the queue.
"""

from __future__ import annotations

import concurrent.futures
import functools
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any

from ._native import native
from ._options import Options
from ._standin import Queue
from ._standin_call import Answer, Call
from ._testing_stream import Stream

__all__ = ["Answer", "Runtime", "Stream"]

TIMEOUT: Answer = (False, "timeout")
UNLOADED: Answer = (False, "task queue is finished")


class Runtime:
    """A runtime of one target of `serve`.

    Calls block the calling thread, and any thread may call:

        rt(request, timeout=60.0)                   as rt(request) in Lua
        rt.name(request, timeout=60.0)              as rt:name(request)
        rt.call("name", request, timeout=60.0)      the same, for any name
        rt.stream("name", request)                  as ffi.stream: a Stream

    request: bytes or None. timeout: seconds, None for no end. They return
    what Lua gets:

        (True, body)        the handler returned; body: bytes or None
        (False, rc, body)   it raised; rc: an int that is not 0
        (False, "timeout")  no answer in time; a coroutine is cancelled, for
                            a plain function current().cancelled is True
        (False, "task queue is finished")

    When a call returns with an answer, its callbacks of on_delivered have
    run; after a timeout they run when the handler has ended.
    """

    def __init__(self, target: Any, *, config: str = "") -> None:
        """Start the runtime; raises what the class's __init__ raises.

        RuntimeError in nginx.
        target: what `serve` has marked, else TypeError.
        config: the third part of the cfg in ngx.load_ffi.
        """
        if native.__name__ == "_resty_ffi":
            raise RuntimeError("resty_ffi.testing is for outside of nginx")
        options = getattr(target, "__resty_ffi__", None)
        if not isinstance(options, Options):
            raise TypeError(f"{target!r} is not marked by resty_ffi.serve")
        self._target = target
        self._config = config
        self._options = options
        kind = type(target)
        name = getattr(target, "__qualname__", kind.__qualname__)
        self._name = f"{target.__module__}.{name}"
        self._queue: Any = Queue()
        self._ready: Future[None] = Future()
        self._end: Future[None] = Future()
        threading.Thread(
            target=self._main, name=self._name, daemon=True
        ).start()
        concurrent.futures.wait(
            (self._ready, self._end),
            return_when=concurrent.futures.FIRST_COMPLETED,
        )
        if self._end.done():
            self._end.result()

    def __enter__(self) -> Runtime:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.unload()

    def __call__(
        self, request: bytes | None = None, *, timeout: float | None = 60.0
    ) -> Answer:
        return self.call("", request, timeout=timeout)

    def __getattr__(self, name: str) -> Callable[..., Answer]:
        if name.startswith("_"):
            raise AttributeError(name)
        return functools.partial(self.call, name)

    def call(
        self,
        method: str,
        request: bytes | None = None,
        *,
        timeout: float | None = 60.0,
    ) -> Answer:
        """Call a method by its name, whatever that is."""
        call = self._make(method, request, timeout, False)
        if not self._queue.push(call):
            return UNLOADED
        try:
            parts = list(iter(call.next_part, None))
        finally:
            answer = call.settle()
            if answer is None:
                self._queue.tell(call)
        if answer is None:
            return TIMEOUT
        if parts and answer[0]:
            return True, b"".join([*parts, answer[1] or b""])
        return answer

    def stream(
        self,
        method: str = "",
        request: bytes | None = None,
        *,
        body: Iterable[bytes] | None = None,
        input: bool = False,
        timeout: float | None = None,
    ) -> Stream:
        """Call a method, and read its answer in parts.

        body: parts of the request behind `request`, which are written as the
        handler reads them. input: they are given by `write` and `finish`.
        RuntimeError where the runtime has been unloaded.
        """
        has_parts = input or body is not None
        call = self._make(method, request, timeout, has_parts)
        if not self._queue.push(call):
            raise RuntimeError(UNLOADED[1])
        return Stream(call, body)

    @staticmethod
    def _make(
        method: str,
        request: bytes | None,
        timeout: float | None,
        has_parts: bool,
    ) -> Call:
        if request is not None and not isinstance(request, bytes):
            kind = type(request).__name__
            raise TypeError(f"request must be bytes or None, got {kind}")
        if timeout is not None and timeout <= 0:
            raise ValueError(f"timeout must be more than 0, got {timeout}")
        return Call(method, request or b"", timeout, has_parts)

    def unload(self, *, timeout: float = 60.0) -> bool:
        """Refuse new calls, let the others end, then close the handler.

        Returns True, as in Lua, but when all this has ended;
        TimeoutError after so many seconds. Not to be called by a handler.
        """
        self._queue.close()
        concurrent.futures.wait((self._end,), timeout)
        if not self._end.done():
            raise TimeoutError(f"{self._name} has not ended in {timeout} s")
        self._end.result()
        return True

    def _main(self) -> None:
        """The runtime's thread."""
        try:
            serve = self._options.start(
                self._target, self._name, self._config, self._queue
            )
            self._ready.set_result(None)
            serve()
        except BaseException as error:
            self._end.set_exception(error)
        else:
            self._end.set_result(None)
        finally:
            self._queue.free()
