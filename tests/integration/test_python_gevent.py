# SPDX-License-Identifier: BSD-2-Clause
"""gevent, and who else patches Python for the whole process."""

from __future__ import annotations

from typing import Any

import pytest

from .checker import VALGRIND
from .conftest import NewNginx
from .nginx import Nginx

REFUSED = (
    " would patch the threads, locks and sockets of all that runs in this"
    " nginx worker"
)

PATCHED = """
from gevent import monkey

monkey.patch_all()

from resty_ffi import serve


@serve
def run(request):
    return b"x"
"""

LATER = """
import asyncio, concurrent.futures, queue, subprocess, threading, time
from resty_ffi import serve


@serve(threads=3)
def threads(request):
    put, got = queue.SimpleQueue(), queue.Queue()
    thread = threading.Thread(target=lambda: got.put(put.get(timeout=5)))
    thread.start()
    time.sleep(0.01)
    put.put(request)
    return got.get(timeout=5)


@serve
async def loop(request):
    child = await asyncio.create_subprocess_exec("sh", "-c", "exit 3")
    assert await child.wait() == 3
    assert subprocess.call(["sh", "-c", "exit 4"]) == 4
    return await asyncio.to_thread(lambda: request)
"""

USES = """
import os
import gevent, gevent.pool
from gevent import server, socket
from resty_ffi import serve


@serve(threads=3)
def sleeps(request):
    def sleep(number):
        gevent.sleep(0.01)
        return number

    jobs = [gevent.spawn(sleep, number) for number in range(50)]
    gevent.joinall(jobs, timeout=10)
    return str(sum(job.value for job in jobs))


@serve
def sockets(request):
    def echo(client, address):
        client.sendall(client.recv(100))
        client.close()

    def ask(number):
        client = socket.create_connection(("127.0.0.1", echoes.server_port))
        client.sendall(b"%d" % number)
        answer = client.recv(100)
        client.close()
        return int(answer)

    echoes = server.StreamServer(("127.0.0.1", 0), echo)
    echoes.start()
    try:
        return str(sum(gevent.pool.Pool(10).map(ask, range(20))))
    finally:
        echoes.stop()


@serve
def gives_up(request):
    with gevent.Timeout(0.01, False):
        gevent.sleep(60)
        return "no"
    return "yes"


@serve
class Hub:
    def run(self, request):
        gevent.sleep(0.001)
        return str(len(os.listdir("/proc/thread-self/fd")))

    def close(self):
        gevent.get_hub().destroy()
"""


switches = pytest.mark.skipif(
    VALGRIND, reason="it does not know of stacks that greenlet copies"
)


def call(nginx: Nginx, cfg: str, times: int = 1) -> list[Any]:
    """The load's error, or what so many calls at a time return."""
    answer: list[Any] = nginx.lua(
        f"""
        local rt, err = ngx.load_ffi("ffi_python3", "{cfg}")
        if not rt then
            return err
        end
        local threads, all = {{}}, {{}}
        for i = 1, {times} do
            threads[i] = ngx.thread.spawn(rt.run, rt, "x")
        end
        for i = 1, {times} do
            local _, ok, res = ngx.thread.wait(threads[i])
            all[i] = ok and res or tostring(res) .. " failed"
        end
        return unpack(all)
        """
    )
    return answer


@pytest.fixture
def nginx(nginx: Nginx) -> Nginx:
    nginx.write_python("patched.py", PATCHED)
    nginx.write_python("later.py", LATER)
    nginx.write_python("uses_gevent.py", USES)
    return nginx


@pytest.mark.parametrize("mark", ["", "?"])
def test_a_module_that_patches(new_nginx: NewNginx, mark: str) -> None:
    """Each load of it fails, and no other does."""
    with new_nginx(http="ffi_timeout 20s;") as nginx:
        nginx.write_python("patched.py", PATCHED)
        nginx.write_python("later.py", LATER)
        cfg = f"patched{mark},run"
        error = f"ffi_python3: patched: RuntimeError: gevent.monkey{REFUSED}"
        for _ in range(3):
            assert call(nginx, cfg) == [error]
            assert call(nginx, "later,threads", 6) == ["x"] * 6
            assert call(nginx, "later,loop", 6) == ["x"] * 6
        assert nginx.count_log(f"ffi_python3: patched: .*{REFUSED}") == 3
        assert "Warning" not in nginx.log()


def test_all_that_gevent_patches(nginx: Nginx) -> None:
    """By itself, and by a name that somebody has for it."""
    assert nginx.python(
        """
        import threading, time
        from gevent import monkey
        from gevent.monkey import patch_all
        before = threading.Lock, time.sleep
        refused = 0
        patches = [n for n in dir(monkey) if n.startswith("patch_")]
        assert "patch_socket" in patches
        for patch in [*(getattr(monkey, n) for n in patches), patch_all]:
            try:
                patch()
            except RuntimeError:
                refused += 1
        result = (
            refused == len(patches) + 1,
            (threading.Lock, time.sleep) == before,
        )
        """
    ) == str((True, True))


def test_eventlet(nginx: Nginx) -> None:
    """Laid out as it is."""
    nginx.write_python(
        "eventlet/__init__.py",
        "from eventlet import patcher\nmonkey_patch = patcher.monkey_patch\n",
    )
    nginx.write_python(
        "eventlet/patcher.py",
        "import threading\n"
        "def monkey_patch(**on): threading.Lock = None\n"
        "def import_patched(name): return name\n",
    )
    nginx.write_python(
        "patched_too.py", "import eventlet\neventlet.monkey_patch(all=True)\n"
    )
    error = "ffi_python3: patched_too: RuntimeError: eventlet.patcher"
    for _ in range(2):
        assert call(nginx, "patched_too,run") == [error + REFUSED]
    assert (
        nginx.python(
            "import eventlet; result = eventlet.patcher.import_patched('x')"
        )
        == "x"
    )


def test_one_that_can_do_without(nginx: Nginx) -> None:
    nginx.write_python(
        "tries.py",
        "try:\n    from gevent import monkey\n    monkey.patch_all()\n"
        "except RuntimeError:\n    pass\n"
        "from later import threads\n",
    )
    assert call(nginx, "tries,threads") == ["x"]


@switches
@pytest.mark.parametrize(
    ("name", "answer"),
    [("sleeps", "1225"), ("sockets", "190"), ("gives_up", "yes")],
)
def test_gevent_in_handlers(nginx: Nginx, name: str, answer: str) -> None:
    assert call(nginx, f"uses_gevent,{name}", 6) == [answer] * 6


@switches
@pytest.mark.once
def test_hubs_that_are_destroyed(nginx: Nginx) -> None:
    """No descriptors are left of runtimes that have ended."""
    count = """
        local rt = assert(ngx.load_ffi("ffi_python3", "uses_gevent,Hub"))
        for i = 1, {} do
            rt:run()
            assert(rt:__reload())
        end
        return rt:run()
    """
    first = int(nginx.lua(count.format(5))[1])
    assert int(nginx.lua(count.format(50))[1]) < first + 25
