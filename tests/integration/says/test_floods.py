# SPDX-License-Identifier: BSD-2-Clause
"""Many lines, levels, handlers of applications' own, and rotation."""

from __future__ import annotations

import re
import signal
import threading
from pathlib import Path

import pytest

from ..client import eventually
from .conftest import Talking

HIDDEN = r"\[warn\] .*FFI032: ffi_python3: floods\.flood: (\d+) more lines"


def call(nginx: Talking, name: str, request: str) -> str:
    ok, *rest = nginx.lua(
        f'return ngx.load_ffi("ffi_python3", "floods,{name}"):any("{request}")'
    )
    assert ok is True
    return str(rest[0]) if rest else ""


def test_a_flood_is_counted(talking: Talking) -> None:
    """Each line is there, or counted; a thousand are there."""
    total = 20_000
    since = len(talking.log())
    call(talking, "flood", str(total))

    def accounted() -> bool:
        log = talking.log(since)
        hidden = sum(int(n) for n in re.findall(HIDDEN, log))
        dropped = sum(
            int(n) for n in re.findall(r"(\d+) more lines from", log)
        )
        shown = len(re.findall(": flood ", log))
        return shown + hidden + dropped == total

    eventually(accounted, "each line is accounted for")
    assert talking.count_log(": flood ", since) < total / 2
    talking.hear("Plain", "print {text}", "printed {text},")


def test_a_rate_of_ones_own() -> None:
    with Talking(http="python_env RESTY_FFI_LOG_RATE 5;") as nginx:
        call(nginx, "flood", "50")
        nginx.wait_log(HIDDEN)
        assert 5 <= nginx.count_log(": flood ") <= 45


def test_no_limit() -> None:
    with Talking(http="python_env RESTY_FFI_LOG_RATE 0;") as nginx:
        for _ in range(4):
            call(nginx, "flood", "500")
        eventually(lambda: nginx.count_log(": flood ") == 2000)
        assert not nginx.count_log(HIDDEN)


@pytest.mark.parametrize(
    ("level", "http", "root"),
    [
        ("debug", "", "DEBUG"),
        ("info", "", "INFO"),
        ("notice", "", "Level 25"),
        ("warn", "", "WARNING"),
        ("error", "", "WARNING"),
        ("error", "error_log {prefix}/http.log info;", "INFO"),
    ],
)
def test_the_level_of_the_root(level: str, http: str, root: str) -> None:
    """What reaches no error_log is not made; handlers of applications get
    warnings all the same."""
    with Talking(level=level, http=http) as nginx:
        assert call(nginx, "level", "") == root
        assert nginx.count_log("a debug line") == (root == "DEBUG")


def test_handlers_of_ones_own(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    file = tmp_path / "app.log"
    with Talking() as nginx:
        assert call(nginx, "configured", str(file)) == "done"
        start = r"\d+ ffi_python3: floods\.configured: "
        nginx.wait_log(rf"\[warn\] .*{start}<with a format>,")
        nginx.wait_log(rf"\[info\] .*{start}shop: by dictConfig,")
        assert "in a file" in file.read_text()
        assert not nginx.count_log("in a file|nowhere")
        # nginx takes no such lines
        assert not nginx.count_log("by basicConfig")


@pytest.mark.once
def test_no_line_is_lost_in_a_rotation() -> None:
    """`nginx -s reopen`, under load: each line is in one of the files."""
    total, clients = 100, 4
    with Talking(http="python_env RESTY_FFI_LOG_RATE 0;") as nginx:
        call(nginx, "steady", "first")
        ended = threading.Event()
        rotated: list[Path] = []

        def rotate() -> None:
            while not ended.wait(0.02):
                old = nginx.error_log.with_suffix(f".{len(rotated)}")
                nginx.error_log.rename(old)
                rotated.append(old)
                nginx.signal(signal.SIGUSR1)
                eventually(nginx.error_log.exists, "it is reopened")

        def talk(client: int) -> None:
            for number in range(total):
                call(nginx, "steady", f"{client}-{number}.")

        threads = [
            threading.Thread(target=talk, args=(n,)) for n in range(clients)
        ]
        rotation = threading.Thread(target=rotate)
        for thread in [*threads, rotation]:
            thread.start()
        for thread in threads:
            thread.join()
        ended.set()
        rotation.join()
        assert rotated

        def said() -> str:
            return "".join(p.read_text() for p in [*rotated, nginx.error_log])

        def lines() -> list[str]:
            return re.findall(r"root: steady (\d+-\d+)\.", said())

        expected = {f"{c}-{n}" for c in range(clients) for n in range(total)}
        eventually(lambda: expected <= set(lines()), "all lines")
        assert len(lines()) == len(expected)


def test_plain_streams() -> None:
    """As `serve` has them: its terminal is there."""
    with Talking(http="python_env RESTY_FFI_STREAMS plain;") as nginx:
        nginx.ask("Plain", "print plainly")
        nginx.wait_log(r"(?m)^printed plainly$")
        nginx.hear("Plain", "logging {text}", "shop: info {text},")


def test_streams_of_a_child() -> None:
    """A forked one has no nginx that would write its lines."""
    with Talking() as nginx:
        nginx.python(
            """
            import os, sys, logging
            out = sys.stderr
            pid = os.fork()
            if pid == 0:
                print("printed by a child", file=sys.stderr)
                out.write("written by a child\\n")
                logging.error("logged by a child")
                os._exit(0)
            result = os.waitpid(pid, 0)[1]
            """
        )
        for what in ("printed", "written", "root: logged|logged"):
            nginx.wait_log(f"({what}) by a child")
