# SPDX-License-Identifier: BSD-2-Clause
"""ffi_pass: applications that start, fail, end, and workers that leave."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from .client import PATIENCE, eventually, is_shutting_down, until_end
from .conftest import NewNginx
from .nginx import ROOT
from .web import Web, head

# -- starts -----------------------------------------------------------------


@pytest.mark.valgrind
def test_it_starts_with_the_worker(libs: Path) -> None:
    server = "location /x { ffi_pass badinit; } location /y { ffi_pass none; }"
    with Web(libs, server=server) as web:
        said = web.log()
        assert 'cannot load "badinit": badinit: libffi_init returned' in said
        assert 'cannot load "none":' in said
        assert web.text("head=200;part=x") == "x"
        since = len(web.log())
        eventually(lambda: time.time() % 1 < 0.5, "a second begins")
        eventually(
            lambda: (
                web.do("", "/x").status == 502
                and web.count_log('cannot load "badinit"', since)
            ),
            "it is tried again",
        )
        assert web.do("", "/y").status == 502


def waiting(libs: Path, cfg: str, more: str = "") -> Web:
    server = f"""
        location /async {{ ffi_pass webasync "{cfg}"; {more} }}
    """
    return Web(libs, server=server)


@pytest.mark.valgrind
def test_requests_wait_for_the_start(libs: Path) -> None:
    with (
        waiting(libs, "start={prefix}/go") as web,
        ThreadPoolExecutor(5) as pool,
    ):
        body = {"method": "POST", "body": b"x" * 100_000}
        answers = [
            pool.submit(web.text, "head=200;echo", "/async", **body)
            for _ in range(5)
        ]
        with web.connect() as sock:
            sock.sendall(head("head=200", line="GET /async HTTP/1.1"))
            time.sleep(0.3)
            assert not any(answer.done() for answer in answers)
        eventually(lambda: "499 /async" in web.accesses(), "one has gone")
        (web.prefix / "go").touch()
        for answer in answers:
            assert answer.result() == "x" * 100_000


@pytest.mark.valgrind
def test_a_start_that_fails(libs: Path) -> None:
    with (
        waiting(libs, "fail={prefix}/go") as web,
        ThreadPoolExecutor(3) as pool,
    ):
        answers = [pool.submit(web.do, "", "/async") for _ in range(3)]
        time.sleep(0.3)
        (web.prefix / "go").touch()
        assert {answer.result().status for answer in answers} == {502}
        assert web.count_log('cannot load "webasync": not today') == 1


@pytest.mark.valgrind
def test_a_start_that_takes_too_long(libs: Path) -> None:
    cfg = "start={prefix}/go"
    with waiting(libs, cfg, "ffi_load_timeout 200ms;") as web:
        assert web.do("", "/async").status == 504
        web.wait_log('"webasync" has not started in time')
        (web.prefix / "go").touch()
        eventually(
            lambda: web.do("head=200;part=x", "/async").body == b"x",
            "it has started",
        )


# -- ends -------------------------------------------------------------------


@pytest.mark.valgrind
def test_an_application_that_dies(libs: Path) -> None:
    """What waits in its queue is told, and all that comes later."""
    with Web(libs, server="location /die { ffi_pass webprobe die; }") as web:
        assert web.do("", "/die").status == 502
        web.wait_log('"webprobe" has failed with status 7: I%20die')
        web.wait_log("every thread that took calls of .* has ended")
        assert web.do("", "/die").status == 503
        web.wait_log('"webprobe" takes no requests: the runtime has ended')
        assert web.text("head=200;part=x") == "x"


def test_an_application_that_is_stuck(libs: Path) -> None:
    server = "location /b { ffi_read_timeout 1s; ffi_pass webprobe busy; }"
    with Web(libs, server=server) as web, ThreadPoolExecutor(1) as pool:
        first = pool.submit(web.do, "sleep=4000;head=200", "/b")
        eventually(lambda: web.counts()["live"] == 1, "it runs")
        assert web.do("head=200", "/b").status == 504
        eventually(lambda: web.do("head=200", "/b").status == 503, "unfit")
        web.wait_log('"webprobe" takes no requests: the runtime is stuck')
        assert first.result().status == 504
        eventually(lambda: web.do("head=200", "/b").status == 200, "it is fit")


@pytest.mark.once
def test_a_worker_that_quits(libs: Path) -> None:
    """All that has begun is answered, whatever it waits for."""
    dos = [
        "sleep=500;head=200;part=late",
        "head=200;part=a;sleep=500;part=late",
        "head=200;sleep=500;ref=3000000;part=late",
    ]
    with Web(libs) as web, ThreadPoolExecutor(3) as pool:
        answers = [pool.submit(web.text, do) for do in dos]
        eventually(lambda: web.counts()["live"] == 3, "they run")
        web.quit()
        assert all(answer.result().endswith("late") for answer in answers)
        web.wait()


@pytest.mark.valgrind
def test_a_worker_that_is_stopped(libs: Path) -> None:
    """It does not wait for what has no end."""
    with Web(libs) as web, web.open("head=200;gone") as first:
        with web.open("head=200;endless") as second, web.open("gone"):
            eventually(lambda: web.counts()["live"] == 3, "they run")
            start = time.monotonic()
            web.stop()
            web.wait()
            assert time.monotonic() - start < PATIENCE / 2
            until_end(second)
            until_end(first)
        assert "has not ended" not in web.log()


def test_a_worker_that_may_not_wait_long(libs: Path) -> None:
    timeout = "worker_shutdown_timeout 300ms;"
    with (
        Web(libs, main=timeout) as web,
        web.open("head=200;gone"),
        web.open("gone"),
    ):
        eventually(lambda: web.counts()["live"] == 2, "they run")
        web.quit()
        web.wait()


@pytest.mark.once
def test_reloads(libs: Path) -> None:
    """No request is lost."""
    with Web(libs) as web, ThreadPoolExecutor(4) as pool:
        going_on = True

        def ask() -> int:
            n = 0
            while going_on:
                body = b"x" * (n * 997 % 50_000)
                do = "head=200;sleep=3;echo"
                answer = web.do(do, method="POST", body=body)
                assert (answer.status, answer.body) == (200, body)
                n += 1
            return n

        asked = [pool.submit(ask) for _ in range(4)]
        for _ in range(4):
            web.reload()
            time.sleep(0.2)
        going_on = False
        assert all(count.result() for count in asked)


def test_a_worker_that_crashes(libs: Path) -> None:
    with Web(libs, workers=1) as web:
        web.allow_log("exited on signal 9")
        web.expect_other_worker()
        worker = web.worker()
        with web.open("head=200;part=x;gone") as sock:
            eventually(lambda: web.counts()["live"] == 1, "it runs")
            subprocess.run(["kill", "-KILL", str(worker)], check=True)
            assert b"\r\n0\r\n\r\n" not in until_end(sock)
        eventually(lambda: is_shutting_down(worker), "it is gone")
        eventually(lambda: web.do("head=200;part=y").body == b"y", "another")


def test_without_a_master(libs: Path) -> None:
    """nginx itself serves nothing after SIGHUP there, and drains nothing."""
    with Web(libs, master=False) as web:
        assert web.text("head=200;part=x") == "x"
        web.signal(signal.SIGQUIT)
        web.wait()


def test_four_workers(libs: Path) -> None:
    with Web(libs, workers=4) as web, ThreadPoolExecutor(8) as pool:
        dos = [f"head=200;sleep=5;part={n}" for n in range(100)]
        assert list(pool.map(web.text, dos)) == [str(n) for n in range(100)]


# -- both doors ---------------------------------------------------------------


@pytest.mark.valgrind
def test_beside_lua(new_nginx: NewNginx) -> None:
    """One runtime for both; it can tell which is which."""
    server = """
        location /web { ffi_read_timeout 5s; ffi_pass webprobe; }
        location /lua_then_web {
            access_by_lua_block { ngx.req.read_body() }
            ffi_pass webprobe;
        }
        location /capture {
            content_by_lua_block {
                local r = ngx.location.capture("/web")
                ngx.say(r.status, r.body)
            }
        }
    """
    with new_nginx(server=server) as nginx:
        assert nginx.get("/web").body == b"hello"
        assert nginx.lua("""
            local rt = assert(ngx.load_ffi("webprobe"))
            return rt:any("request")
        """) == [False, 1, "not a web request"]
        assert nginx.post("/lua_then_web", b"x" * 100_000).body == b"hello"
        assert nginx.get("/capture").body == b"200hello\n"


# -- the example -----------------------------------------------------------


@pytest.mark.valgrind
def test_the_example(tmp_path: Path) -> None:
    command = ["make", "-s", "-C", str(ROOT / "examples/c")]
    subprocess.run([*command, f"OUT={tmp_path}"], check=True)
    with Web(tmp_path, server=example()) as web:
        assert web.get("/hello/").status == 404
        assert web.get("/").body == b"hello\n"
        body = b"some" * 100_000
        assert web.do("", "/echo", method="POST", body=body).body == body
        events = web.get("/events?n=3&ms=20").body
        assert events == b"data: 3\n\ndata: 2\n\ndata: 1\n\n"
        with web.connect() as sock:
            sock.sendall(b"GET /events?ms=10 HTTP/1.1\r\nHost: x\r\n\r\n")
            assert sock.recv(10)
        assert web.get("/").body == b"hello\n"


def example() -> str:
    """The locations of its nginx.conf."""
    text = (ROOT / "examples/c/nginx.conf").read_text()
    found = re.search(r"location / \{\s*ffi_pass web;\s*\}", text)
    assert found
    return "location ~ ^/(?!ping) { ffi_pass web; }"
