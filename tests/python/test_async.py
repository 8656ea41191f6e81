# SPDX-License-Identifier: BSD-2-Clause
"""Coroutines in resty_ffi.testing.Runtime."""

from __future__ import annotations

import asyncio
import contextvars
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from resty_ffi import Call, Error, current, on_unload, serve
from resty_ffi.testing import Runtime

BOUND_S = 30
# In which a handler has surely begun.
SOON_S = 0.5

recent: Any = asyncio
needs_3_11 = pytest.mark.skipif(
    sys.version_info < (3, 11), reason="not in Python 3.10"
)


@serve
async def upper(request: bytes) -> bytes:
    await asyncio.sleep(0)
    return request.upper()


def test_a_coroutine() -> None:
    with Runtime(upper) as rt:
        assert rt(b"x") == rt.any_name(b"x") == (True, b"X")
    assert rt(b"x") == (False, "task queue is finished")


@pytest.mark.parametrize("suspend", [False, True])
@pytest.mark.parametrize(
    ("error", "answer", "lines"),
    [
        (ValueError("text"), (False, 1, b"ValueError: text"), 1),
        (SystemExit(3), (False, 1, b"SystemExit: 3"), 1),
        (KeyboardInterrupt(), (False, 1, b"KeyboardInterrupt"), 1),
        (GeneratorExit(), (False, 1, b"GeneratorExit"), 1),
        (Error(404, "gone"), (False, 404, b"gone"), 0),
        (asyncio.CancelledError(), (False, 1, b"CancelledError"), 0),
    ],
)
def test_exceptions_do_not_end_the_runtime(
    error: BaseException,
    answer: tuple[object, ...],
    lines: int,
    suspend: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    @serve
    async def bad(request: bytes) -> None:
        if suspend:
            await asyncio.sleep(0)
        raise error

    with Runtime(bad) as rt:
        assert rt(b"x") == rt(b"x") == answer
    ours = [r for r in caplog.records if r.name == "resty_ffi"]
    assert len(ours) == 2 * lines


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
def test_a_task_of_the_handler_that_exits(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    async def child() -> None:
        raise error

    @serve
    async def parent(request: bytes) -> bytes:
        task = asyncio.create_task(child())
        await asyncio.wait([task])
        assert task.exception() is error
        return b"alive"

    with Runtime(parent) as rt:
        assert rt() == rt() == (True, b"alive")
    assert type(error).__name__ in caplog.text


def test_a_thousand_at_once() -> None:
    number = 1000
    inside = 0
    all_in: asyncio.Event

    @serve
    class Meeting:
        def __init__(self) -> None:
            nonlocal all_in
            all_in = asyncio.Event()

        async def meet(self, request: bytes) -> bytes:
            nonlocal inside
            inside += 1
            if inside == number:
                all_in.set()
            await all_in.wait()
            return request

    with Runtime(Meeting) as rt, ThreadPoolExecutor(number) as pool:
        calls = [pool.submit(rt.meet, b"%d" % n) for n in range(number)]
        answers = [call.result(BOUND_S) for call in calls]
    assert answers == [(True, b"%d" % n) for n in range(number)]


def test_each_call_is_a_task() -> None:
    tasks: list[Any] = []

    @serve
    async def show(request: bytes) -> None:
        tasks.append(asyncio.current_task())
        await asyncio.sleep(0)
        assert asyncio.current_task() is tasks[-1]

    with Runtime(show) as rt:
        assert rt() == rt() == (True, None)
    assert isinstance(tasks[0], asyncio.Task)
    assert tasks[0] is not tasks[1]


def test_the_callers_context_is_not_seen() -> None:
    variable = contextvars.ContextVar("variable", default="default")

    @serve
    async def show(request: bytes) -> str:
        return variable.get()

    @serve
    def show_plain(request: bytes) -> str:
        return variable.get()

    token = variable.set("caller's")
    try:
        for target in (show, show_plain):
            with Runtime(target) as rt:
                assert rt() == (True, b"default")
    finally:
        variable.reset(token)


def test_each_call_has_its_context() -> None:
    variable = contextvars.ContextVar("variable", default=b"default")

    @serve
    async def swap(request: bytes) -> bytes:
        old = variable.get()
        variable.set(request)
        await asyncio.sleep(0)
        assert variable.get() == request
        return old

    with Runtime(swap) as rt:
        assert rt(b"1") == rt(b"2") == (True, b"default")


@needs_3_11
@pytest.mark.parametrize("suspend", [False, True])
def test_asyncio_timeout(suspend: bool) -> None:
    @serve
    async def bounded(request: bytes) -> str:
        if suspend:
            await asyncio.sleep(0)
        try:
            async with recent.timeout(0.01):
                await asyncio.sleep(BOUND_S)
        except TimeoutError:
            return "too long"
        return "done"

    with Runtime(bounded) as rt:
        assert rt() == (True, b"too long")


@needs_3_11
def test_task_groups() -> None:
    async def part(n: int) -> str:
        await asyncio.sleep(0)
        return f"{current().method}{n}"

    @serve
    async def gather(request: bytes) -> str:
        async with recent.TaskGroup() as group:
            tasks = [group.create_task(part(n)) for n in range(3)]
        return " ".join(task.result() for task in tasks)

    with Runtime(gather) as rt:
        assert rt.get() == (True, b"get0 get1 get2")


def test_current() -> None:
    calls: list[Call] = []

    @serve
    async def show(request: bytes) -> str:
        call = current()
        calls.append(call)
        await asyncio.sleep(0.01)
        assert current() is call
        inner = await asyncio.to_thread(current)
        assert inner is call
        return call.method

    with Runtime(show) as rt, ThreadPoolExecutor() as pool:
        names = [f"name{n}" for n in range(20)]
        futures = [pool.submit(rt.call, name) for name in names]
        answers = [future.result(BOUND_S) for future in futures]
    assert answers == [(True, name.encode()) for name in names]
    assert len({id(call) for call in calls}) == 20


def test_a_timeout_cancels() -> None:
    events: list[str] = []

    @serve
    async def slow(request: bytes) -> None:
        call = current()
        try:
            await asyncio.sleep(BOUND_S)
        except asyncio.CancelledError:
            events.append(f"cancelled {call.cancelled}")
            raise
        events.append("not cancelled")

    with Runtime(slow) as rt:
        assert rt(timeout=SOON_S) == (False, "timeout")
    assert events == ["cancelled True"]


def test_a_coroutine_that_refuses_to_be_cancelled() -> None:
    fate: list[bool] = []

    @serve
    async def stubborn(request: bytes) -> bytes:
        current().on_delivered(fate.append)
        try:
            await asyncio.sleep(BOUND_S)
        except asyncio.CancelledError:
            await asyncio.sleep(0.01)
        return b"nobody hears it"

    with Runtime(stubborn) as rt:
        assert rt(timeout=SOON_S) == (False, "timeout")
    assert fate == [False]


def test_a_call_whose_deadline_has_passed_never_runs() -> None:
    requests: list[bytes] = []
    begun = threading.Event()
    go_on = threading.Event()

    @serve
    async def block(request: bytes) -> None:
        requests.append(request)
        begun.set()
        go_on.wait(BOUND_S)

    with Runtime(block) as rt, ThreadPoolExecutor() as pool:
        first = pool.submit(rt, b"first")
        assert begun.wait(BOUND_S)
        assert rt(b"late", timeout=0.02) == (False, "timeout")
        go_on.set()
        assert first.result(BOUND_S) == (True, None)
        assert rt(b"last") == (True, None)
    assert requests == [b"first", b"last"]


def test_delivered() -> None:
    fate: list[object] = []

    @serve
    async def hand_out(request: bytes) -> bytes:
        loop = asyncio.get_running_loop()
        current().on_delivered(
            lambda delivered: fate.append(
                (delivered, asyncio.get_running_loop() is loop)
            )
        )
        await asyncio.sleep(0)
        return b"x"

    with Runtime(hand_out) as rt:
        assert rt() == (True, b"x")
        assert fate == [(True, True)]


def test_unload_answers_those_who_wait() -> None:
    begun = threading.Semaphore(0)
    go_on: asyncio.Event
    loop: asyncio.AbstractEventLoop

    @serve
    class Waiter:
        def __init__(self) -> None:
            nonlocal go_on, loop
            go_on, loop = asyncio.Event(), asyncio.get_running_loop()

        async def wait(self, request: bytes) -> bytes:
            begun.release()
            await go_on.wait()
            return request

    rt = Runtime(Waiter)
    with ThreadPoolExecutor() as pool:
        calls = [pool.submit(rt.wait, bytes([n])) for n in range(4)]
        for _ in calls:
            assert begun.acquire(timeout=BOUND_S)
        unloading = pool.submit(rt.unload)
        while rt(timeout=0.01)[1] != "task queue is finished":
            pass
        loop.call_soon_threadsafe(go_on.set)
        assert unloading.result(BOUND_S) is True
        answers = [call.result(BOUND_S) for call in calls]
    assert answers == [(True, bytes([n])) for n in range(4)]


def test_unload_cancels_the_handlers_own_tasks() -> None:
    events: list[str] = []

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            events.append("ended")

    @serve
    class Starter:
        def __init__(self) -> None:
            self.task = asyncio.get_running_loop().create_task(forever())

        async def get(self, request: bytes) -> None: ...

        async def close(self) -> None:
            events.append("close")

    with Runtime(Starter) as rt:
        assert rt.get() == (True, None)
    assert events == ["close", "ended"]


class Mixed:
    def __init__(self, config: str) -> None:
        self.config = config
        self.thread = threading.get_ident()
        self.barrier = threading.Barrier(4)
        self.closed = 0

    async def fetch(self, request: bytes) -> str:
        await asyncio.sleep(0)
        return f"{self.config} {threading.get_ident() == self.thread}"

    def plain(self, request: bytes) -> str:
        return f"{current().method} {threading.get_ident() == self.thread}"

    def meet(self, request: bytes) -> None:
        self.barrier.wait(BOUND_S)

    async def close(self) -> None:
        await asyncio.sleep(0)
        closed.append(self.config)


closed: list[str] = []


@pytest.mark.parametrize(("threads", "on_loop"), [(1, True), (4, False)])
def test_a_class_with_both(threads: int, on_loop: bool) -> None:
    closed.clear()
    with Runtime(serve(threads=threads)(Mixed), config="cfg") as rt:
        assert rt.fetch() == (True, b"cfg True")
        assert rt.plain() == (True, f"plain {on_loop}".encode())
        assert rt.nope()[:2] == (False, 404)
        assert rt()[:2] == (False, 404)
        assert rt.close()[:2] == (False, 404)
    assert closed == ["cfg"]


def test_plain_methods_run_at_the_same_time() -> None:
    with (
        Runtime(serve(threads=4)(Mixed)) as rt,
        ThreadPoolExecutor() as pool,
    ):
        calls = [pool.submit(rt.meet) for _ in range(4)]
        answers = {call.result(BOUND_S) for call in calls}
    assert answers == {(True, None)}


@serve
class Patient:
    """Answers when it is unloaded."""

    def __init__(self, events: str) -> None:
        self.events = asyncio.Event()
        on_unload(self.events.set)
        on_unload(lambda: seen.append("unload"))

    async def __call__(self, request: bytes) -> bytes:
        current().on_delivered(lambda yes: seen.append(f"delivered {yes}"))
        await self.events.wait()
        return request

    async def close(self) -> None:
        seen.append("close")


seen: list[str] = []


def test_calls_that_end_on_unload() -> None:
    seen.clear()
    with ThreadPoolExecutor() as pool:
        with Runtime(Patient) as rt:
            call = pool.submit(rt.any_name, b"x")
            assert rt.other(timeout=SOON_S) == (False, "timeout")
        assert call.result(BOUND_S) == (True, b"x")
    assert seen == ["delivered False", "unload", "delivered True", "close"]


def test_on_unload_where_no_runtime_is_made() -> None:
    @serve
    class Plain:
        def __init__(self) -> None:
            on_unload(print)

        def get(self, request: bytes) -> None: ...

    with pytest.raises(LookupError, match="event loop"):
        on_unload(print)
    with pytest.raises(LookupError, match="event loop"):
        Runtime(Plain)


def test_plain_methods_with_an_async_close() -> None:
    events: list[str] = []

    @serve
    class Closing:
        def get(self, request: bytes) -> bytes:
            return request

        async def close(self) -> None:
            await asyncio.sleep(0)
            events.append("close")

    with Runtime(Closing) as rt:
        assert rt.get(b"x") == (True, b"x")
    assert events == ["close"]


def test_close_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    @serve
    class Bad:
        async def get(self, request: bytes) -> None: ...

        async def close(self) -> None:
            raise SystemExit("at the end")

    with Runtime(Bad) as rt:
        assert rt.get() == (True, None)
    assert "SystemExit: at the end" in caplog.text


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3)])
def test_init_that_raises(error: BaseException) -> None:
    @serve
    class Bad:
        def __init__(self) -> None:
            raise error

        async def get(self, request: bytes) -> None: ...

    with pytest.raises(type(error), match=str(error)):
        Runtime(Bad)


def test_calls_from_a_coroutine() -> None:
    async def test() -> list[Any]:
        with Runtime(upper) as rt:
            calls = [asyncio.to_thread(rt, b"%c" % c) for c in b"abc"]
            return list(await asyncio.gather(*calls))

    answers = asyncio.run(test())
    assert answers == [(True, b"A"), (True, b"B"), (True, b"C")]


def test_a_caller_that_is_interrupted() -> None:
    """What Ctrl-C does, or a test's own time limit."""
    events: list[str] = []

    class InterruptedCallError(Exception):
        pass

    def interrupt(*args: object) -> None:
        raise InterruptedCallError

    @serve
    async def slow(request: bytes) -> None:
        await asyncio.sleep(0.02)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
        try:
            await asyncio.sleep(BOUND_S)
        except asyncio.CancelledError:
            events.append("cancelled")

    old = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with Runtime(slow) as rt, pytest.raises(InterruptedCallError):
            rt()
    finally:
        signal.signal(signal.SIGUSR1, old)
    assert events == ["cancelled"]


def test_a_future_answers() -> None:
    with Runtime(Futures) as rt:
        assert rt.later(b"x") == (True, b"x")
        assert rt.fails(b"x") == (False, 1, b"ValueError: x")
        assert rt.never(b"", timeout=SOON_S) == (False, "timeout")
        assert rt.cancelled() == (True, b"True")


@serve
class Futures:
    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._last = self._loop.create_future()

    def later(self, request: bytes) -> asyncio.Future[bytes]:
        future = self._loop.create_future()
        self._loop.call_soon(future.set_result, request)
        return future

    def fails(self, request: bytes) -> asyncio.Future[bytes]:
        future = self._loop.create_future()
        future.set_exception(ValueError(request.decode()))
        return future

    def never(self, request: bytes) -> asyncio.Future[bytes]:
        return self._last

    async def cancelled(self, request: bytes) -> str:
        await asyncio.wait([self._last], timeout=10)
        return str(self._last.cancelled())
