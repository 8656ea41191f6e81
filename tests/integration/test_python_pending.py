# SPDX-License-Identifier: BSD-2-Clause
"""What C extensions queue for Python's main thread."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from .checker import VALGRIND
from .client import eventually
from .conftest import NewNginx
from .nginx import Nginx

ADD = """
import ctypes, sys, threading, time

Pending = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)
add = ctypes.pythonapi.Py_AddPendingCall
ran = []


@Pending
def note(arg):
    ran.append(threading.current_thread() is threading.main_thread())
    return 0


def wait(number):
    end = time.monotonic() + 10
    while len(ran) < number and time.monotonic() < end:
        time.sleep(0.001)
"""


@pytest.fixture
def nginx(nginx: Nginx) -> Nginx:
    nginx.write_python("add_pending.py", ADD)
    return nginx


def test_it_runs(nginx: Nginx) -> None:
    """Soon, and on the main thread."""
    assert nginx.python(
        """
        from add_pending import *
        ran.clear()
        begin = time.monotonic()
        for number in range(1, 6):
            assert add(note, None) == 0
            wait(number)
        result = ran, time.monotonic() - begin < 5
        """
    ) == str(([True] * 5, True))


@pytest.mark.once
def test_many_at_once(nginx: Nginx) -> None:
    """More than CPython has room for."""
    assert nginx.python(
        """
        from add_pending import *
        ran.clear()
        added = 0
        while added < 1000:
            if add(note, None) == 0:
                added += 1
            else:
                time.sleep(0.001)
        wait(1000)
        result = len(ran), all(ran)
        """
    ) == str((1000, True))


def test_from_threads_that_python_does_not_know(nginx: Nginx) -> None:
    """As greenlet does it, where a thread ends: without the GIL."""
    assert (
        nginx.python(
            """
        from add_pending import *
        ran.clear()
        libc = ctypes.CDLL(None)
        START = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)
        raw = ctypes.CDLL(None).Py_AddPendingCall
        threads = []
        # the function runs as the thread's own, its argument is the call
        start = ctypes.cast(raw, ctypes.c_void_p)
        for _ in range(20):
            thread = ctypes.c_ulong()
            assert libc.pthread_create(
                ctypes.byref(thread), None, start, note) == 0
            assert libc.pthread_join(thread, None) == 0
        wait(20)
        result = len(ran)
        """
        )
        == "20"
    )


def test_one_that_raises(nginx: Nginx) -> None:
    """It is told, and those behind it run."""
    since = len(nginx.log())
    assert (
        nginx.python(
            """
        from add_pending import *
        ran.clear()

        # raises for NULL, and returns -1
        fail = ctypes.cast(ctypes.pythonapi.PyObject_Size, ctypes.c_void_p)
        for function in (fail, note, fail, note):
            assert add(function, None) == 0
        wait(2)
        result = len(ran)
        """
        )
        == "2"
    )
    nginx.wait_log("SystemError: null argument", since)
    assert nginx.python("result = 42") == "42"


GREENLETS = """
import gc, threading, time
import greenlet

count = greenlet._greenlet.get_total_main_greenlets


def use():
    child = greenlet.greenlet(lambda: greenlet.getcurrent().parent.switch(1))
    assert child.switch() == 1


def many(number):
    for _ in range(number // 50):
        threads = [threading.Thread(target=use) for _ in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
"""


@pytest.mark.skipif(VALGRIND, reason="does not know of stacks it copies")
@pytest.mark.once
def test_threads_that_have_used_greenlet(nginx: Nginx) -> None:
    """Nothing is left of them."""
    nginx.write_python("greenlets.py", GREENLETS)
    counted = "import greenlets; result = greenlets.count()"
    before = nginx.python(counted)
    nginx.python("import greenlets; result = greenlets.many(1000)")
    eventually(
        lambda: nginx.python(counted) == before,
        "greenlets are gone",
    )


@pytest.mark.skipif(VALGRIND, reason="it looks into threads that sleep")
def test_an_idle_worker_sleeps(new_nginx: NewNginx) -> None:
    """None of Python's threads wakes up where there is nothing to do."""
    with new_nginx() as nginx:
        nginx.write_python("add_pending.py", ADD)
        nginx.python(
            """
            from add_pending import *
            assert add(note, None) == 0
            wait(1)
            assert ran
            result = 1
            """
        )

        def switches() -> dict[str, str]:
            tasks = Path(f"/proc/{nginx.worker()}/task")
            return {
                task.name: (task / "status").read_text().split("_switches")[1]
                for task in tasks.iterdir()
            }

        time.sleep(0.5)
        before = switches()
        time.sleep(2)
        after = switches()
        del before[str(nginx.worker())], after[str(nginx.worker())]
        assert len(before) >= 2
        assert after == before
