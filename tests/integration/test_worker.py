# SPDX-License-Identifier: BSD-2-Clause
"""The end of workers and of requests, with calls in flight."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from .client import PATIENCE, eventually
from .conftest import NewNginx
from .nginx import Nginx

HELD = 'return require("probe").held()'
RELEASE = """
    local probe = require "probe"
    return probe.release(), probe.load():call("x")
"""
ONE_SECOND = {
    "c": 'return require("probe").load():call("delay:1000")',
    "python": """
        local rt = assert(ngx.load_ffi("ffi_python3", "evaluate,init"))
        return rt:run("import time; time.sleep(1); result = 'later'")
    """,
}


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(60) as executor:
        yield executor


def begin(
    nginx: Nginx, pool: ThreadPoolExecutor, code: str, count: int
) -> list[Future[list[Any]]]:
    """That many requests, all of which run."""
    counted = f"package.loaded.begun = (package.loaded.begun or 0) + 1 {code}"
    calls = [pool.submit(nginx.lua, counted) for _ in range(count)]
    eventually(
        lambda: nginx.lua("return package.loaded.begun") == [count],
        "all calls have begun",
    )
    return calls


@pytest.mark.once
@pytest.mark.parametrize("runtime", ["c", "python"])
@pytest.mark.parametrize("how", ["quit", "reload"])
def test_none_is_lost(
    new_nginx: NewNginx, pool: ThreadPoolExecutor, how: str, runtime: str
) -> None:
    with new_nginx() as nginx:
        old = nginx.worker()
        nginx.python("result = 1")
        calls = begin(nginx, pool, ONE_SECOND[runtime], 50)
        getattr(nginx, how)()
        assert [call.result() for call in calls] == [[True, "later"]] * 50
        if how == "reload":
            assert nginx.lua(ONE_SECOND[runtime]) == [True, "later"]
            nginx.wait_gone(old)
        else:
            nginx.wait()
        nginx.wait_log(rf"worker process {old} exited with code 0")


@pytest.mark.parametrize("deadline", ["60000", "0"])
def test_quit_waits_for_calls_of_any_deadline(
    new_nginx: NewNginx, pool: ThreadPoolExecutor, deadline: str
) -> None:
    code = f"""
        local rt = require("probe").load()
        return rt:call("delay:700", {{ timeout = {deadline} }})
    """
    with new_nginx() as nginx:
        calls = begin(nginx, pool, code, 3)
        nginx.quit()
        assert [call.result() for call in calls] == [[True, "later"]] * 3
        nginx.wait()


def test_quit_waits_for_loads(
    new_nginx: NewNginx, pool: ThreadPoolExecutor
) -> None:
    code = """
        local rt = assert(ngx.load_ffi("ffi_python3", "sleeper,init"))
        return rt:run("result = 'awake'")
    """
    with new_nginx() as nginx:
        nginx.write_python(
            "sleeper.py",
            "import time\ntime.sleep(0.5)\nfrom evaluate import init\n",
        )
        calls = begin(nginx, pool, code, 3)
        nginx.quit()
        assert [call.result() for call in calls] == [[True, "awake"]] * 3
        nginx.wait()


def test_quit_waits_for_a_timers_call(new_nginx: NewNginx) -> None:
    with new_nginx() as nginx:
        nginx.lua(
            """
            local rt = require("probe").load()
            ngx.timer.at(0, function()
                local ok, res = rt:call("delay:500")
                ngx.log(ngx.NOTICE, "timer got ", res)
            end)
            ngx.sleep(0.05)
            """
        )
        nginx.quit()
        nginx.wait()
        nginx.wait_log("timer got later")


def test_quit_does_not_wait_for_ever_for_a_timers_call(
    new_nginx: NewNginx,
) -> None:
    """One without a deadline, such as a watch; nor can it call again."""
    with new_nginx(http="ffi_exit_timeout 300ms;") as nginx:
        nginx.lua(
            """
            local rt = require("probe").load()
            ngx.timer.at(0, function()
                local ok, why = rt:call("hold")
                ngx.log(ngx.NOTICE, "watch ended: ", ok, " ", why)
                ok, why = rt:call("hold")
                ngx.log(ngx.NOTICE, "and again: ", ok, " ", why)
                ok, why = rt:call("bounded", { timeout = 60000 })
                ngx.log(ngx.NOTICE, "bounded: ", ok, " ", why)
            end)
            ngx.sleep(0.05)
            """
        )
        nginx.quit()
        nginx.wait()
        nginx.wait_log("watch ended: false aborted")
        nginx.wait_log("and again: false shutting down")
        nginx.wait_log("bounded: true bounded")


def test_quit_waits_for_a_requests_call_without_a_deadline(
    new_nginx: NewNginx, pool: ThreadPoolExecutor
) -> None:
    """As long as the request takes, though it is longer than a timer's."""
    code = """
        local rt = require("probe").load()
        return rt:call("delay:1500")
    """
    with new_nginx(http="ffi_exit_timeout 300ms;") as nginx:
        calls = begin(nginx, pool, code, 3)
        nginx.quit()
        assert [call.result() for call in calls] == [[True, "later"]] * 3
        nginx.wait()


@pytest.mark.parametrize("runtime", ["c", "python"])
def test_stop_with_calls_in_flight(
    new_nginx: NewNginx, pool: ThreadPoolExecutor, runtime: str
) -> None:
    with new_nginx() as nginx:
        calls = begin(nginx, pool, ONE_SECOND[runtime], 10)
        nginx.stop()
        nginx.wait()
        for call in calls:
            call.exception()


def test_quit_does_not_wait_for_idle_runtimes(new_nginx: NewNginx) -> None:
    with new_nginx() as nginx:
        nginx.python("result = 1")
        nginx.lua('require("probe").load("threads=3"):call("x")')
        nginx.quit()
        nginx.wait()


@pytest.mark.parametrize("cfg", ["stay", "stay threads=5"])
@pytest.mark.parametrize("calls", [0, 50])
def test_threads_that_never_end(
    new_nginx: NewNginx, cfg: str, calls: int
) -> None:
    """As Go's, which outlive what ran on them."""
    with new_nginx(http="ffi_exit_timeout 1h;") as nginx:
        nginx.lua(
            f"""
            local rt = require("probe").load("{cfg}")
            for i = 1, {calls} do
                rt:call("x")
            end
            """
        )
        nginx.quit()
        nginx.wait()
        assert "have not ended" not in nginx.log()


POOL = """
import concurrent.futures
from evaluate import C, answer, ffi

pool = concurrent.futures.ThreadPoolExecutor(4)

def poll(tq):
    while True:
        task = C.ngx_http_lua_ffi_task_poll(ffi.cast("void *", tq))
        if task == ffi.NULL:
            break
        answer(task, 0, "fine")

def init(cfg, tq):
    for _ in range(4):
        pool.submit(poll, tq)
    return 0
"""


def test_threads_of_a_pool_stay_when_they_have_polled(
    new_nginx: NewNginx,
) -> None:
    with new_nginx(http="ffi_exit_timeout 1h;") as nginx:
        nginx.write_python("polls_in_a_pool.py", POOL)
        assert nginx.lua(
            """
            local cfg = "polls_in_a_pool,init"
            local rt = assert(ngx.load_ffi("ffi_python3", cfg))
            for i = 1, 50 do
                assert(rt:call("x"))
            end
            return rt:call("x")
            """
        ) == [True, "fine"]
        nginx.quit()
        nginx.wait()
        assert "have not ended" not in nginx.log()


def test_threads_that_never_end_at_an_unload(new_nginx: NewNginx) -> None:
    with new_nginx(http="ffi_exit_timeout 1h;") as nginx:
        for _ in range(20):
            assert nginx.lua(
                """
                local rt = require("probe").load("stay threads=3")
                rt:call("x")
                return rt:__unload()
                """
            ) == [True]
        nginx.quit()
        nginx.wait()


def test_a_thread_at_work_on_a_call_is_waited_for(new_nginx: NewNginx) -> None:
    """Though nobody waits for its answer any more."""
    with new_nginx() as nginx:
        assert nginx.lua(
            """
            local rt = require("probe").load("stay threads=3")
            return rt:call("work:1500", { timeout = 50 })
            """
        ) == [False, "timeout"]
        nginx.quit()
        nginx.wait()
        nginx.wait_log("worked")


def test_shutdown_timeout_ends_calls(
    new_nginx: NewNginx, pool: ThreadPoolExecutor
) -> None:
    """Also one that nobody ever answers, in a timer."""
    code = """
        local rt = require("probe").load()
        ngx.timer.at(0, function() rt:call("hold") end)
        return rt:call("hold")
    """
    with new_nginx(main="worker_shutdown_timeout 300ms;") as nginx:
        calls = begin(nginx, pool, code, 2)
        nginx.quit()
        nginx.wait()
        for call in calls:
            call.exception()


def test_a_python_thread_that_never_ends(new_nginx: NewNginx) -> None:
    """Not a daemon, and it does not look up."""
    with new_nginx() as nginx:
        nginx.python(
            "import threading, time\n"
            "def run():\n"
            "    while True: time.sleep(0.01)\n"
            "threading.Thread(target=run).start()"
        )
        nginx.quit()
        nginx.wait()


def test_a_runtime_that_does_not_end(new_nginx: NewNginx) -> None:
    """Holds up a worker that quits no longer than it is told to."""
    with new_nginx(http="ffi_exit_timeout 200ms;") as nginx:
        nginx.lua(
            """
            local probe = require "probe"
            local rt = probe.load()
            ngx.thread.spawn(rt.call, rt, "gate")
            probe.wait("gated", 1)
            ngx.print("[true,[]]")
            ngx.exit(200)
            """
        )
        nginx.quit()
        nginx.wait(PATIENCE / 2)
        nginx.wait_log(r"\[warn\].*threads? of runtimes")


def test_a_killed_worker_has_a_successor(new_nginx: NewNginx) -> None:
    with new_nginx() as nginx:
        nginx.allow_log("exited on signal 9")
        for _ in range(2):
            old = nginx.worker()
            assert nginx.python("import os; result = os.getpid()") == str(old)
            os.kill(old, signal.SIGKILL)
            nginx.wait_successor(old)


def test_reload_many_times(new_nginx: NewNginx) -> None:
    with new_nginx() as nginx:
        for _ in range(5):
            old = nginx.worker()
            assert nginx.python("result = 42") == "42"
            nginx.reload()
            nginx.wait_gone(old)
        assert nginx.python("result = 42") == "42"


@pytest.fixture(scope="module")
def server(new_nginx: NewNginx) -> Iterator[Nginx]:
    settings = """
        location = /abort {
            lua_check_client_abort on;
            content_by_lua_block { require("harness").run() }
        }
        location = /handler {
            lua_check_client_abort on;
            content_by_lua_block {
                ngx.on_abort(function() ngx.exit(499) end)
                require("harness").run()
            }
        }
        location = /sub {
            content_by_lua_block {
                ngx.print(select(2, require("probe").load():call("hold")))
            }
        }
    """
    with new_nginx(server=settings) as nginx:
        yield nginx


def leave(nginx: Nginx, uri: str, code: str, held: int) -> None:
    """Sends a request and goes away once its calls are under way."""
    connection: socket.socket = nginx.connect()
    connection.sendall(
        f"POST {uri} HTTP/1.1\r\nHost: x\r\n"
        f"Content-Length: {len(code)}\r\n\r\n{code}".encode()
    )
    eventually(lambda: nginx.lua(HELD) == [held], "calls are held")
    connection.close()


@pytest.mark.valgrind
@pytest.mark.parametrize("uri", ["/lua", "/abort", "/handler"])
def test_the_client_goes_away(nginx: Nginx, uri: str) -> None:
    code = """
        local rt = require("probe").load()
        ngx.thread.spawn(rt.call, rt, "hold")
        ngx.thread.spawn(rt.call, rt, "hold")
        rt:call("hold")
        ngx.print("late")
    """
    for _ in range(3):
        leave(nginx, uri, code, 3)
        assert nginx.lua("ngx.sleep(0.05) return 1") == [1]
        assert nginx.lua(RELEASE) == [3, True, "x"]
    assert nginx.lua(HELD) == [0]


@pytest.mark.valgrind
@pytest.mark.parametrize("uri", ["/lua", "/abort", "/handler"])
@pytest.mark.parametrize(
    "captures", ['capture("/sub")', 'capture_multi { { "/sub" }, { "/sub" } }']
)
def test_the_client_goes_while_subrequests_wait(
    nginx: Nginx, uri: str, captures: str
) -> None:
    held = captures.count("/sub")
    for _ in range(3):
        leave(nginx, uri, f"ngx.location.{captures}", held)
        assert nginx.lua("ngx.sleep(0.05) return 1") == [1]
        assert nginx.lua(RELEASE) == [held, True, "x"]
    assert nginx.lua(HELD) == [0]


@pytest.mark.valgrind
def test_the_client_goes_while_calls_still_wait(nginx: Nginx) -> None:
    code = """
        local probe = require "probe"
        local rt = probe.load("stalls")
        ngx.thread.spawn(rt.call, rt, "gate")
        for i = 1, 10 do
            ngx.thread.spawn(rt.call, rt, "waits")
        end
        probe.wait("gated", 1)
        probe.load():call("hold")
    """
    leave(nginx, "/abort", code, 1)
    assert nginx.lua(RELEASE) == [1, True, "x"]
    assert nginx.lua(
        """
        local probe = require "probe"
        probe.open_gate()
        return probe.load("stalls"):call("y")
        """
    ) == [True, "y"]


@pytest.mark.valgrind
def test_a_killed_light_thread(nginx: Nginx) -> None:
    assert nginx.lua(
        """
        local probe = require "probe"
        local rt = probe.load()
        for _ = 1, 20 do
            local t = ngx.thread.spawn(rt.call, rt, "hold")
            assert(ngx.thread.kill(t))
        end
        rt:call("what came before")
        probe.release()
        return rt:call("x")
        """
    ) == [True, "x"]


@pytest.mark.valgrind
def test_a_killed_light_thread_is_never_resumed(nginx: Nginx) -> None:
    """Its request lives on when the deadline passes."""
    assert nginx.lua(
        """
        local probe = require "probe"
        local rt = probe.load()
        local resumed = 0
        for _ = 1, 10 do
            local t = ngx.thread.spawn(function()
                rt:call("hold", { timeout = 30 })
                resumed = resumed + 1
            end)
            ngx.thread.kill(t)
        end
        ngx.sleep(0.1)
        rt:call("what came before")
        probe.release()
        return resumed, rt:call("x")
        """
    ) == [0, True, "x"]


@pytest.mark.valgrind
@pytest.mark.parametrize("end", ["ngx.exit(200)", "error('raised')", "return"])
def test_a_request_that_ends_before_its_calls(nginx: Nginx, end: str) -> None:
    """ngx.exit and errors end its threads; a return waits for them."""
    code = f"""
        local probe = require "probe"
        local rt = probe.load()
        for _ = 1, 5 do
            ngx.thread.spawn(rt.call, rt, "hold", {{ timeout = 1000 }})
        end
        probe.wait("held", 5)
        if true then {end} end
    """
    nginx.post("/lua", code)
    eventually(lambda: nginx.lua(HELD) == [5], "five are held")
    assert nginx.lua(RELEASE) == [5, True, "x"]


@pytest.mark.valgrind
def test_ngx_exit_by_a_thread_while_the_main_one_waits(nginx: Nginx) -> None:
    answer = nginx.post(
        "/lua",
        """
        local probe = require "probe"
        local rt = probe.load()
        ngx.thread.spawn(function()
            probe.wait("held", 1)
            ngx.exit(418)
        end)
        rt:call("hold")
        """,
    )
    assert answer.status == 418
    assert nginx.lua(RELEASE) == [1, True, "x"]


@pytest.mark.valgrind
@pytest.mark.parametrize(
    "leave_by", ['ngx.exec("/there")', 'ngx.req.set_uri("/there", true)']
)
def test_internal_redirects(new_nginx: NewNginx, leave_by: str) -> None:
    """The request lives on in another location, and so may its calls."""
    settings = f"""
        location = /here {{
            rewrite_by_lua_block {{
                local rt = require("probe").load()
                assert(rt:call("before"))
                ngx.thread.spawn(rt.call, rt, "delay:30")
                {leave_by}
            }}
        }}
        location = /there {{
            content_by_lua_block {{
                local rt = require("probe").load()
                ngx.thread.spawn(rt.call, rt, "delay:30")
                ngx.print(select(2, rt:call("after")))
            }}
        }}
    """
    with new_nginx(server=settings) as nginx:
        for _ in range(5):
            assert nginx.get("/here").text == "after"


@pytest.mark.valgrind
def test_the_first_of_two_answers(nginx: Nginx) -> None:
    """wait() takes the first; the other one's caller is killed."""
    assert nginx.lua(
        """
        local probe = require "probe"
        local rt = probe.load()
        local slow = ngx.thread.spawn(rt.call, rt, "hold")
        local quick = ngx.thread.spawn(rt.call, rt, "quick")
        local _, _, res = ngx.thread.wait(slow, quick)
        ngx.thread.kill(slow)
        rt:call("what came before")
        probe.release()
        return res, rt:call("x")
        """
    ) == ["quick", True, "x"]


def test_a_runtime_that_has_called_nothing(new_nginx: NewNginx) -> None:
    """The linker knows of no use of the module; it has to stay anyway."""
    with new_nginx() as nginx:
        nginx.lua('require("probe").load("threads=0")')
