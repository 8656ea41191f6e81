# SPDX-License-Identifier: BSD-2-Clause
"""What ffi_status counts, against what a load generator has seen."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from typing import Any

import pytest

from .client import eventually, until_end
from .conftest import NewNginx
from .nginx import Nginx
from .status import APP, SERVER, ZONE, Counts, counts, in_flight, report
from .web import head

LOAD = 'local rt = assert(ngx.load_ffi("ffi_python3", "app,Loop"))\n'
STREAM = LOAD + 'local stream = require("resty.ffi").stream\n'
DRAIN = "repeat local p = s:read() until not p"

# what is asked: what it counts as
CALLS = {
    'rt:echo("x")': ("app.Loop", "echo", "ok"),
    "rt:fail()": ("app.Loop", "fail", "error"),
    'rt:never("x", {timeout = 30})': ("app.Loop", "never", "timeout"),
    'rt:parts("x")': ("app.Loop", "parts", "ok"),
    "rt:__reload()": None,
}
STREAMS = {
    f'local s = stream(rt, "parts") {DRAIN}': ("app.Loop", "parts", "ok"),
    f'local s = stream(rt, "parts", "fail") {DRAIN}': (
        "app.Loop",
        "parts",
        "error",
    ),
    'local s = stream(rt, "parts") s:read() s:close()': (
        "app.Loop",
        "parts",
        "gone",
    ),
    'local s = stream(rt, "parts", "never", {read_timeout = 30}) ' + DRAIN: (
        "app.Loop",
        "parts",
        "timeout",
    ),
}
WEB = {
    "head=200;part=abc": ("webprobe", "GET", "ok"),
    "end=7,text": ("webprobe", "GET", "error"),
    "sleep=400;head=200": ("webprobe", "GET", "timeout"),
}


class Generator:
    """Asks for one thing after the other, and keeps what has come of it."""

    def __init__(self, nginx: Nginx) -> None:
        self.nginx = nginx
        self.seen: Counts = Counter()
        self.lost = 0
        self._lock = threading.Lock()

    def count(self, label: tuple[str, str, str] | None) -> None:
        if label:
            with self._lock:
                self.seen[label] += 1

    def run(self, number: int) -> None:
        kind, what = random.Random(number).choice(
            [
                *(("call", code) for code in CALLS),
                *(("stream", code) for code in STREAMS),
                *(("web", do) for do in WEB),
                ("refused", ""),
                ("killed", ""),
                ("left", ""),
            ]
        )
        try:
            getattr(self, kind)(what)
        except (OSError, HTTPException, AssertionError):
            with self._lock:
                self.lost += 1

    def call(self, code: str) -> None:
        self.nginx.lua(f"{LOAD} {code}")
        self.count(CALLS[code])

    def stream(self, code: str) -> None:
        self.nginx.lua(f"{STREAM} {code}")
        self.count(STREAMS[code])

    def refused(self, _: str) -> None:
        self.nginx.lua(
            """
            local probe = require "probe"
            local rt = probe.load("refuses", { max_request_bytes = 3 })
            assert(not rt:long("long"))
            """
        )
        self.count(("probe", "long", "refused"))

    def killed(self, _: str) -> None:
        self.nginx.lua(
            f"""{LOAD}
            local t = ngx.thread.spawn(rt.never, rt, "x", {{ timeout = 0 }})
            ngx.sleep(0.01)
            ngx.thread.kill(t)
            """
        )
        self.count(("app.Loop", "never", "gone"))

    def web(self, do: str) -> None:
        with self.nginx.connect() as sock:
            sock.sendall(head(do, "Connection: close", "GET /web/x HTTP/1.1"))
            assert until_end(sock)
        self.count(WEB[do])

    def left(self, _: str) -> None:
        """The client leaves when the head has come."""
        with self.nginx.connect() as sock:
            sock.sendall(
                head("head=200;part=x;gone", "", "PUT /web/x HTTP/1.1")
            )
            assert sock.recv(100)
        self.count(("webprobe", "PUT", "gone"))


@pytest.fixture
def four(new_nginx: NewNginx) -> Iterator[Nginx]:
    with new_nginx(http=ZONE, server=SERVER, workers=4) as nginx:
        nginx.write_python("app.py", APP)
        yield nginx


def settled(nginx: Nginx) -> Counts:
    eventually(lambda: in_flight(report(nginx)) == 0, "all has ended")
    return counts(report(nginx))


def test_counters_are_the_generators(four: Nginx) -> None:
    """To the last one: 4 workers, and a reload in the middle."""
    generator = Generator(four)
    with ThreadPoolExecutor(8) as pool:
        jobs = list(pool.map(generator.run, range(200)))
        more = [pool.submit(generator.run, n) for n in range(200, 500)]
        four.reload()
        for job in more:
            job.result()
    assert len(jobs) + len(more) == 500
    assert generator.lost == 0
    assert settled(four) == generator.seen
    said = report(four)
    assert said["reloads"] == 1
    assert said["restarts"] == 0
    eventually(lambda: len(report(four)["workers"]) == 4, "old ones end")
    assert settled(four) == generator.seen


def test_a_killed_worker(four: Nginx) -> None:
    """What was in flight there is missing, and nothing else."""
    four.allow_log("exited on signal 9")
    generator = Generator(four)
    with ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(generator.run, n) for n in range(300)]
        eventually(lambda: sum(generator.seen.values()) > 100, "half")
        pid = min(four.worker_pids())
        os.kill(pid, signal.SIGKILL)
        four.wait_successor(pid)
        for job in jobs:
            job.result()
    found = settled(four)
    assert sum((generator.seen - found).values()) == 0
    assert sum((found - generator.seen).values()) <= generator.lost <= 8
    said = report(four)
    assert said["restarts"] == 1
    assert len(said["workers"]) == 4
    assert pid not in {worker["pid"] for worker in said["workers"]}


def test_gauges_of_a_killed_worker_are_0(four: Nginx) -> None:
    four.allow_log("exited on signal 9")
    with contextlib.ExitStack() as stack:
        for _ in range(8):
            sock = stack.enter_context(four.connect())
            sock.sendall(
                head("head=200;part=x;gone", "", "GET /web/x HTTP/1.1")
            )
            assert sock.recv(100)
        eventually(lambda: in_flight(report(four)) == 8, "in flight")
        for pid in four.worker_pids():
            os.kill(pid, signal.SIGKILL)
        for pid in four._pids:
            four.wait_successor(pid)
        assert in_flight(report(four)) == 0
        assert sum(counts(report(four)).values()) == 0
        assert report(four)["restarts"] == 4


def test_many_reloads_keep_the_counts(four: Nginx) -> None:
    for n in range(1, 6):
        four.lua(LOAD + 'assert(rt:echo("x"))')
        four.reload()
        assert settled(four)["app.Loop", "echo", "ok"] == n
    assert report(four)["reloads"] == 5
    eventually(lambda: len(report(four)["workers"]) == 4, "old ones end")


def test_a_zone_of_another_size_begins_anew(four: Nginx) -> None:
    four.lua(LOAD + 'assert(rt:echo("x"))')
    four.conf.write_text(four.conf.read_text().replace("1m;", "2m;"))
    four.reload()

    def said() -> dict[str, Any] | None:
        """By a new worker: old ones may take the request still."""
        found = report(four)
        return found if found["zone"]["size"] == 2 << 20 else None

    found = eventually(said, "a new one")
    assert found
    assert not counts(found)
