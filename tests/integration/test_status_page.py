# SPDX-License-Identifier: BSD-2-Clause
"""The page of ffi_status, in a browser."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import NewNginx
from .nginx import Nginx
from .status import APP, SERVER, ZONE

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="chromium is not installed"
)

LOAD = 'local rt = assert(ngx.load_ffi("ffi_python3", "app,Loop"))\n'


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        assert isinstance(port, int)
        return port


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def server(new_nginx: NewNginx, port: int) -> Iterator[Nginx]:
    page = f"""
        listen 127.0.0.1:{port};
        location = /open {{ allow 127.0.0.1; deny all; ffi_status; }}
    """
    with new_nginx(http=ZONE, server=SERVER + page) as nginx:
        nginx.write_python("app.py", APP)
        yield nginx


def browse(tmp_path: Path, *arguments: str) -> tuple[str, str]:
    """What chromium writes, and what it says."""
    assert CHROMIUM
    done = subprocess.run(
        [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--enable-logging=stderr",
            f"--user-data-dir={tmp_path}",
            "--virtual-time-budget=9000",
            *arguments,
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout, done.stderr


def test_the_page_shows_what_is_counted(
    nginx: Nginx, port: int, tmp_path: Path
) -> None:
    nginx.lua(
        LOAD
        + """
        for i = 1, 5 do rt:echo("x") end
        rt:fail()
        rt["<img src=x onerror=alert(1)>"](rt, "x")
        """
    )
    page, said = browse(
        tmp_path, "--dump-dom", f"http://127.0.0.1:{port}/open"
    )
    assert "live, all workers" in page, said
    assert "app.Loop" in page
    assert '<td class="">echo</td>' in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert "<img" not in page
    assert len(re.findall(r'class="bars"', page)) == 3
    assert 'class="spark"' in page
    assert f">{nginx.worker()}<" in page
    assert "CONSOLE" not in said


def test_the_page_says_when_nothing_answers(
    nginx: Nginx, port: int, tmp_path: Path
) -> None:
    """It is one file: it works from anywhere, and shows what fails."""
    page = tmp_path / "page.html"
    page.write_bytes(nginx.get("/status?format=html").body)
    dom, _ = browse(tmp_path / "data", "--dump-dom", page.as_uri())
    assert "no answer" in dom


def test_the_page_loads_nothing_else(nginx: Nginx) -> None:
    page = nginx.get("/status?format=html").text
    assert not re.search(r"(?:src|href)\s*=", page)
    assert "http://www.w3.org/2000/svg" in page
    assert page.count("http") == 1
