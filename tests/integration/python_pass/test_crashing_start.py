# SPDX-License-Identifier: BSD-2-Clause
"""Applications whose start ends the worker."""

from __future__ import annotations

import time

import pytest

from ..client import eventually
from .site import ASK, TWO, WELL, Site

# {how} as long as there is a file, whose bytes are counted down
CRASHING = """
import ctypes, os, signal, sys, time
from pathlib import Path

def crash():
    times = Path(__file__).with_name("times")
    left = times.read_bytes()
    if left:
        times.write_bytes(left[1:])
        {how}
"""

EXIT = CRASHING.format(how="os._exit(1)")
ALWAYS = b"x" * 100

LIFESPAN = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        crash()
        raise RuntimeError("no lifespan")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"well"})
"""


def crashing(
    server: str, app: str, times: bytes = ALWAYS, well: str = WELL
) -> Site:
    nginx = Site(server, apps={"app.py": app, "well.py": well})
    (nginx.python_dir / "times").write_bytes(times)
    nginx.expect_other_worker()
    nginx.allow_log("exited (on signal|with code)|Fatal Python error")
    return nginx


def mend(nginx: Site) -> None:
    (nginx.python_dir / "times").write_bytes(b"")


def again(seconds: int) -> str:
    times = {1: 1, 2: 2, 4: 3}[seconds]
    return (
        '"app:app" was starting when the worker before this one ended, '
        f"{times} in a row: it starts again in {seconds} s"
    )


@pytest.mark.parametrize(
    "how",
    [
        "os._exit(0)",
        "os.abort()",
        "ctypes.string_at(0)",
        "os.kill(os.getpid(), signal.SIGTERM); time.sleep(9)",
    ],
)
def test_back_off(how: str) -> None:
    """1 s, 2 s, 4 s; nginx serves, and says 502 and why."""
    app = CRASHING.format(how=how) + "crash()\n" + WELL
    with crashing(ASK, app) as nginx:
        nginx.wait_log(again(1))
        assert nginx.get("/").status == 502
        nginx.wait_log(
            'FFI004: ffi: cannot load "app:app": it was starting when'
        )
        nginx.wait_log(again(2))
        mend(nginx)
        assert nginx.get("/file").status == 200
        assert nginx.get("/").status == 502
        eventually(lambda: nginx.get("/").status == 200, "it serves")
        assert again(4) not in nginx.log()


def test_success_and_reload_begin_anew() -> None:
    with crashing(ASK, EXIT + "crash()\n" + WELL, b"xx") as nginx:
        nginx.wait_log(again(2))
        eventually(lambda: nginx.get("/").status == 200, "it serves")
        (nginx.python_dir / "times").write_bytes(b"xx")
        for _ in range(2):
            since = len(nginx.log())
            nginx.reload()
            nginx.wait_log(again(1), since)


def test_in_the_lifespan() -> None:
    with crashing(ASK, EXIT + LIFESPAN, b"x") as nginx:
        nginx.wait_log(again(1))
        eventually(lambda: nginx.get("/").status == 200, "it serves")


def test_an_exception_begins_anew() -> None:
    app = EXIT + "crash()\n1 / 0\n"
    with crashing(ASK, app, b"x") as nginx:
        nginx.wait_log(again(1))
        nginx.wait_log("FFI058: .* tries again in 1 s")
        nginx.wait_log("FFI058: .* tries again in 2 s")
        assert again(2) not in nginx.log()


def test_requests_that_came_before() -> None:
    """They end with the worker; those that came behind are answered."""
    app = EXIT + "time.sleep(1)\ncrash()\n" + WELL
    with crashing(ASK, app, b"x") as nginx:
        with nginx.connect() as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert sock.recv(100) == b""
        eventually(lambda: nginx.get("/").status == 200, "it serves")


def test_beside_one_that_serves() -> None:
    """It is tried once more, and then the other one is left in peace."""
    app = EXIT + "time.sleep(0.3)\ncrash()\n" + WELL
    with crashing(TWO, app) as nginx:
        nginx.wait_log('FFI063: .*"app:app" is not started again before')
        worker = nginx.worker()
        assert (nginx.python_dir / "times").read_bytes() == ALWAYS[2:]
        end = time.monotonic() + 3
        while time.monotonic() < end:
            assert nginx.text("/well") == "well"
            assert nginx.get("/app").status == 502
            time.sleep(0.05)
        assert nginx.worker() == worker
        mend(nginx)
        nginx.reload()
        eventually(lambda: nginx.get("/app").status == 200, "it serves")


def test_two_that_start_at_once() -> None:
    """The one that does not crash is found out, and serves."""
    slow = "import time\ntime.sleep(1)\n" + WELL
    app = EXIT + "time.sleep(0.3)\ncrash()\n" + WELL
    with crashing(TWO, app, well=slow) as nginx:
        nginx.wait_log('"well:app" was starting when .* 1 in a row')
        nginx.wait_log('FFI063: .*"app:app" is not started again before')
        assert nginx.text("/well") == "well"
        assert nginx.get("/app").status == 502
        assert not nginx.count_log('"well:app" was starting .* 2 in a row')


def test_once_beside_one_that_serves() -> None:
    app = EXIT + "time.sleep(0.3)\ncrash()\n" + WELL
    with crashing(TWO, app, b"x") as nginx:
        nginx.wait_log(again(1))
        eventually(lambda: nginx.get("/app").status == 200, "it serves")
        assert nginx.text("/well") == "well"
        assert "FFI063" not in nginx.log()


def test_two_that_crash() -> None:
    """In turns, and each more seldom; the other one waits for a reload."""
    app = EXIT + "crash()\n" + WELL
    with crashing(TWO, app, well=app) as nginx:
        nginx.wait_log('"app:app" was starting when .* 3 in a row')
        nginx.wait_log('"well:app" was starting when .* 2 in a row')
        assert nginx.get("/app").status == 502
        mend(nginx)
        eventually(lambda: nginx.get("/well").status == 200, "it serves")
        nginx.wait_log('FFI063: .*"app:app" is not started again before')
