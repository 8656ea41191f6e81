# SPDX-License-Identifier: BSD-2-Clause
"""What only Python's main thread can do, in import and init."""

from __future__ import annotations

import itertools
import re
import sys
from pathlib import Path

import pytest

from .conftest import NewNginx
from .nginx import Nginx

numbers = itertools.count()

PLACES = ["import", "init", "__init__", "async __init__"]

MODULE = """
import asyncio
import faulthandler
import signal
import threading
{uvloop}
from evaluate import init as start
from resty_ffi import serve

def do(place):
    if place != "{place}":
        return
    {code}

do("import")

def init(cfg, tq):
    do("init")
    return start(cfg, tq)

@serve
class Served:
    def __init__(self):
        do("__init__")

    def run(self, request):
        return "served"

@serve
class Loop:
    def __init__(self):
        do("async __init__")

    async def run(self, request):
        return "served"
"""

# For each: what the one line says that it is; and Python's own answer.
SIGNALS = {
    "signal.signal(SIGTERM)": "assert signal.signal(15, print) is None",
    "signal.signal(SIGUSR1)": (
        "assert signal.signal(signal.SIGUSR1, signal.SIG_DFL)"
        " == signal.getsignal(signal.SIGUSR1)"
    ),
    "signal.set_wakeup_fd()": "assert signal.set_wakeup_fd(-1) == -1",
    "signal.siginterrupt(SIGHUP)": "signal.siginterrupt(1, False)",
    "signal.alarm()": "assert signal.alarm(5) == 0",
    "signal.setitimer()": (
        "assert signal.setitimer(signal.ITIMER_REAL, 5) == (0.0, 0.0)"
    ),
    "faulthandler.register(SIGUSR1)": "faulthandler.register(10)",
    "loop.add_signal_handler(SIGTERM)": (
        "loop = asyncio.new_event_loop();"
        " loop.add_signal_handler(15, print);"
        " assert loop.remove_signal_handler(15) is False;"
        " loop.close()"
    ),
}

# What of /proc says how a process deals with signals.
DISPOSITIONS = re.compile(r"^Sig(?:Ign|Cgt):.*$", re.M)


def write(nginx: Nginx, place: str, code: str, uvloop: str = "") -> str:
    """A cfg whose load does that, there."""
    name = f"main_thread_{next(numbers)}"
    nginx.write_python(
        f"{name}.py", MODULE.format(place=place, code=code, uvloop=uvloop)
    )
    function = {"__init__": "Served", "async __init__": "Loop"}
    return f"{name},{function.get(place, 'init')}"


def load(nginx: Nginx, cfg: str) -> None:
    assert nginx.lua(
        f'local rt, err = ngx.load_ffi("ffi_python3", "{cfg}")'
        "return rt ~= nil, err"
    ) == [True, None]


def dispositions(nginx: Nginx) -> list[str]:
    status = Path(f"/proc/{nginx.worker()}/status").read_text()
    return DISPOSITIONS.findall(status)


def ignored(nginx: Nginx, since: int, name: str) -> list[str]:
    """What was said to be ignored that the module has asked for."""
    return re.findall(
        rf"\[warn\].*ffi_python3: {name}: (.*) is ignored: signals are"
        r" nginx's",
        nginx.log(since),
    )


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("what", SIGNALS)
def test_what_asks_for_a_signal_is_ignored(
    nginx: Nginx, place: str, what: str
) -> None:
    nginx.python("import asyncio; result = 1")
    before = dispositions(nginx)
    since = len(nginx.log())
    cfg = write(nginx, place, SIGNALS[what])
    load(nginx, cfg)
    assert dispositions(nginx) == before
    assert ignored(nginx, since, cfg.partition(",")[0]) == [what]


@pytest.mark.parametrize("place", PLACES)
def test_uvloop(nginx: Nginx, place: str) -> None:
    code = SIGNALS["loop.add_signal_handler(SIGTERM)"]
    code = code.replace("asyncio.new", "uvloop.new")
    since = len(nginx.log())
    cfg = write(nginx, place, code, "import uvloop")
    load(nginx, cfg)
    assert ignored(nginx, since, cfg.partition(",")[0]) == [
        "loop.add_signal_handler(SIGTERM)"
    ]


def test_one_line_for_each_module(nginx: Nginx) -> None:
    since = len(nginx.log())
    helper = f"main_thread_{next(numbers)}"
    nginx.write_python(
        f"{helper}.py",
        "import signal\ndef ask(): signal.signal(signal.SIGINT, print)\n",
    )
    code = f"import {helper}; [{helper}.ask() for _ in range(5)];" + (
        "[signal.signal(n, print) for n in (15, 1, 2)]"
    )
    cfg = write(nginx, "init", code)
    load(nginx, cfg)
    assert ignored(nginx, since, cfg.partition(",")[0]) == [
        "signal.signal(SIGTERM)"
    ]
    assert ignored(nginx, since, helper) == ["signal.signal(SIGINT)"]


def test_handlers_and_threads(nginx: Nginx) -> None:
    """Later it is the same, on whatever thread."""
    nginx.write_python(
        "asks_later.py",
        """
import asyncio, signal, threading
from resty_ffi import serve

def ask():
    return signal.signal(signal.SIGTERM, print)

@serve
def handler(request):
    ask()
    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()

@serve
async def loop(request):
    ask()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, print)
    await asyncio.to_thread(ask)
""",
    )
    before = dispositions(nginx)
    since = len(nginx.log())
    for name in ("handler", "loop"):
        assert nginx.lua(
            f'return ngx.load_ffi("ffi_python3", "asks_later,{name}"):go()'
        ) == [True, None]
    assert ignored(nginx, since, "asks_later") == ["signal.signal(SIGTERM)"]
    assert dispositions(nginx) == before


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("signal.signal(15, 42)", "TypeError: signal handler must be"),
        ("signal.signal(0, print)", "ValueError: signal number out of range"),
        ("signal.signal(15)", "TypeError: "),
        (
            "asyncio.new_event_loop().add_signal_handler(99, print)",
            "ValueError: signal number out of range",
        ),
    ],
)
def test_wrong_arguments(nginx: Nginx, code: str, error: str) -> None:
    cfg = write(nginx, "init", code)
    rt, err = nginx.lua(f'return ngx.load_ffi("ffi_python3", "{cfg}")')
    assert rt is None
    assert error in err


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_children_have_signals(nginx: Nginx, method: str) -> None:
    nginx.write_python(
        "child.py",
        """
import os, signal, sys

def main():
    signal.signal(signal.SIGUSR1, lambda *args: os._exit(5))
    os.kill(os.getpid(), signal.SIGUSR1)
""",
    )
    assert (
        nginx.python(
            f"""
            import multiprocessing, child
            context = multiprocessing.get_context("{method}")
            process = context.Process(target=child.main)
            process.start()
            process.join(20)
            result = process.exitcode
            """
        )
        == "5"
    )


@pytest.mark.skipif(
    sys.version_info >= (3, 14), reason="main threads have none there either"
)
@pytest.mark.parametrize("place", ["import", "init", "__init__"])
def test_the_current_event_loop(nginx: Nginx, place: str) -> None:
    """One for the thread, that stays, and works; another one can be set."""
    code = """
    loop = asyncio.get_event_loop()
    assert asyncio.get_event_loop() is loop and not loop.is_closed()
    assert loop.run_until_complete(asyncio.sleep(0, 42)) == 42
    other = asyncio.new_event_loop()
    asyncio.set_event_loop(other)
    assert asyncio.get_event_loop() is other
    other.close()
    loop.close()
    """
    load(nginx, write(nginx, place, code.strip()))


def test_the_event_loop_of_an_init(nginx: Nginx) -> None:
    """Is the running one, where it is made in a loop."""
    code = "assert asyncio.get_event_loop() is asyncio.get_running_loop()"
    load(nginx, write(nginx, "async __init__", code))


def test_asyncio_run(nginx: Nginx) -> None:
    for place in ("import", "init", "__init__"):
        code = "assert asyncio.run(asyncio.sleep(0, 42)) == 42"
        load(nginx, write(nginx, place, code))


@pytest.mark.skipif(
    sys.version_info >= (3, 14), reason="main threads have none there either"
)
def test_a_thread_of_init_has_no_event_loop(nginx: Nginx) -> None:
    """As in plain Python."""
    code = """
    raised = []
    def get():
        try:
            asyncio.get_event_loop()
        except RuntimeError:
            raised.append(True)
    thread = threading.Thread(target=get)
    thread.start()
    thread.join()
    assert raised
    """
    load(nginx, write(nginx, "init", code.strip()))


def test_asyncio_that_was_imported_before(new_nginx: NewNginx) -> None:
    """By a .pth file, or by another runtime."""
    with new_nginx() as nginx:
        nginx.write_python("sitecustomize.py", "import asyncio, signal\n")
        code = SIGNALS["loop.add_signal_handler(SIGTERM)"]
        load(nginx, write(nginx, "init", code))
        assert nginx.python("import sitecustomize; result = 1") == "1"
