# SPDX-License-Identifier: BSD-2-Clause
"""What error.log tells of Python threads that are stuck: their stacks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .client import PATIENCE, eventually
from .conftest import NewNginx
from .nginx import Nginx

NAME = "threads of the stuck runtime"
GIL_IS_HELD = "something holds the GIL"

# opened by the test: what Python is stuck at; in one line and without a
# Python function below it, so that every look finds the same stack
GATE = """
import os, time

def stand_at_gate(gate):
    while not os.access(gate, os.F_OK): time.sleep(0.01)
"""

STANDING = """
    import sys, traceback
    result = sum(
        frame.f_code.co_name == "stand_at_gate"
        for top in sys._current_frames().values()
        for frame, _ in traceback.walk_stack(top)
    )
"""

HANDLERS = """
import asyncio
import concurrent.futures
import time
from gate import stand_at_gate
from resty_ffi import serve

def ask(request):
    if request:
        with open(request + b".entered", "a") as entered:
            entered.write(".")
        in_the_handler(request)
    return request

def in_the_handler(gate):
    stand_at_gate(gate)

plain = serve(ask)
threads = serve(threads=3)(lambda request: ask(request))

@serve
async def loop(request):
    return ask(request)

@serve(threads=2)
class Pooled:
    def work(self, request):
        return ask(request)

    async def block(self, request):
        return ask(request)

@serve
class Closes:
    def __init__(self, gate):
        self.gate = gate

    def __call__(self, request):
        return request

    def close(self):
        stand_at_gate(self.gate)
"""

# as users write them
POLL_LOOPS = """
import _thread, threading
from evaluate import C, answer, ffi
from gate import stand_at_gate

def poll(tq):
    while True:
        task = C.ngx_http_lua_ffi_task_poll(ffi.cast("void *", tq))
        if task == ffi.NULL:
            break
        gate = ffi.string(C.ngx_http_lua_ffi_get_req(task, ffi.NULL))
        if gate:
            with open(gate + b".entered", "a") as entered:
                entered.write(".")
            stand_at_gate(gate)
        answer(task, 0, "on we go")

def registered(cfg, tq):
    threading.Thread(target=poll, args=(tq,), name="poller").start()
    return 0

def bare(cfg, tq):
    _thread.start_new_thread(poll, (tq,))
    return 0

def never_polls(cfg, tq):
    gate = ffi.string(ffi.cast("char *", cfg))
    threading.Thread(target=stand_at_gate, args=(gate,)).start()
    return 0

def holds_the_gil(cfg, tq):
    def run():
        task = C.ngx_http_lua_ffi_task_poll(ffi.cast("void *", tq))
        gate = ffi.string(C.ngx_http_lua_ffi_get_req(task, ffi.NULL))
        import ctypes
        python = ctypes.PyDLL(None)
        with open(gate + b".entered", "a") as entered:
            entered.write(".")
        while python.access(gate, 0) != 0:
            # five seconds, more than are waited for
            python.usleep(5000000)
        answer(task, 0, "on we go")
        poll(tq)
    threading.Thread(target=run, name="holder").start()
    return 0
"""


def prepare(nginx: Nginx) -> None:
    nginx.write_python("gate.py", GATE)
    nginx.write_python("handlers.py", HANDLERS)
    nginx.write_python("poll_loops.py", POLL_LOOPS)


def gate_of(nginx: Nginx, cfg: str) -> Path:
    return nginx.prefix / f"{cfg.split(',')[1]}.gate"


def stick(nginx: Nginx, cfg: str, method: str = "any", held: int = 1) -> None:
    """Puts so many threads of a runtime before its gate; calls wait then,
    and none is taken.
    """
    gate = gate_of(nginx, cfg)
    nginx.lua(
        f"""
        local rt = assert(ngx.load_ffi("ffi_python3", "{cfg}"))
        local function entered()
            local file = io.open("{gate}.entered")
            local marks = file and file:read("*a") or ""
            if file then file:close() end
            return #marks
        end
        for i = 1, {held} do
            ngx.thread.spawn(rt.{method}, rt, "{gate}", {{ timeout = 0 }})
        end
        while entered() < {held} do
            ngx.sleep(0.01)
        end
        local _, vain = rt:{method}("", {{ timeout = 1000 }})
        assert(vain == "timeout", vain)
        for i = 1, 3 do
            local _, err = rt:{method}("", {{ timeout = 1000 }})
            assert(err == "the runtime is stuck", err)
        end
        ngx.print("[true,[]]")
        ngx.exit(200)
        """
    )


def free(nginx: Nginx, cfg: str) -> None:
    """Opens the gate, and closes it behind those that have stood there."""
    gate = gate_of(nginx, cfg)
    gate.touch()
    eventually(lambda: nginx.python(STANDING) == "0", "all have gone")
    gate.unlink()
    Path(f"{gate}.entered").unlink()


def entry(nginx: Nginx, since: int, what: str) -> str:
    """The one entry of error.log that has it in its first line."""
    eventually(lambda: nginx.count_log(re.escape(what), since), what)
    entries = re.split(r"^(?=\d{4}/\d\d/\d\d )", nginx.log(since), flags=re.M)
    (found,) = (text for text in entries if what in text.partition("\n")[0])
    return found


def threads_in(text: str) -> int:
    return len(re.findall(r"^thread ", text, re.M))


def check_stack(text: str) -> None:
    """Down to the line that waits, and without frames of nobody's concern."""
    assert re.search(
        r'File ".*/gate\.py", line \d+, in stand_at_gate\n'
        r"    while not os\.access\(gate, os\.F_OK\): time\.sleep\(0\.01\)\n",
        text,
    ), text
    for word in ("<resty_ffi", "/resty_ffi/", "_bootstrap_inner", "leave"):
        assert word not in text


@pytest.mark.valgrind
@pytest.mark.parametrize(
    ("cfg", "held"),
    [
        ("handlers,plain", 1),
        ("handlers,threads", 3),
        ("handlers,loop", 1),
        ("poll_loops,registered", 1),
        ("poll_loops,bare", 1),
    ],
)
def test_the_threads_of_a_stuck_runtime(
    nginx: Nginx, cfg: str, held: int
) -> None:
    """Each time once, and no other runtime's."""
    prepare(nginx)
    assert nginx.python("result = 1") == "1"
    for _ in range(2):
        since = len(nginx.log())
        stick(nginx, cfg, held=held)
        text = entry(nginx, since, NAME)
        free(nginx, cfg)
        assert "[error]" in text
        assert threads_in(text) == held
        assert len(re.findall("in stand_at_gate", text)) == held
        check_stack(text)
        assert "evaluate.py" not in text
        if cfg == "poll_loops,registered":
            assert re.search(r'thread \d+ "poller":\n  File', text)
        elif cfg == "poll_loops,bare":
            assert re.search(r"thread 0x\w+, not started by thr.*:\n  F", text)
        else:
            name = cfg.replace(",", r"\.")
            assert re.search(rf'thread \d+ "{name}(-[23])?":\n  File', text)
            assert "in in_the_handler" in text
        assert nginx.count_log(NAME, since) == 1


def test_the_pool_of_an_event_loop(nginx: Nginx) -> None:
    prepare(nginx)
    cfg = "handlers,Pooled"
    since = len(nginx.log())
    stick(nginx, cfg, "block")
    assert threads_in(entry(nginx, since, NAME)) == 1
    free(nginx, cfg)
    gate = nginx.prefix / "pool.gate"
    nginx.lua(
        f"""
        local rt = assert(ngx.load_ffi("ffi_python3", "{cfg}"))
        ngx.thread.spawn(rt.work, rt, "{gate}", {{ timeout = 0 }})
        while not io.open("{gate}.entered") do
            ngx.sleep(0.01)
        end
        ngx.print("[true,[]]")
        ngx.exit(200)
        """
    )
    since = len(nginx.log())
    stick(nginx, cfg, "block")
    text = entry(nginx, since, NAME)
    gate.touch()
    free(nginx, cfg)
    assert threads_in(text) == 2
    assert re.search(r'thread \d+ "handlers\.Pooled":\n  File', text)
    assert re.search(r'thread \d+ "handlers\.Pooled_0":\n  File', text)


def test_nobody_has_polled(new_nginx: NewNginx) -> None:
    """There is no telling which threads they are, so all are shown."""
    with new_nginx() as nginx:
        prepare(nginx)
        gate = nginx.prefix / "never.gate"
        nginx.lua(
            f"""
            local rt = assert(ngx.load_ffi("ffi_python3",
                                           "poll_loops,never_polls,{gate}"))
            assert(select(2, rt:call("", {{ timeout = 1000 }})) == "timeout")
            """
        )
        text = entry(nginx, 0, NAME)
        assert threads_in(text) == 1
        check_stack(text)
        gate.touch()


def test_a_deep_stack(nginx: Nginx) -> None:
    """Its end is of interest, and the entry is bounded."""
    prepare(nginx)
    nginx.write_python(
        "deep.py",
        """
from handlers import ask
from resty_ffi import serve

def down(request, depth):
    return up(request, depth)

def up(request, depth):
    return down(request, depth - 1) if depth else ask(request)

@serve
def dive(request):
    return down(request, 200)
""",
    )
    since = len(nginx.log())
    stick(nginx, "deep,dive")
    text = entry(nginx, since, NAME)
    assert re.search(r"\n  \d{3} frames, not shown\n", text)
    nginx.wait_log("in stand_at_gate", since)
    free(nginx, "deep,dive")
    assert nginx.count_log("in down", since) < 30


def test_the_gil_is_held(new_nginx: NewNginx) -> None:
    """By C code: no stack can be had, nginx serves, and one thread waits."""
    with new_nginx() as nginx:
        prepare(nginx)
        assert nginx.python("result = 1") == "1"
        stick(nginx, "poll_loops,holds_the_gil")
        text = entry(nginx, 0, GIL_IS_HELD)
        assert (
            len(re.findall(r'\n  thread \d+ "[^"]+" (sleeps|runs)', text)) > 2
        )
        assert nginx.get("/ping").status == 200
        # the holder lets go, and what was asked for comes late
        gate_of(nginx, "poll_loops,holds_the_gil").touch()
        nginx.wait_log(NAME)
        assert nginx.count_log(GIL_IS_HELD) == 1


def test_the_gil_is_held_at_the_end(new_nginx: NewNginx) -> None:
    with new_nginx(http="ffi_exit_timeout 1s;") as nginx:
        prepare(nginx)
        nginx.python("result = 1")
        stick(nginx, "poll_loops,holds_the_gil")
        since = len(nginx.log())
        nginx.quit()
        nginx.wait(PATIENCE / 2)
        assert nginx.count_log(GIL_IS_HELD, since) == 1


@pytest.mark.parametrize("how", ["quit", "stop"])
def test_a_handler_at_the_end(new_nginx: NewNginx, how: str) -> None:
    with new_nginx(http="ffi_exit_timeout 2s;") as nginx:
        prepare(nginx)
        stick(nginx, "handlers,plain")
        since = len(nginx.log())
        getattr(nginx, how)()
        nginx.wait(PATIENCE / 2)
        text = entry(nginx, since, "threads of runtimes that have not ended")
        assert "[warn]" in text
        assert "in in_the_handler" in text
        check_stack(text)


@pytest.mark.parametrize("unloaded", [False, True])
def test_a_close_that_hangs(new_nginx: NewNginx, unloaded: bool) -> None:
    """Also of a runtime that was unloaded long ago."""
    with new_nginx(http="ffi_exit_timeout 2s;") as nginx:
        prepare(nginx)
        cfg = f"handlers,Closes,{nginx.prefix}/close.gate"
        rt = f'assert(ngx.load_ffi("ffi_python3", "{cfg}"))'
        assert nginx.lua(f'return {rt}:x("y")') == [True, "y"]
        if unloaded:
            nginx.lua(f"{rt}:__unload()")
            nginx.python("result = 1")
        nginx.quit()
        nginx.wait(PATIENCE / 2)
        text = entry(nginx, 0, "threads of runtimes that have not ended")
        assert re.search(r"in close\n    stand_at_gate\(self\.gate\)", text)
        check_stack(text)


def test_atexit_that_hangs(new_nginx: NewNginx) -> None:
    with new_nginx(http="ffi_exit_timeout 1s;") as nginx:
        prepare(nginx)
        nginx.python(
            """
            import atexit, gate
            atexit.register(gate.stand_at_gate, "/never")
            """
        )
        nginx.quit()
        nginx.wait(PATIENCE / 2)
        nginx.wait_log(r"\[warn\].*atexit callbacks have not ended in time")
        text = entry(nginx, 0, "still in atexit callbacks")
        check_stack(text)


def test_threads_that_are_no_daemons(new_nginx: NewNginx) -> None:
    """Who ends in time is waited for; a pool at work ends its work."""
    with new_nginx(http="ffi_exit_timeout 2s;") as nginx:
        prepare(nginx)
        done, pooled = nginx.prefix / "done", nginx.prefix / "pooled"
        nginx.python(
            f"""
            import gate, pathlib, threading, time
            from concurrent.futures import ThreadPoolExecutor
            def work(path):
                threading.main_thread()
                time.sleep(0.2)
                pathlib.Path(path).touch()
            state["pool"] = ThreadPoolExecutor(1)
            state["pool"].submit(work, {str(pooled)!r})
            def start(target, *args):
                threading.Thread(
                    target=target, args=args, name="hangs", daemon=False
                ).start()
            start(work, {str(done)!r})
            start(gate.stand_at_gate, "/never")
            """
        )
        nginx.quit()
        nginx.wait(PATIENCE / 2)
        assert done.exists()
        assert pooled.exists()
        text = entry(nginx, 0, "no daemons")
        assert threads_in(text) == 1
        assert '"hangs":' in text
        check_stack(text)


def test_nothing_is_said_of_what_ends(new_nginx: NewNginx) -> None:
    with new_nginx() as nginx:
        prepare(nginx)
        nginx.python(
            """
            from concurrent.futures import ThreadPoolExecutor
            state["idle"] = ThreadPoolExecutor(1)
            state["idle"].submit(len, "").result()
            """
        )
        for cfg in ("handlers,plain", "handlers,Pooled", "handlers,threads"):
            rt = f'assert(ngx.load_ffi("ffi_python3", "{cfg}"))'
            assert nginx.lua(f'return {rt}:work("")') == [True, ""]
        nginx.quit()
        nginx.wait()
        assert not nginx.count_log("ffi_python3: .*threads")
