# SPDX-License-Identifier: BSD-2-Clause
"""Applications that cannot start."""

from __future__ import annotations

import os
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ..client import eventually
from .site import ASK, TWO, WELL, Site

# fails until the file is there, and counts how often it is imported
BROKEN = (
    """
from pathlib import Path

here = Path(__file__).parent
with (here / "imports").open("a") as file:
    file.write("x")
if not (here / "mended").exists():
    raise RuntimeError("not mended")
"""
    + WELL
)


def imports(nginx: Site) -> int:
    return len((nginx.python_dir / "imports").read_text())


def mend(nginx: Site) -> None:
    (nginx.python_dir / "mended").touch()


@pytest.mark.valgrind
def test_one_in_two_that_fails() -> None:
    """502; one import, one traceback, and the other one serves on."""
    with Site(TWO, apps={"app.py": BROKEN, "well.py": WELL}) as nginx:
        assert nginx.get("/app").status == 502
        mend(nginx)
        end = time.monotonic() + 2.5
        while time.monotonic() < end:
            assert nginx.get("/app").status == 502
            assert nginx.text("/well") == "well"
            time.sleep(0.05)
        assert imports(nginx) == 1
        log = nginx.log()
        assert log.count("Traceback") == 1
        lines = re.findall(
            r"(.{19}) \[error\] .*cannot load \"app:app\": .*RuntimeError: "
            r"not mended",
            log,
        )
        assert 2 <= len(lines) == len(set(lines)), lines
        assert "fresh worker" not in log


def test_a_fresh_worker_tries_again() -> None:
    """After a second, then after two; and the count begins anew."""
    with Site(ASK, apps={"app.py": BROKEN}) as nginx:
        nginx.expect_other_worker()
        nginx.wait_log("tries again in 1 s")
        assert nginx.get("/").status == 502
        first = nginx.worker()
        nginx.wait_log("tries again in 2 s")
        mend(nginx)
        assert nginx.get("/file").status == 200
        eventually(lambda: nginx.get("/").status == 200, "it serves")
        assert nginx.worker() != first
        assert imports(nginx) == 3
        assert nginx.log().count("Traceback") == 2


def test_connections_wait_while_it_restarts() -> None:
    """Each gets an answer, and none is refused or reset."""
    with Site(ASK, apps={"app.py": BROKEN}) as nginx:
        nginx.expect_other_worker()
        statuses: list[int] = []
        begun = len(nginx.log())
        with ThreadPoolExecutor(4) as pool:
            while nginx.count_log("tries again in 2 s", begun) == 0:
                statuses += pool.map(lambda _: nginx.get("/").status, range(4))
            mend(nginx)
            while 200 not in statuses[-4:]:
                statuses += pool.map(lambda _: nginx.get("/").status, range(4))
        assert set(statuses) == {200, 502}


def test_success_begins_the_count_anew() -> None:
    with Site(ASK, apps={"app.py": BROKEN}) as nginx:
        nginx.expect_other_worker()
        nginx.wait_log("tries again in 2 s")
        mend(nginx)
        eventually(lambda: nginx.get("/").status == 200, "it serves")
        (nginx.python_dir / "mended").unlink()
        nginx.allow_log("exited on signal 9")
        since = len(nginx.log())
        os.kill(nginx.worker(), signal.SIGKILL)
        nginx.wait_log("tries again in 1 s", since)


def test_reload_begins_the_count_anew() -> None:
    with Site(ASK, apps={"app.py": BROKEN}) as nginx:
        nginx.expect_other_worker()
        nginx.wait_log("tries again in 2 s")
        since = len(nginx.log())
        nginx.reload()
        nginx.wait_log("tries again in 1 s", since)


def test_requests_in_progress_are_not_cut() -> None:
    """The worker waits for them, and serves until then."""
    with Site(ASK, apps={"app.py": BROKEN}) as nginx:
        nginx.expect_other_worker()
        worker = nginx.worker()
        with nginx.connect() as sock:
            sock.sendall(b"GET /ping HTTP/1.1\r\n")
            eventually(lambda: nginx.get("/").status == 502, "it has failed")
            time.sleep(1.5)
            assert nginx.worker() == worker
            assert nginx.get("/ping").status == 200
            sock.sendall(b"Host: x\r\nConnection: close\r\n\r\n")
            assert sock.recv(100).startswith(b"HTTP/1.1 200 ")
        nginx.wait_successor(worker)


def test_without_a_master_it_stays() -> None:
    with Site(ASK, apps={"app.py": BROKEN}, master=False) as nginx:
        assert nginx.get("/").status == 502
        mend(nginx)
        time.sleep(1.5)
        assert nginx.get("/").status == 502
        assert imports(nginx) == 1


def test_a_runtime_of_lua_keeps_the_worker() -> None:
    load = """
        location = /load { content_by_lua_block {
            ngx.say((ngx.load_ffi("ffi_python3", "served,served")))
        } }
    """
    served = """
        from resty_ffi import serve

        @serve
        def served(request):
            return request
    """
    apps = {"app.py": BROKEN, "served.py": served}
    with Site(ASK + load, apps=apps, lua=True) as nginx:
        nginx.wait_log("tries again in 1 s")
        assert nginx.get("/load").status == 200
        time.sleep(1.5)
        assert nginx.get("/").status == 502


def test_each_worker_for_itself() -> None:
    """One of two fails once; the other one serves all the time."""
    once = """
        from pathlib import Path
        try:
            (Path(__file__).parent / "first").touch(exist_ok=False)
        except FileExistsError:
            pass
        else:
            raise RuntimeError("the first")
    """
    app = once + "\n".join("        " + line for line in WELL.splitlines())
    with Site(ASK, apps={"app.py": app}, workers=2) as nginx:
        nginx.expect_other_worker()
        before = nginx.worker_pids()
        nginx.wait_log("tries again in 1 s")
        eventually(
            lambda: len(nginx.worker_pids() - before) == 1, "a fresh one"
        )
        eventually(lambda: nginx.get("/").status == 200, "it serves")
        assert nginx.count_log("tries again") == 1


SLOW = """
import time
from pathlib import Path

here = Path(__file__).parent

def app(environ, start_response):
    (here / "asked").touch()
    while not (here / "go").exists():
        time.sleep(0.01)
    start_response("200 OK", [])
    return [b"slow"]
"""


def test_a_reload_to_what_cannot_start() -> None:
    """What the old worker has begun is answered."""
    with Site(ASK, apps={"app.py": SLOW}) as nginx:
        nginx.expect_other_worker()
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(nginx.text)
            eventually((nginx.python_dir / "asked").exists, "it is asked")
            nginx.write_python("app.py", "1 / 0")
            nginx.reload()
            nginx.wait_log("tries again in 1 s")
            assert nginx.get("/").status == 502
            (nginx.python_dir / "go").touch()
            assert answer.result() == "slow"


LIFESPAN = """
async def app(scope, receive, send):
    assert scope["type"] == "lifespan"
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})
"""


def test_a_lifespan_that_fails() -> None:
    with Site(ASK, apps={"app.py": LIFESPAN}) as nginx:
        nginx.expect_other_worker()
        nginx.wait_log('cannot load "app:app": .*no database')
        assert nginx.get("/").status == 502
        nginx.wait_log("tries again in 2 s")


def test_requests_wait_for_the_start() -> None:
    """And are answered by what has started, or told that it has not."""
    slow = "import time\ntime.sleep(0.5)\n"
    for source, status in ((slow + WELL, 200), (slow + "1 / 0", 502)):
        with Site(ASK, apps={"app.py": source}) as nginx:
            nginx.expect_other_worker()
            with ThreadPoolExecutor(8) as pool:
                answers = pool.map(lambda _: nginx.get("/"), range(8))
                assert {answer.status for answer in answers} == {status}


def test_no_longer_than_ffi_load_timeout() -> None:
    never = "import time\ntime.sleep(3)\n" + WELL
    http = "ffi_load_timeout 200ms;"
    with Site(ASK, apps={"app.py": never}, http=http) as nginx:
        assert nginx.get("/").status == 504
        eventually(lambda: nginx.get("/").status == 200, "it has started")
