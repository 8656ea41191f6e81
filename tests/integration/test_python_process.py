# SPDX-License-Identifier: BSD-2-Clause
"""Processes that Python starts from inside a worker."""

from __future__ import annotations

import signal

import pytest

from .nginx import Nginx


@pytest.mark.parametrize("code", [0, 1, 3, 255])
def test_return_codes_of_processes(nginx: Nginx, code: int) -> None:
    assert nginx.python(
        f"""
        import subprocess
        done = subprocess.run(["sh", "-c", "echo out; exit {code}"],
                              capture_output=True, text=True)
        result = done.returncode, done.stdout
        """,
    ) == str((code, "out\n"))


def test_many_processes(nginx: Nginx) -> None:
    assert (
        nginx.python(
            """
            import subprocess
            from concurrent.futures import ThreadPoolExecutor
            def one(i):
                return subprocess.call(["sh", "-c", f"exit {i}"])
            with ThreadPoolExecutor(8) as pool:
                result = list(pool.map(one, range(40))) == list(range(40))
            """,
        )
        == "True"
    )


@pytest.mark.parametrize("how", ["terminate", "kill", "send_signal(2)"])
def test_ending_a_process(nginx: Nginx, how: str) -> None:
    """Children are not born with signals blocked or ignored."""
    number = {"terminate": 15, "kill": 9, "send_signal(2)": 2}[how]
    call = how if "(" in how else how + "()"
    assert nginx.python(
        f"""
        import subprocess
        child = subprocess.Popen(["sleep", "60"])
        child.{call}
        result = child.wait(10)
        """,
    ) == str(-number)


def test_signals_of_a_child(nginx: Nginx) -> None:
    """None blocked; ignored are those that Python ignores itself."""
    blocked, ignored = nginx.python(
        """
        import subprocess
        status = subprocess.check_output(["cat", "/proc/self/status"])
        fields = dict(line.split(":\\t", 1)
                      for line in status.decode().splitlines())
        result = fields["SigBlk"] + " " + fields["SigIgn"]
        """,
    ).split()
    assert int(blocked, 16) == 0
    assert not int(ignored, 16) & (1 << (signal.SIGTERM - 1))
    assert not int(ignored, 16) & (1 << (signal.SIGCHLD - 1))


def test_the_shell(nginx: Nginx) -> None:
    assert nginx.python("import os; result = os.system('exit 3')") == str(
        3 << 8
    )


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(nginx: Nginx, method: str) -> None:
    nginx.write_python("work.py", "def double(x):\n    return x * 2\n")
    assert (
        nginx.python(
            f"""
            import multiprocessing, work
            context = multiprocessing.get_context("{method}")
            with context.Pool(2) as pool:
                result = pool.map(work.double, range(5))
            """,
        )
        == "[0, 2, 4, 6, 8]"
    )


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_exit_code_of_a_process(nginx: Nginx, method: str) -> None:
    nginx.write_python(
        "leaving.py", "import sys\ndef leave():\n    sys.exit(7)\n"
    )
    assert (
        nginx.python(
            f"""
            import multiprocessing, leaving
            context = multiprocessing.get_context("{method}")
            child = context.Process(target=leaving.leave)
            child.start()
            child.join(20)
            result = child.exitcode
            """,
        )
        == "7"
    )


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize(("how", "code"), [("terminate", -15), ("kill", -9)])
def test_ending_a_forked_process(
    nginx: Nginx, method: str, how: str, code: int
) -> None:
    """nginx's own signal handlers are not for children."""
    nginx.write_python(
        "sleeping.py", "import time\ndef sleep(): time.sleep(60)\n"
    )
    assert nginx.python(
        f"""
        import multiprocessing, sleeping
        context = multiprocessing.get_context("{method}")
        child = context.Process(target=sleeping.sleep, daemon=True)
        child.start()
        child.{how}()
        child.join(5)
        result = child.exitcode
        child.kill()
        """,
    ) == str(code)


def test_a_forked_child_touches_no_queue(nginx: Nginx) -> None:
    """The parent's tasks are the parent's."""
    assert (
        nginx.python(
            """
            import os
            from evaluate import C, ffi
            pid = os.fork()
            if pid == 0:
                queue = ffi.cast("void *", tq)
                null = C.ngx_http_lua_ffi_task_poll(queue) == ffi.NULL
                os._exit(0 if null else 1)
            result = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            """,
        )
        == "0"
    )
    assert nginx.python("result = 42") == "42"


def test_a_forked_child_that_ends_normally(nginx: Nginx) -> None:
    """It leaves by sys.exit: no hook of nginx's or ours may hang it."""
    nginx.write_python(
        "forked.py",
        "import os, sys\n"
        "def go():\n"
        "    pid = os.fork()\n"
        "    if pid == 0:\n"
        "        sys.stdout.flush()\n"
        "        os._exit(5)\n"
        "    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])\n",
    )
    assert nginx.python("import forked; result = forked.go()") == "5"
