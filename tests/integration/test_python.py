# SPDX-License-Identifier: BSD-2-Clause
"""What Python code may do inside a worker."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from .checker import VALGRIND
from .conftest import NewNginx
from .nginx import BUILD, HERE, Nginx


def test_executable_is_the_venvs(nginx: Nginx) -> None:
    assert (
        nginx.python("import sys; result = sys.executable")
        == f"{sys.prefix}/bin/python"
    )


def test_prefix_is_the_venvs(nginx: Nginx) -> None:
    assert nginx.python("import sys; result = sys.prefix") == sys.prefix
    assert (
        nginx.python("import sys; result = sys.prefix != sys.base_prefix")
        == "True"
    )


def test_without_a_venv(new_nginx: NewNginx) -> None:
    """The interpreter's own library and what PYTHONPATH says."""
    import cffi

    site = os.path.dirname(os.path.dirname(cffi.__file__))
    with new_nginx(environ={"VIRTUAL_ENV": ""}, python_path=[site]) as nginx:
        executable, prefix = nginx.python(
            """
            import os, subprocess, sys
            out = subprocess.check_output([sys.executable, "-c", "print(1)"])
            assert out == b"1\\n", out
            result = sys.executable + " " + sys.prefix
            """,
        ).split()
        assert os.path.isabs(executable)
        assert prefix == sys.base_prefix


def test_without_the_package(new_nginx: NewNginx, tmp_path: Path) -> None:
    """All that loads, reports and leaves is compiled in."""
    shutil.copy(BUILD / "lib" / "libffi_python3.so", tmp_path)
    environ = {
        "LD_LIBRARY_PATH": str(tmp_path),
        "PYTHONPATH": str(HERE / "python"),
    }
    with new_nginx(environ=environ) as nginx:
        nginx.python(
            "import atexit, sys;"
            " atexit.register(sys.stderr.write, 'so it ends\\n')"
        )
        assert nginx.lua(
            'return ngx.load_ffi("ffi_python3", "evaluate?,init,again") ~= nil'
        ) == [True]
        assert (
            nginx.python(
                """
            try:
                import resty_ffi
            except ModuleNotFoundError as error:
                result = error.name
            """
            )
            == "resty_ffi"
        )
        nginx.quit()
        nginx.wait()
        assert "so it ends" in nginx.log()
        assert "Traceback" not in nginx.log()


def test_pythonhome(new_nginx: NewNginx) -> None:
    """The loader knows where its library is, whatever that says."""
    with new_nginx(environ={"PYTHONHOME": "/nonexistent"}) as nginx:
        assert nginx.python("import sys; result = sys.base_prefix") == (
            sys.base_prefix
        )


@pytest.mark.parametrize(
    "module",
    [
        *("ctypes", "_ssl", "sqlite3", "decimal", "lzma", "_bz2"),
        *("_asyncio", "_json", "_hashlib", "_multiprocessing", "cffi"),
    ],
)
def test_extension_modules(nginx: Nginx, module: str) -> None:
    assert nginx.python(f"import {module}; result = 1") == "1"


def test_extension_modules_work(nginx: Nginx) -> None:
    assert (
        nginx.python(
            """
            import ctypes, sqlite3, ssl
            db = sqlite3.connect(":memory:")
            (one,) = db.execute("select 6 * 7").fetchone()
            libc = ctypes.CDLL(None)
            result = one, libc.abs(-3), ssl.create_default_context() != 0
            """,
        )
        == "(42, 3, True)"
    )


def test_ctypes_finds_the_interface(nginx: Nginx) -> None:
    assert (
        nginx.python(
            """
            import ctypes
            get = ctypes.CDLL(None).ngx_http_lua_ffi_get_req
            get.restype = ctypes.c_void_p
            result = get(None, None)
            """,
        )
        == "None"
    )


def test_signals_still_reach_nginx(new_nginx: NewNginx) -> None:
    """After Python code has done its best to take them."""
    with new_nginx() as nginx:
        nginx.python(
            """
            import faulthandler, signal
            for number in signal.valid_signals():
                signal.signal(number, signal.SIG_IGN)
                signal.siginterrupt(number, False)
            for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1):
                faulthandler.register(number)
            signal.setitimer(signal.ITIMER_PROF, 0.01)
            signal.alarm(1)
            sum(range(10_000_000))
            result = 1
            """,
        )
        assert nginx.python("import os; result = os.getpid()") == str(
            nginx.worker()
        )
        old = nginx.worker()
        nginx.reload()
        nginx.wait_gone(old)


def test_sys_exit_in_a_thread_ends_that_only(nginx: Nginx) -> None:
    assert (
        nginx.python(
            """
            import sys, threading
            t = threading.Thread(target=sys.exit, args=(3,))
            t.start()
            t.join()
            result = t.is_alive()
            """,
        )
        == "False"
    )


def test_threads(nginx: Nginx) -> None:
    assert (
        nginx.python(
            """
            import threading
            seen = []
            ts = [threading.Thread(target=seen.append, args=(i,))
                  for i in range(50)]
            for t in ts: t.start()
            for t in ts: t.join()
            result = sorted(seen) == list(range(50))
            """,
        )
        == "True"
    )


def test_asyncio_run(nginx: Nginx) -> None:
    assert (
        nginx.python(
            """
            import asyncio
            async def main():
                child = await asyncio.create_subprocess_exec(
                    "sh", "-c", "exit 4")
                return await child.wait()
            result = asyncio.run(main())
            """,
        )
        == "4"
    )


@pytest.mark.parametrize("stream", ["sys.stderr", "sys.__stderr__"])
def test_stderr_arrives(nginx: Nginx, stream: str) -> None:
    since = len(nginx.log())
    nginx.python(f"import sys; print('a line', file={stream}); result = 1")
    nginx.wait_log("a line", since)


def test_stderr_of_children_arrives(nginx: Nginx) -> None:
    since = len(nginx.log())
    nginx.python("import os; result = os.system('echo from a child >&2')")
    nginx.wait_log("from a child", since)


def test_uncaught_exceptions_of_threads_arrive(nginx: Nginx) -> None:
    since = len(nginx.log())
    nginx.python(
        """
        import threading
        def fail(): raise ValueError("in a thread")
        t = threading.Thread(target=fail)
        t.start()
        t.join()
        result = 1
        """,
    )
    nginx.wait_log("ValueError: in a thread", since)


def test_logging_and_warnings_arrive(nginx: Nginx) -> None:
    since = len(nginx.log())
    nginx.python(
        """
        import logging, warnings
        logging.getLogger("app").error("a logged line")
        warnings.warn("a warning")
        result = 1
        """,
    )
    nginx.wait_log("a logged line", since)
    nginx.wait_log("UserWarning: a warning", since)


@pytest.mark.parametrize("how", ["quit", "stop"])
def test_atexit_runs(new_nginx: NewNginx, how: str) -> None:
    with new_nginx() as nginx:
        file = nginx.prefix / "atexit"
        nginx.python(
            f"""
            import atexit, pathlib
            atexit.register(pathlib.Path({str(file)!r}).touch)
            result = 1
            """,
        )
        getattr(nginx, how)()
        nginx.wait()
        assert file.exists()


def test_atexit_that_hangs(new_nginx: NewNginx) -> None:
    """Holds up the worker for a bounded time."""
    with new_nginx() as nginx:
        nginx.python(
            """
            import atexit, threading
            atexit.register(threading.Event().wait)
            result = 1
            """,
        )
        nginx.quit()
        nginx.wait()


def test_a_busy_thread_at_the_end(new_nginx: NewNginx) -> None:
    """One that keeps the interpreter busy while the worker leaves."""
    with new_nginx() as nginx:
        nginx.python(
            """
            import threading
            def spin():
                while True: sum(range(1000))
            for _ in range(2):
                threading.Thread(target=spin, daemon=True).start()
            result = 1
            """,
        )
        nginx.quit()
        nginx.wait()


def test_many_runtimes(nginx: Nginx) -> None:
    """Many runtimes of Python in one worker."""
    assert nginx.lua(
        """
        local seen, n = {}, 0
        for i = 1, 20 do
            local rt = assert(ngx.load_ffi("ffi_python3",
                                           "evaluate,init,number " .. i))
            local ok, cfg = rt:run("result = cfg")
            if ok and not seen[cfg] then
                seen[cfg], n = true, n + 1
            end
        end
        return n
        """
    ) == [20]


def test_working_directory_and_argv(nginx: Nginx) -> None:
    """Nothing of the shell that started nginx is taken for ours."""
    assert nginx.python("import sys; result = sys.argv") == "['']"
    assert nginx.python("import sys; result = '' in sys.path") == "False"


def test_encoding(nginx: Nginx) -> None:
    assert (
        nginx.python(
            """
            import locale, sys
            result = sys.getfilesystemencoding(), open("/dev/null").encoding
            """,
        ).lower()
        == "('utf-8', 'utf-8')"
    )


@pytest.mark.once
@pytest.mark.skipif(VALGRIND, reason="takes minutes there")
def test_unloading_python_many_times(nginx: Nginx) -> None:
    code = """
        for i = 1, 200 do
            local rt = assert(ngx.load_ffi("ffi_python3",
                                           "evaluate?,init,many"))
            assert(rt:run("result = 1"))
            assert(rt:__unload())
        end
        return rt
    """
    nginx.lua(code)
    before = nginx.resident()
    nginx.lua(code)
    assert nginx.resident() - before < 8192
