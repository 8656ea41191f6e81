"""Drives a handler as nginx would, without nginx.

    from resty_ffi.testing import Runtime

    with Runtime(upper) as rt:
        assert rt(b"x") == (True, b"X")

    with Runtime(Cache, config='{"size": 1}') as rt:
        ok, rc, err = rt.get(b"key", timeout=0.25)

Threads, event loop, contexts and the meaning of every answer are as in nginx,
but that the threads are daemons. What error.log would hold goes to the logger
"resty_ffi", each exception with its traceback. There is no limit to the queue.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import functools
import inspect
import queue
import sys
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any

from . import _ending
from ._call import call_var
from ._context import Base
from ._error import Error
from ._handlers import is_asynchronous, resolve, resolve_async
from ._loader.errors import describe
from ._local import Answer, LocalCall, logger, run_loop, start_thread
from ._options import Options

__all__ = ["Answer", "Runtime"]

TIMEOUT: Answer = (False, "timeout")
UNLOADED: Answer = (False, "task queue is finished")
NO_METHOD = 404


class Runtime:
    """A runtime of one target of `serve`.

    Calls block the calling thread, and any thread may call:

        rt(request, timeout=60.0)                   as rt(request) in Lua
        rt.name(request, timeout=60.0)              as rt:name(request)
        rt.call("name", request, timeout=60.0)      the same, for any name

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

        target: what `serve` has marked, else TypeError.
        config: the third part of the cfg in ngx.load_ffi.
        """
        options = getattr(target, "__resty_ffi__", None)
        if not isinstance(options, Options):
            raise TypeError(f"{target!r} is not marked by resty_ffi.serve")
        self._target = target
        self._config = config
        self._options = options
        kind = type(target)
        name = getattr(target, "__qualname__", kind.__qualname__)
        self._name = f"{target.__module__}.{name}"
        self._lock = threading.Lock()
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._queue: queue.SimpleQueue[LocalCall | None] = queue.SimpleQueue()
        self._ready: Future[None] = Future()
        self._end = start_thread(self._main, self._name)
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
        if request is not None and not isinstance(request, bytes):
            kind = type(request).__name__
            raise TypeError(f"request must be bytes or None, got {kind}")
        if timeout is not None and timeout <= 0:
            raise ValueError(f"timeout must be more than 0, got {timeout}")
        call = LocalCall(method, request or b"", timeout)
        try:
            if not self._submit(call):
                return UNLOADED
            call.wait()
        finally:
            answer = call.settle()
            if answer is None and self._loop is not None:
                with contextlib.suppress(RuntimeError):  # the loop is closed
                    self._loop.call_soon_threadsafe(self._cancel, call)
        return answer or TIMEOUT

    def _submit(self, call: LocalCall) -> bool:
        with self._lock:
            if self._closed:
                return False
            if self._loop is None:
                self._queue.put(call)
            else:
                self._loop.call_soon_threadsafe(
                    self._begin, call, context=self._base.copy()
                )
            return True

    def unload(self, *, timeout: float = 60.0) -> bool:
        """Refuse new calls, let the others end, then close the handler.

        Returns True, as in Lua, but when all this is done; TimeoutError
        after so many seconds. Not to be called by a handler.
        """
        with self._lock:
            if not self._closed:
                self._closed = True
                if self._loop is not None:
                    self._loop.call_soon_threadsafe(self._unloaded.set)
                else:
                    self._queue.put(None)
        concurrent.futures.wait((self._end,), timeout)
        if not self._end.done():
            raise TimeoutError(f"{self._name} has not ended in {timeout} s")
        self._end.result()
        return True

    # ---- the runtime's threads

    def _main(self) -> None:
        if is_asynchronous(self._target):
            run_loop(self._serve_async(), self._name, self._failed)
        else:
            self._serve()

    def _start_workers(self, number: int) -> list[Future[None]]:
        return [start_thread(self._work, self._name) for _ in range(number)]

    def _serve(self) -> None:
        self._handlers = resolve(self._target, self._config)
        self._base = Base()
        others = self._start_workers(self._options.threads - 1)
        self._ready.set_result(None)
        self._work()
        concurrent.futures.wait(others)
        if self._handlers.close is not None:
            try:
                self._handlers.close()
            except BaseException as error:
                self._failed(error)

    async def _serve_async(self) -> None:
        self._unloaded = asyncio.Event()
        self._tasks: set[asyncio.Future[Any]] = set()
        self._handlers, on_unload = resolve_async(self._target, self._config)
        self._base = Base()
        threads = self._options.threads
        self._pool = self._start_workers(threads if threads > 1 else 0)
        self._loop = asyncio.get_running_loop()
        self._ready.set_result(None)
        await self._unloaded.wait()
        for callback in on_unload:
            self._loop.call_soon(callback)
        self._queue.put(None)
        for thread in self._pool:
            await asyncio.wrap_future(thread)
        while self._tasks:
            await asyncio.wait(self._tasks, timeout=_ending.TURN_S)
        if self._handlers.close is not None:
            try:
                result = self._handlers.close()
                if inspect.isawaitable(result):
                    await result
            except BaseException as error:
                self._failed(error)

    def _begin(self, call: LocalCall) -> None:
        """Start a call, on the event loop's thread."""
        handler = self._find(call.method)
        if handler not in self._handlers.coroutines:
            if self._pool:
                self._queue.put(call)
            else:
                self._answer(call, self._adopt)
        elif not call.is_late():
            # its context is a copy of this one
            call.task = self._new_task(self._answer_async(call, handler))
            if not call.task.done():
                self._tasks.add(call.task)
                call.task.add_done_callback(self._tasks.discard)

    def _cancel(self, call: LocalCall) -> None:
        """Cancel what nobody waits for; an unload does not wait for ever."""
        task = call.task
        if task is not None and self._loop is not None:
            task.cancel()
            self._loop.call_later(_ending.END_S, self._tasks.discard, task)

    def _adopt(self, call: LocalCall, value: object) -> bool:
        """Answer a call with a future's result; False where it is none.

        ValueError where it is another loop's.
        """
        if not asyncio.isfuture(value):
            return False
        future = asyncio.ensure_future(value, loop=self._loop)
        call.task = future
        self._tasks.add(future)
        future.add_done_callback(functools.partial(self._settle, call))
        return True

    def _settle(self, call: LocalCall, future: asyncio.Future[Any]) -> None:
        self._tasks.discard(future)
        try:
            answer = self._success(future.result())
        except BaseException as error:
            answer = self._failed(error)
        call.end(answer)

    def _new_task(
        self, coroutine: Coroutine[Any, Any, None]
    ) -> asyncio.Task[None]:
        if sys.version_info >= (3, 12):
            return asyncio.Task(coroutine, loop=self._loop, eager_start=True)
        return asyncio.create_task(coroutine)

    def _work(self) -> None:
        while (call := self._queue.get()) is not None:
            self._answer(call)
        self._queue.put(None)  # for the next thread

    # ---- one call

    def _find(self, method: str) -> Callable[..., Any] | None:
        if self._handlers.methods is None:
            return self._handlers.function
        return self._handlers.methods.get(method)

    def _answer(
        self,
        call: LocalCall,
        adopt: Callable[[LocalCall, object], bool] | None = None,
    ) -> None:
        if call.is_late():
            return
        try:
            handler = self._find(call.method)
            if handler is None:
                what = call.method or "__call__"
                text = f"{self._name} has no method '{what}'"
                raise Error(NO_METHOD, f"AttributeError: {text}")
            value = self._base.copy().run(self._run, call, handler)
            if adopt is not None and adopt(call, value):
                return
            answer = self._success(value)
        except BaseException as error:
            answer = self._failed(error)
        call.end(answer)

    def _run(self, call: LocalCall, handler: Callable[..., Any]) -> Any:
        token = call_var.set(call)
        try:
            return handler(self._request(call))
        finally:
            call_var.reset(token)

    async def _answer_async(
        self, call: LocalCall, handler: Callable[..., Any]
    ) -> None:
        call_var.set(call)
        try:
            answer = self._success(await handler(self._request(call)))
        except BaseException as error:
            answer = self._failed(error)
        call.end(answer)

    def _request(self, call: LocalCall) -> bytes | memoryview:
        return memoryview(call.request) if self._options.view else call.request

    def _success(self, value: object) -> Answer:
        if value is None or isinstance(value, bytes):
            return True, value
        if isinstance(value, str):
            return True, value.encode()
        try:
            view = memoryview(value)  # type: ignore[arg-type]
        except TypeError:
            kind = type(value).__name__
            raise TypeError(
                f"{self._name}: returned {kind},"
                " not bytes, str, a buffer or None"
            ) from None
        if not view.c_contiguous:
            raise BufferError(f"{self._name}: returned scattered memory")
        return True, view.tobytes()

    def _failed(self, error: BaseException) -> Answer:
        if isinstance(error, Error):
            return False, error.rc, error.body
        text = describe(error)
        if not isinstance(error, asyncio.CancelledError):
            logger.error("%s: %s", self._name, text, exc_info=error)
        return False, 1, text.encode()
