# SPDX-License-Identifier: BSD-2-Clause
"""What ends a worker: signals, and os._exit()."""

from __future__ import annotations

import contextlib
import os
import re
import signal

import pytest

from ..client import eventually
from .site import Site

CRASH = """
import ctypes, os, signal, threading
from urllib.parse import unquote

def crash(what):
    if what == "null":
        ctypes.string_at(0)
    elif what == "abort":
        os.abort()
    elif what == "exit":
        os._exit(3)
    elif what == "thread":
        thread = threading.Thread(target=crash, args=("null",), name="own")
        thread.start()
        thread.join()
    elif what:
        signal.raise_signal(int(what))
"""

WSGI = (
    CRASH
    + """
def app(environ, start_response):
    crash(environ["QUERY_STRING"])
    start_response("200 OK", [])
    return [b"well"]
"""
)

ASGI = (
    CRASH
    + """
async def app(scope, receive, send):
    if scope["type"] != "http":
        raise RuntimeError("no lifespan")
    crash(scope["query_string"].decode())
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"well"})
"""
)

SERVER = """
    location /wsgi { python_pass wsgi:app; }
    location /asgi { python_pass asgi:app; }
"""


def site() -> Site:
    return Site(SERVER, apps={"wsgi.py": WSGI, "asgi.py": ASGI})


def crash(nginx: Site, uri: str) -> None:
    """The client sees a closed connection; another worker serves then."""
    worker = nginx.worker()
    assert nginx.text("/wsgi") == "well"
    with nginx.connect() as sock:
        sock.sendall(f"GET {uri} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        with contextlib.suppress(ConnectionResetError):
            assert sock.recv(100) == b""
    nginx.wait_successor(worker)
    eventually(lambda: nginx.get("/wsgi").status == 200, "it serves")
    assert nginx.text("/asgi") == "well"


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
@pytest.mark.parametrize(
    ("what", "number", "text"),
    [
        ("null", signal.SIGSEGV, "Segmentation fault"),
        ("abort", signal.SIGABRT, "Aborted"),
        (str(int(signal.SIGABRT)), signal.SIGABRT, "Aborted"),
        (str(int(signal.SIGBUS)), signal.SIGBUS, "Bus error"),
        (str(int(signal.SIGFPE)), signal.SIGFPE, "Floating.point exception"),
        (str(int(signal.SIGILL)), signal.SIGILL, "Illegal instruction"),
    ],
)
def test_a_fatal_signal(
    kind: str, what: str, number: signal.Signals, text: str
) -> None:
    """The application, the request and the Python stack are in error.log."""
    with site() as nginx:
        nginx.allow_log(f"exited on signal {number:d}|Fatal Python error")
        crash(nginx, f"/{kind}/a%0ab?{what}")
        nginx.wait_log(
            rf'ffi_python3: signal {number:d} in thread "{kind}:app(-\d)?",'
            rf' whose last request is "GET /{kind}/a%0ab"\n'
            rf"Fatal Python error: {text}\n\n"
            r".*\(most recent call first\):\n"
            rf'(  File .*\n)*  File ".*/{kind}.py", line \d+ in crash\n'
            rf'  File ".*/{kind}.py", line \d+ in app\n'
        )
        assert re.search(
            f"worker process .* exited on signal {number:d}", (nginx.log())
        )


def test_in_a_thread_of_the_applications() -> None:
    """It has no request; the stack tells where it was."""
    with site() as nginx:
        nginx.allow_log("exited on signal 11|Fatal Python error")
        crash(nginx, "/wsgi?thread")
        nginx.wait_log(r'ffi_python3: signal 11 in thread "[^"]*"\n')
        nginx.wait_log(r'wsgi.py", line \d+ in crash\n')


def test_a_long_path_and_no_control_characters() -> None:
    with site() as nginx:
        nginx.allow_log("exited on signal 11|Fatal Python error")
        crash(nginx, f"/wsgi/{'x' * 3000}?null")
        found = nginx.wait_log('last request is "GET /wsgi/(x+)"\n')
        assert 100 < len(found[1]) < 300


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_exit(kind: str) -> None:
    with site() as nginx:
        nginx.allow_log("exited with code 3")
        crash(nginx, f"/{kind}?exit")
        nginx.wait_log("worker process .* exited with code 3")
        assert "ffi_python3: signal" not in nginx.log()


def test_signals_of_nginx_are_as_they_were() -> None:
    with site() as nginx:
        nginx.expect_other_worker()
        nginx.allow_log("exited on signal 9")
        os.kill(nginx.worker(), signal.SIGKILL)
        eventually(lambda: nginx.get("/wsgi").status == 200, "it serves")
        assert "ffi_python3: signal" not in nginx.log()
