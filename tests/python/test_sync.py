# SPDX-License-Identifier: BSD-2-Clause
"""Plain functions and classes in resty_ffi.testing.Runtime."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from resty_ffi import Call, Error, current, serve
from resty_ffi.testing import Runtime

BOUND_S = 30
# In which a handler has surely begun.
SOON_S = 0.5


@serve
def upper(request: bytes) -> bytes:
    return request.upper()


def returning(value: object) -> Any:
    @serve
    def handler(request: bytes) -> object:
        return value

    return handler


def raising(error: BaseException) -> Any:
    @serve
    def handler(request: bytes) -> None:
        raise error

    return handler


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("text"), b"ValueError: text"),
        (ValueError("two\nlines"), b"ValueError: two lines"),
        (ValueError(), b"ValueError"),
        (KeyError("k"), b"KeyError: 'k'"),
        (ValueError("caf\xe9\udcff"), b"ValueError: caf\xc3\xa9\\udcff"),
        (SystemExit(3), b"SystemExit: 3"),
        (KeyboardInterrupt(), b"KeyboardInterrupt"),
        (GeneratorExit(), b"GeneratorExit"),
        (BaseException("b"), b"BaseException: b"),
    ],
)
def test_exceptions_do_not_end_the_runtime(
    error: BaseException, text: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with Runtime(raising(error)) as rt:
        for _ in range(3):
            assert rt(b"x") == (False, 1, text)
    assert len(caplog.records) == 3
    record = caplog.records[0]
    assert (record.name, record.levelno) == ("resty_ffi", logging.ERROR)
    assert "Traceback" in record.getMessage()
    assert "in handler" in record.getMessage()


@pytest.mark.parametrize("body", [None, b"", b"gone"])
def test_error(body: bytes | None, caplog: pytest.LogCaptureFixture) -> None:
    with Runtime(raising(Error(-7, body))) as rt:
        assert rt(b"x") == (False, -7, body)
    assert not caplog.records


@serve
class Cache:
    closed = 0

    class Entry:
        pass

    def __init__(self, config: str) -> None:
        self.config = config
        self.thread = threading.get_ident()

    def show(self, request: bytes) -> str:
        return self.config

    def same_thread(self, request: bytes) -> str:
        return str(self.thread == threading.get_ident())

    @staticmethod
    def static(request: bytes) -> bytes:
        return b"static " + request

    @property
    def size(self) -> int:
        raise AssertionError("nobody asks for it")

    def _hidden(self, request: bytes) -> bytes:
        return request

    def close(self) -> None:
        type(self).closed += 1


def test_each_runtime_has_its_instance() -> None:
    with Runtime(Cache, config="1") as one, Runtime(Cache, config="2") as two:
        assert one.show() == (True, b"1")
        assert two.show() == (True, b"2")


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3)])
def test_init_that_raises(error: BaseException) -> None:
    @serve
    class Bad:
        def __init__(self) -> None:
            raise error

        def get(self, request: bytes) -> None: ...

    with pytest.raises(type(error), match=str(error)):
        Runtime(Bad)


def test_a_class_without_methods() -> None:
    @serve
    class Empty:
        def close(self) -> None: ...

    with pytest.raises(TypeError, match="Empty has no public method to call"):
        Runtime(Empty)


def test_what_is_not_served() -> None:
    def plain(request: bytes) -> bytes:
        return request

    with pytest.raises(TypeError, match=r"is not marked by resty_ffi.serve"):
        Runtime(plain)


@pytest.mark.parametrize("request_", ["x", 1, bytearray(b"x")])
def test_wrong_requests(request_: Any) -> None:
    with (
        Runtime(upper) as rt,
        pytest.raises(TypeError, match=r"^request must be bytes or None, got"),
    ):
        rt(request_)


@pytest.mark.parametrize("timeout", [0, -1])
def test_wrong_timeouts(timeout: float) -> None:
    with (
        Runtime(upper) as rt,
        pytest.raises(ValueError, match=r"^timeout must be more than 0"),
    ):
        rt(b"x", timeout=timeout)


@pytest.mark.parametrize("threads", [1, 3])
def test_close_is_called_once(threads: int) -> None:
    events: list[str] = []

    @serve(threads=threads)
    class Noted:
        def note(self, request: bytes) -> None:
            events.append("note")

        def close(self) -> None:
            events.append("close")

    with Runtime(Noted) as rt:
        rt.note()
        assert rt.unload() is True
        assert rt.unload() is True
        assert rt.note() == rt() == (False, "task queue is finished")
    assert events == ["note", "close"]


def test_close_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    @serve
    class Bad:
        def get(self, request: bytes) -> None: ...

        def close(self) -> None:
            raise SystemExit("at the end")

    with Runtime(Bad) as rt:
        assert rt.get() == (True, None)
    assert "SystemExit: at the end" in caplog.text


def test_close_waits_for_every_thread() -> None:
    events: list[str] = []
    begun = threading.Semaphore(0)
    go_on = {True: threading.Event(), False: threading.Event()}

    @serve(threads=2)
    class Slow:
        def __init__(self) -> None:
            self.thread = threading.get_ident()

        def wait(self, request: bytes) -> None:
            first = threading.get_ident() == self.thread
            begun.release()
            go_on[first].wait(BOUND_S)
            events.append("call")

        def close(self) -> None:
            events.append("close")

    rt = Runtime(Slow)
    with ThreadPoolExecutor() as pool:
        calls = [pool.submit(rt.wait) for _ in range(2)]
        for _ in calls:
            assert begun.acquire(timeout=BOUND_S)
        unloading = pool.submit(rt.unload)
        while rt.wait(timeout=0.01) != (False, "task queue is finished"):
            pass
        go_on[True].set()
        time.sleep(0.05)
        go_on[False].set()
        assert unloading.result(BOUND_S)
    assert events == ["call", "call", "close"]


def test_unload_answers_those_who_wait() -> None:
    begun, go_on = threading.Semaphore(0), threading.Event()

    @serve
    def wait(request: bytes) -> bytes:
        begun.release()
        go_on.wait(BOUND_S)
        return request

    rt = Runtime(wait)
    with ThreadPoolExecutor() as pool:
        calls = [pool.submit(rt, bytes([n])) for n in range(4)]
        assert begun.acquire(timeout=BOUND_S)
        while len(rt._queue) < 3:
            time.sleep(0.001)
        unloading = pool.submit(rt.unload)
        while rt(timeout=0.01) != (False, "task queue is finished"):
            pass
        go_on.set()
        assert unloading.result(BOUND_S) is True
        answers = [call.result(BOUND_S) for call in calls]
    assert answers == [(True, bytes([n])) for n in range(4)]


def test_unload_of_a_handler_that_never_returns() -> None:
    go_on = threading.Event()

    @serve
    def hang(request: bytes) -> None:
        go_on.wait()

    rt = Runtime(hang)
    assert rt(timeout=SOON_S) == (False, "timeout")
    with pytest.raises(TimeoutError, match=r"hang has not ended in 0.05 s"):
        rt.unload(timeout=0.05)
    go_on.set()
    assert rt.unload() is True


def test_threads_run_at_the_same_time() -> None:
    barrier = threading.Barrier(8)

    @serve(threads=8)
    def meet(request: bytes) -> bytes:
        barrier.wait(BOUND_S)
        return threading.current_thread().name.encode()

    with Runtime(meet) as rt, ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(rt, b"") for _ in range(8)]
        assert {call.result(BOUND_S)[0] for call in calls} == {True}


def test_one_thread_runs_one_call_at_a_time() -> None:
    threads = set()
    inside = threading.Lock()

    @serve
    def alone(request: bytes) -> None:
        assert inside.acquire(blocking=False)
        threads.add(threading.get_ident())
        time.sleep(0.005)
        inside.release()

    with Runtime(alone) as rt, ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(rt) for _ in range(16)]
        assert {call.result(BOUND_S) for call in calls} == {(True, None)}
    assert len(threads) == 1


def test_a_view_of_the_request_may_be_kept() -> None:
    kept: list[memoryview] = []

    @serve(view=True)
    def keep(request: memoryview) -> memoryview:
        assert type(request) is memoryview
        assert request.readonly
        kept.append(request[2:])
        return request[:2]

    with Runtime(keep) as rt:
        for n in range(100):
            assert rt(b"ab%d" % n) == (True, b"ab")
        assert rt() == (True, b"")
    assert [bytes(view) for view in kept[:100]] == [
        b"%d" % n for n in range(100)
    ]


def test_current() -> None:
    calls: list[Call] = []

    @serve
    def show(request: bytes) -> str:
        call = current()
        assert current() is call
        calls.append(call)
        assert not call.cancelled
        assert call.deadline is not None
        left = call.deadline - time.monotonic()
        return f"{call.method},{20 < left <= 30}"

    with Runtime(show) as rt:
        assert rt.get(timeout=30) == (True, b"get,True")
        assert rt(timeout=30) == (True, b",True")
        with pytest.raises(LookupError):
            current()
    assert calls[0] is not calls[1]


def test_no_deadline() -> None:
    @serve
    def show(request: bytes) -> str:
        return str(current().deadline)

    with Runtime(show) as rt:
        assert rt(timeout=None) == (True, b"None")


def test_a_handler_that_sees_its_caller_go() -> None:
    seen = threading.Event()

    @serve
    def patient(request: bytes) -> None:
        call = current()
        end = time.monotonic() + BOUND_S
        while not call.cancelled and time.monotonic() < end:
            time.sleep(0.001)
        if call.cancelled:
            seen.set()

    with Runtime(patient) as rt:
        assert rt(timeout=SOON_S) == (False, "timeout")
    assert seen.is_set()


def test_a_call_whose_deadline_has_passed_never_runs() -> None:
    requests: list[bytes] = []
    begun, go_on = threading.Event(), threading.Event()

    @serve
    def wait(request: bytes) -> None:
        requests.append(request)
        begun.set()
        go_on.wait(BOUND_S)

    with Runtime(wait) as rt, ThreadPoolExecutor() as pool:
        first = pool.submit(rt, b"first")
        assert begun.wait(BOUND_S)
        assert rt(b"late", timeout=0.02) == (False, "timeout")
        go_on.set()
        assert first.result(BOUND_S) == (True, None)
        assert rt(b"last") == (True, None)
    assert requests == [b"first", b"last"]


@pytest.mark.parametrize("outcome", ["answer", "raise"])
def test_delivered(outcome: str) -> None:
    fate: list[object] = []

    @serve
    def hand_out(request: bytes) -> bytes:
        current().on_delivered(fate.append)
        current().on_delivered(lambda delivered: fate.append([delivered]))
        if outcome == "raise":
            raise Error(7)
        return b"x"

    with Runtime(hand_out) as rt:
        rt(b"")
        assert fate == [True, [True]]


def test_cancelled() -> None:
    fate: list[bool] = []

    @serve
    def late(request: bytes) -> bytes:
        call = current()
        call.on_delivered(fate.append)
        while not call.cancelled:
            time.sleep(0.001)
        return b"x"

    with Runtime(late) as rt:
        assert rt(timeout=SOON_S) == (False, "timeout")
    assert fate == [False]


def test_callbacks_that_raise(caplog: pytest.LogCaptureFixture) -> None:
    fate: list[bool] = []

    def bad(delivered: bool) -> None:
        raise SystemExit("from the callback")

    @serve
    def hand_out(request: bytes) -> bytes:
        current().on_delivered(bad)
        current().on_delivered(fate.append)
        return b"x"

    with Runtime(hand_out) as rt:
        assert rt() == rt() == (True, b"x")
    assert fate == [True, True]
    assert "from the callback" in caplog.text


def test_no_call_runs_in_a_callback() -> None:
    seen: list[object] = []

    def ask(delivered: bool) -> None:
        try:
            seen.append(current())
        except LookupError:
            seen.append("none")

    @serve
    def hand_out(request: bytes) -> None:
        current().on_delivered(ask)

    with Runtime(hand_out) as rt:
        assert rt() == (True, None)
    assert seen == ["none"]


def test_a_callback_that_cannot_be_called() -> None:
    @serve
    def hand_out(request: bytes) -> None:
        current().on_delivered(42)  # type: ignore[arg-type]

    with Runtime(hand_out) as rt:
        ok, rc, err = rt()
    assert (ok, rc) == (False, 1)
    assert err.startswith(b"TypeError: callback must be callable")


def test_a_handler_that_deletes_itself() -> None:
    @serve
    class Gone:
        def get(self, request: bytes) -> bytes:
            if "get" in vars(type(self)):
                del type(self).get
            return request

    with Runtime(Gone) as rt:
        assert rt.get(b"x") == rt.get(b"x") == (True, b"x")
