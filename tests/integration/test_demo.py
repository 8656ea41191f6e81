# SPDX-License-Identifier: BSD-2-Clause
"""What `make run` serves, as it is: conf/nginx.conf."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .client import PATIENCE, eventually
from .nginx import BUILD, NGINX_BIN, ROOT

pytestmark = pytest.mark.skipif(
    BUILD != ROOT / "build", reason="it serves what is in build"
)


class Demo:
    def __init__(self) -> None:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            self.port = int(sock.getsockname()[1])

    def ask(self, path: str, body: str | None = None) -> tuple[int, str]:
        connection = http.client.HTTPConnection(
            "localhost", self.port, PATIENCE
        )
        with contextlib.closing(connection):
            connection.request("GET" if body is None else "POST", path, body)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def is_up(self) -> bool:
        with contextlib.suppress(OSError):
            return self.ask("/")[0] == 200
        return False


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    demo = Demo()
    said = tmp_path_factory.mktemp("demo") / "said"
    with said.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, ROOT / "scripts" / "run.py"],
            env={
                **os.environ,
                "NGINX_BIN": NGINX_BIN,
                "PORT": str(demo.port),
                "VIRTUAL_ENV": "",
            },
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        eventually(demo.is_up, "nginx serves")
        yield demo
    finally:
        process.terminate()
        process.wait(PATIENCE)
    check_said(said, demo.port)


def check_said(said: Path, port: int) -> None:
    """No broker, no package, no error."""
    lines = said.read_text().splitlines()
    lines = [line for line in lines if "is buffered to a temp" not in line]
    assert lines == [f"nginx serves http://localhost:{port}/"]


def test_what_there_is_to_try(demo: Demo) -> None:
    status, text = demo.ask("/")
    assert status == 200
    for path in ("echo", "sum", "count"):
        assert f"http://localhost:{demo.port}/{path}" in text


def test_echo(demo: Demo) -> None:
    assert demo.ask("/echo") == (200, "ok\n")
    assert demo.ask("/echo", "text") == (200, "text")
    assert demo.ask("/echo", "x" * (1 << 20)) == (200, "x" * (1 << 20))


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ('{"numbers": [1, 2]}', 200),
        ('{"numbers": ["1"]}', 400),
        ("[]", 400),
        ("", 400),
    ],
)
def test_sum(demo: Demo, body: str, status: int) -> None:
    got, text = demo.ask("/sum", body)
    assert got == status
    assert (text == '{"sum": 3}') == (status == 200)


def test_count(demo: Demo) -> None:
    status, text = demo.ask("/count")
    assert status == 200
    assert text.split("\n\n")[:5] == [f"data: {n}" for n in range(1, 6)]
