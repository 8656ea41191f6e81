# SPDX-License-Identifier: BSD-2-Clause
"""python_show_errors: what has failed, in the page of who writes it."""

from __future__ import annotations

import html

import pytest

from ..client import Response
from .site import Site, refused

PASS = "location / { python_pass app:app wsgi; }"
ON = "python_show_errors on;"

BROKEN = """
    def connect(text):
        raise ValueError(text)

    connect("<script>&amp; Zo\\N{LATIN SMALL LETTER E WITH DIAERESIS}\\udcff")
"""
RAISES = """
    def app(environ, start_response):
        raise ValueError("<script>")
"""
RAISES_LATE = """
    def app(environ, start_response):
        start_response("200 OK", [])
        yield b"begun"
        raise ValueError("<script>")
"""
RAISES_ASGI = """
    async def app(scope, receive, send):
        assert scope["type"] == "http"
        raise ValueError("<script>")
"""


def page(answer: Response, status: int) -> str:
    """The text in it, which nobody takes for HTML."""
    assert answer.status == status
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    body = answer.body.decode()
    assert "<script" not in body
    return html.unescape(body.partition("<pre")[2])


def failing(source: str, http: str = ON, server: str = PASS) -> Site:
    site = Site(server, apps={"app.py": source}, http=http)
    site.expect_other_worker()
    return site


@pytest.mark.valgrind
def test_a_start_that_has_failed() -> None:
    with failing(BROKEN) as nginx:
        for _ in range(3):
            text = page(nginx.get("/"), 502)
            first, *traceback = text.splitlines()
            assert "app:app: ValueError: <script>&amp; Zoë" in first
            assert "Traceback (most recent call last):" in traceback
            assert any("app.py" in line for line in traceback)
            assert any("connect(" in line for line in traceback)
        assert nginx.request("HEAD", "/").body == b""
        nginx.wait_log(r"cannot load .*ValueError")
        assert nginx.count_log(r"cannot load .*\n.*Traceback") == 0


def test_a_mistake_in_the_syntax() -> None:
    with failing("\ndef app(:\n") as nginx:
        text = page(nginx.get("/"), 502)
        assert "SyntaxError" in text
        assert "def app(:" in text


def test_a_request_that_waits_for_the_start() -> None:
    source = "import time\ntime.sleep(0.5)\n1 / 0\n"
    with failing(source) as nginx:
        assert "ZeroDivisionError" in page(nginx.get("/"), 502)


@pytest.mark.valgrind
@pytest.mark.parametrize(
    ("source", "interface"), [(RAISES, "wsgi"), (RAISES_ASGI, "asgi")]
)
def test_an_exception(source: str, interface: str) -> None:
    server = f"location / {{ python_pass app:app {interface}; }}"
    with failing(source, server=server) as nginx:
        text = page(nginx.post("/", b"x" * 100_000), 500)
        assert "ValueError: <script>" in text.splitlines()[0]
        assert "Traceback (most recent call last):" in text
        assert nginx.get("/").status == 500


def test_an_exception_behind_the_head() -> None:
    with failing(RAISES_LATE) as nginx:
        raw = nginx.raw(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert raw.startswith(b"HTTP/1.1 200 ")
        assert b"script" not in raw


@pytest.mark.parametrize("http", ["", "python_show_errors off;"])
@pytest.mark.parametrize(
    ("source", "status"), [(BROKEN, 502), (RAISES, 500), (RAISES_LATE, 200)]
)
def test_nobody_else_sees_them(http: str, source: str, status: int) -> None:
    with failing(source, http=http) as nginx:
        for _ in range(2):
            raw = nginx.raw(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert raw.startswith(b"HTTP/1.1 %d " % status)
            for word in (b"ValueError", b"Traceback", b"app.py", b"script"):
                assert word not in raw
        nginx.wait_log("ValueError")


def test_it_is_one_setting() -> None:
    said = refused(PASS, http=f"{ON} ffi_show_errors on;")
    assert '"ffi_show_errors" directive is duplicate' in said
    said = refused(f"{PASS} {ON}")
    assert '"python_show_errors" directive is not allowed here' in said
