# SPDX-License-Identifier: BSD-2-Clause
"""ffi_max_rss and ffi_max_requests: workers that make way for others."""

from __future__ import annotations

import itertools
import os
import re
import resource
import signal
import socket
import time
from collections import Counter
from datetime import datetime

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import unix_connect

from .checker import SLOWNESS
from .client import PATIENCE, eventually
from .conftest import NewNginx
from .leak import APP, Load
from .python_pass.site import Site, refused, taken
from .status import report

# `LEAK_REQUESTS=100000 LEAK_RATE=200 pytest -s` has figures
REQUESTS = int(os.environ.get("LEAK_REQUESTS", "0"))
RATE = int(os.environ.get("LEAK_RATE", "40"))

LEAVES = r"FFI064: ffi: worker (\d+) has "
ZONE = "ffi_status_zone limits 1m;"
STATUS = "location = /ffi { ffi_status; }"
LOCATION = "location / { python_pass app:app; }" + STATUS


def times(log: str, code: str) -> list[datetime]:
    return [
        datetime.strptime(line, "%Y/%m/%d %H:%M:%S")
        for line in re.findall(rf"(?m)^(.{{19}}) .* {code}: ", log)
    ]


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def site(limits: str, server: str = LOCATION, **more: object) -> Site:
    it = Site(server, http=f"{ZONE} {limits}", apps={"app.py": APP}, **more)  # type: ignore[arg-type]
    it.expect_other_worker()
    return it


@pytest.mark.once
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("reuseport", ["", "reuseport"])
@pytest.mark.parametrize("workers", [1, 4])
def test_none_is_lost(workers: int, reuseport: str) -> None:
    """A worker leaks under load, with a WebSocket open."""
    port = free_port()
    server = f"listen 127.0.0.1:{port} {reuseport};" + LOCATION
    with site("ffi_max_rss 96m;", server, workers=workers) as nginx:
        load = Load(port, REQUESTS or 20 * RATE, RATE)
        load.start()
        load.join()
        log = nginx.log()
        gone = re.findall(LEAVES, log)
        print(
            f"\n{workers} workers {reuseport}: {sum(load.answers.values())} "
            f"requests, {len(load.lost)} lost, {load.again} asked again, "
            f"{len(gone)} workers replaced, longest {load.longest:.2f} s, "
            f"WebSockets closed with {dict(Counter(load.closes))}"
        )
        assert not load.lost
        assert gone
        assert set(load.closes) <= {1012}
        assert load.closes or workers > 1
        assert len(load.answers) >= 2
        ends = times(log, "FFI064")
        for one, two in itertools.pairwise(ends):
            assert (two - one).total_seconds() >= 9
        said = report(nginx, "/ffi")
        assert said["replaced"] == len(gone)
        eventually(
            lambda: len(nginx.worker_pids()) == workers, "all are there"
        )


@pytest.mark.valgrind
def test_max_requests() -> None:
    with site("ffi_max_requests 20;") as nginx:
        old = nginx.worker()
        for _ in range(22):
            nginx.text("/")
        nginx.wait_successor(old)
        match = nginx.wait_log(LEAVES + r"answered (\d+) requests")
        assert int(match[1]) == old
        assert 20 <= int(match[2]) <= 22
        assert nginx.text("/") == str(nginx.worker())
        said = report(nginx, "/ffi")
        assert said["restarts"] == said["replaced"] == 1
        text = nginx.text("/ffi")
        assert 'ffi_worker_replacements_total{limit="requests"} 1' in text
        assert 'ffi_worker_replacements_total{limit="rss"} 0' in text


def test_calls_of_lua_count(new_nginx: NewNginx) -> None:
    with new_nginx(http="ffi_max_requests 10;") as nginx:
        nginx.expect_other_worker()
        old = nginx.worker()
        nginx.lua(
            """
            local rt = assert(ngx.load_ffi("ffi_python3", "ffi.echo,init"))
            for i = 1, 11 do assert(rt:echo("x")) end
            """
        )
        nginx.wait_successor(old)
        nginx.wait_log(LEAVES + "answered 11 requests")


@pytest.mark.valgrind
def test_what_runs_is_answered_and_sockets_end_at_once() -> None:
    timeout = 20 * SLOWNESS
    limits = f"ffi_max_requests 5; ffi_replace_timeout {timeout}s;"
    with site(limits) as nginx:
        old = nginx.worker()
        with (
            unix_connect(
                str(nginx.socket),
                "ws://x/",
                open_timeout=PATIENCE,
                close_timeout=PATIENCE,
            ) as ws,
            nginx.connect() as slow,
        ):
            for _ in range(6):
                nginx.text("/")
            nginx.wait_log(LEAVES)
            begun = time.monotonic()
            slow.sendall(b"GET /slow HTTP/1.0\r\n\r\n")
            with pytest.raises(ConnectionClosed) as closed:
                ws.recv(PATIENCE)
            assert closed.value.rcvd
            assert closed.value.rcvd.code == 1012
            # or it is the successor's
            assert slow.recv(1000).startswith(b"HTTP/1.1 200 ")
        nginx.wait_successor(old)
        assert time.monotonic() - begun < timeout


def test_a_stream_is_cut_when_the_time_is_over() -> None:
    never = """
        import asyncio
        async def app(scope, receive, send):
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": b"x",
                        "more_body": scope["path"] == "/never"})
            await asyncio.sleep(1000 if scope["path"] == "/never" else 0)
    """
    with Site(
        "location / { python_pass app:app; }",
        http="ffi_max_requests 1; ffi_replace_timeout 1s;",
        apps={"app.py": never},
    ) as nginx:
        nginx.expect_other_worker()
        old = nginx.worker()
        with nginx.connect() as sock:
            sock.sendall(b"GET /never HTTP/1.1\r\nHost: x\r\n\r\n")
            assert sock.recv(1000)
            assert nginx.get("/").status == 200
            nginx.wait_successor(old)
            assert nginx.text("/") == "x"


def test_timers_of_lua_do_not_keep_it(new_nginx: NewNginx) -> None:
    """It has no client, and a new worker does not come before it ends."""
    limits = "ffi_max_requests 1; ffi_replace_timeout 1s;"
    with new_nginx(http=limits) as nginx:
        nginx.expect_other_worker()
        old = nginx.worker()
        nginx.lua(
            """
            ngx.timer.at(0, function() ngx.sleep(1000) end)
            local rt = assert(ngx.load_ffi("ffi_python3", "ffi.echo,init"))
            assert(rt:echo("x"))
            """
        )
        nginx.wait_successor(old)


def test_one_at_a_time_ten_seconds_apart(new_nginx: NewNginx) -> None:
    """Of a worker that Python is too large for."""
    with new_nginx(http="ffi_max_rss 20m;", workers=2) as nginx:
        nginx.expect_other_worker()

        def two_have_left() -> bool:
            nginx.lua(
                """
                local rt = assert(ngx.load_ffi("ffi_python3", "ffi.echo,init"))
                assert(rt:echo("x"))
                """
            )
            time.sleep(0.5)
            return len(times(nginx.log(), "FFI06[45]")) >= 2

        eventually(two_have_left, "two have left")
        one, two = times(nginx.log(), "FFI06[45]")
        assert (two - one).total_seconds() >= 9
        assert '"ffi_max_rss" of 20 MiB is too low' in nginx.log()


def test_too_low_a_limit_leaves_time_to_import() -> None:
    app = "import time\ntime.sleep(12)\n" + APP
    limits = "ffi_max_rss 1m; ffi_replace_timeout 1s;"
    with Site(
        "location / { python_pass app:app; }",
        http=limits,
        apps={"app.py": app},
    ) as nginx:
        nginx.expect_other_worker()
        old = nginx.worker()
        assert nginx.text("/") == str(old)
        eventually(lambda: old not in nginx.children(), "it leaves", 60)
        assert '"ffi_max_rss" of 1 MiB is too low' in nginx.log()


def test_one_that_dies_while_it_leaves_keeps_nobody() -> None:
    limits = "ffi_max_requests 2; ffi_replace_timeout 60s;"
    with site(limits, workers=2) as nginx:
        nginx.allow_log("exited on signal 9")
        with nginx.connect() as sock:
            # holds whoever has it
            sock.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n")
            first = int(_ask_until(nginx, 1)[0])
            os.kill(first, signal.SIGKILL)
            second = int(_ask_until(nginx, 2)[1])
        assert first != second


def _ask_until(nginx: Site, count: int) -> list[str]:
    def asked() -> bool:
        nginx.get("/")
        return len(re.findall(LEAVES, nginx.log())) >= count

    eventually(asked, f"{count} leave")
    return re.findall(LEAVES, nginx.log())


def test_reload_while_one_leaves() -> None:
    """It ends, and has no successor besides the reload's."""
    limits = "ffi_max_requests 2; ffi_replace_timeout 5s;"
    with site(limits) as nginx:
        old = nginx.worker()
        with nginx.connect() as sock:
            sock.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n")
            for _ in range(3):
                nginx.text("/")
            nginx.wait_log(LEAVES)
            nginx.signal(signal.SIGHUP)
            eventually(lambda: nginx.worker_pids() - {old}, "another")
            nginx.wait_gone(old)
        assert len(nginx.children()) == 1
        assert nginx.text("/") == str(nginx.worker())


@pytest.mark.valgrind
def test_without_a_master_it_stays() -> None:
    with site("ffi_max_requests 1; ffi_max_rss 1m;", master=False) as nginx:
        for _ in range(5):
            assert nginx.text("/") == str(nginx.pid)
        time.sleep(2.5)
        assert nginx.text("/") == str(nginx.pid)
        assert nginx.count_log("FFI066") == 1
        assert nginx.count_log("FFI06[45]") == 0


@pytest.mark.valgrind
def test_without_a_descriptor_it_looks_again() -> None:
    limits = resource.RLIMIT_NOFILE
    with site("ffi_max_rss 10g;") as nginx:
        nginx.text("/")
        worker = nginx.worker()
        before = resource.prlimit(worker, limits)
        for _ in range(2):
            since = len(nginx.log())
            resource.prlimit(worker, limits, (1, before[1]))
            nginx.wait_log(
                'FFI011: ffi: "/proc/self/statm" cannot be read', since
            )
            time.sleep(2)
            assert nginx.count_log("cannot be read", since) == 1
            resource.prlimit(worker, limits, before)
            time.sleep(1.5 * SLOWNESS)
        assert nginx.text("/") == str(worker)


def test_no_limits_no_looks() -> None:
    with site("") as nginx:
        assert nginx.text("/") == str(nginx.worker())
        assert nginx.count_log("FFI06[456]") == 0


@pytest.mark.parametrize(
    ("http", "says"),
    [
        ("ffi_max_rss x;", "invalid value"),
        ("ffi_max_rss 1m; ffi_max_rss 1m;", "is duplicate"),
        ("ffi_max_requests -1;", "invalid number"),
        ("ffi_max_requests 1; ffi_max_requests 1;", "is duplicate"),
        ("ffi_replace_timeout 0;", "must not be 0"),
        ("server { ffi_max_rss 1m; }", "not allowed here"),
    ],
)
def test_mistakes(http: str, says: str) -> None:
    assert says in refused(http=http)


def test_zero_is_no_limit() -> None:
    taken(http="ffi_max_rss 0; ffi_max_requests 0;")


def test_gigabytes() -> None:
    taken(http="ffi_max_rss 5g;")
