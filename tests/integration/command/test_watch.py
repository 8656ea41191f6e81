# SPDX-License-Identifier: BSD-2-Clause
"""What --watch notices, and what it makes of that."""

from __future__ import annotations

import html
import os
import signal
import time
from pathlib import Path

import pytest

from ..client import eventually
from .tool import Serve, wsgi

# each import leaves a mark
COUNTS = """
import pathlib
with open(pathlib.Path(__file__).with_name("imports"), "a") as file:
    file.write("x")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    return folder


def put(folder: Path, source: str, name: str = "app.py") -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(source)
    return file


def imports(folder: Path) -> int:
    return len((folder / "imports").read_text())


def test_a_new_worker(folder: Path) -> None:
    """Not the same, which would import again."""
    put(folder, "import os" + wsgi("('one', os.getpid())"))
    with Serve(folder, "--watch") as served:
        one = served.answers("one").text
        # as long as it was, and perhaps in the same second
        put(folder, "import os" + wsgi("('two', os.getpid())"))
        two = served.answers("two").text
        assert one.split()[1] != two.split()[1]
        put(folder, "import os" + wsgi("('six', os.getpid())"))
        served.answers("six")


def test_it_is_renamed(folder: Path) -> None:
    put(folder, wsgi("'one'"))
    with Serve(folder, "--watch") as served:
        served.answers("one")
        served.write(wsgi("'two'"))
        served.answers("two")
        (folder / "app.py").rename(folder / "app.py~")
        put(folder, wsgi("'six'"))
        served.answers("six")


def test_several_writes(folder: Path) -> None:
    """What is half written may be imported, and is not the last word."""
    put(folder, wsgi("'one'"))
    with Serve(folder, "--watch") as served:
        served.answers("one")
        with (folder / "app.py").open("w") as file:
            for line in wsgi("'two'").splitlines(keepends=True):
                file.write(line)
                file.flush()
                time.sleep(0.05)
        served.answers("two")


def test_many_files(folder: Path) -> None:
    """One reload, and one import."""
    names = [f"m{number}" for number in range(200)]
    put(folder, COUNTS + f"import {', '.join(names)}\n" + wsgi("m199.x"))
    for name in names:
        put(folder, "x = 'one'", f"{name}.py")
    with Serve(folder, "--watch") as served:
        served.answers("one")
        for name in names:
            put(folder, "x = 'two'", f"{name}.py")
        served.answers("two")
        assert served.reloads() == 1
        assert "and 199 more changed" in served.errors()
        assert imports(folder) == 2


def test_the_error_is_in_the_page(folder: Path) -> None:
    put(folder, wsgi("'one'"))
    with Serve(folder, "--watch") as served:
        served.answers("one")
        put(folder, "def app(<script>:\n")
        answer = served.answers("SyntaxError")
        assert answer.status == 502
        assert b"<script" not in answer.body
        assert "def app(<script>:" in html.unescape(answer.text)
        put(folder, "raise LookupError('later')\n")
        served.answers("LookupError: later")
        put(folder, "\n\ndef app(environ, start_response):\n    1 / 0\n")
        answer = served.answers("ZeroDivisionError")
        assert answer.status == 500
        assert "line 4, in app" in answer.text
        put(folder, wsgi("'two'"))
        served.answers("two")


def test_one_that_is_broken_from_the_beginning(folder: Path) -> None:
    put(folder, "raise LookupError('at first')\n")
    with Serve(folder, "--watch", "--workers=2") as served:
        assert served.answers("LookupError: at first").status == 502
        put(folder, wsgi("'one'"))
        served.answers("one")


def test_it_ends_while_it_starts_a_worker(folder: Path) -> None:
    put(folder, wsgi("'one'"))
    with Serve(folder, "--watch") as served:
        served.answers("one")
        begun = folder / "begun"
        put(
            folder,
            f"import pathlib, time\npathlib.Path({str(begun)!r}).touch()\n"
            "time.sleep(600)",
        )
        eventually(begun.exists, "the import")
        served.signal(signal.SIGINT)
        assert served.end() == 0


def test_it_goes_away_and_comes_back(folder: Path) -> None:
    put(folder, "import part" + wsgi("part.x"))
    part = put(folder, "x = 'one'", "part.py")
    with Serve(folder, "--watch") as served:
        served.answers("one")
        part.unlink()
        served.answers("ModuleNotFoundError")
        put(folder, "x = 'two'", "part.py")
        served.answers("two")


def test_a_change_during_the_start(folder: Path) -> None:
    """The import has read the old file when the new one is there."""
    slow = "import pathlib, time\npathlib.Path({!r}).touch()\ntime.sleep(1)"
    begun = folder / "begun"
    put(folder, slow.format(str(begun)) + wsgi("'one'"))
    with Serve(folder, "--watch") as served:
        eventually(begun.exists, "the import")
        put(folder, wsgi("'two'"))
        served.answers("two")
        again = folder / "again"
        put(folder, slow.format(str(again)) + wsgi("'six'"))
        eventually(again.exists, "the import")
        put(folder, wsgi("'ten'"))
        served.answers("ten")


def test_requests_wait_for_the_new_worker(folder: Path) -> None:
    put(folder, wsgi("'one'"))
    with Serve(folder, "--watch") as served:
        served.answers("one")
        put(folder, "import time\ntime.sleep(1)" + wsgi("'two'"))
        end = time.monotonic() + 3
        while time.monotonic() < end:
            answer = served.get()
            assert answer.status == 200
            assert answer.text in ("one", "two")
        assert answer.text == "two"


def test_an_open_request_holds_nothing_up(folder: Path) -> None:
    """The old worker has a second."""
    source = """
def app(environ, start_response):
    import time
    time.sleep(60 * (environ["PATH_INFO"] == "/slow"))
    start_response("200 OK", [])
    return [b"{}"]
"""
    put(folder, source.format("one"))
    with Serve(folder, "--watch") as served, served.connect() as sock:
        served.answers("one")
        sock.sendall(b"GET /slow HTTP/1.0\r\n\r\n")
        put(folder, source.format("two"))
        served.answers("two")
        begin = time.monotonic()
        assert sock.recv(1000) == b""
        assert time.monotonic() - begin < 30


def test_what_is_elsewhere(folder: Path, tmp_path: Path) -> None:
    """Files that are imported, perhaps late, from where nobody looks."""
    elsewhere = tmp_path / "elsewhere"
    put(elsewhere, "x = 'one'", "early.py")
    put(elsewhere, "y = 'one'", "late.py")
    put(
        folder,
        f"import sys\nsys.path.append({str(elsewhere)!r})\nimport early\n"
        + wsgi("(early.x, __import__('late').y)"),
    )
    with Serve(folder, "--watch") as served:
        served.answers("('one', 'one')")
        put(elsewhere, "x = 'two'", "early.py")
        served.answers("('two', 'one')")
        put(elsewhere, "y = 'two'", "late.py")
        served.answers("('two', 'two')")
        put(elsewhere, "y =", "late.py")
        served.answers("SyntaxError")
        put(elsewhere, "y = 'six'", "late.py")
        served.answers("('two', 'six')")


def test_what_is_none_of_it(folder: Path) -> None:
    put(folder, COUNTS + wsgi("'one'"))
    put(folder, "", "env/pyvenv.cfg")
    with Serve(folder, "--watch") as served:
        served.answers("one")
        for name in (
            "env/lib/x.py",
            ".git/x.py",
            "node_modules/x.py",
            "__pycache__/x.py",
            "notes.txt",
            ".app.py.swp",
            "app.py~",
        ):
            put(folder, "x = 1", name)
        os.utime(folder)
        time.sleep(1)
        assert served.reloads() == 0
        assert served.get().text == "one"
        assert imports(folder) == 1


def test_a_folder_that_cannot_be_read(folder: Path) -> None:
    put(folder, wsgi("'one'"))
    (folder / "loop").symlink_to(folder)
    (folder / "none.py").symlink_to(folder / "nothing")
    (folder / "dir.py").mkdir()
    with Serve(folder, "--watch") as served:
        served.answers("one")
        put(folder, wsgi("'two'"))
        served.answers("two")


def test_nothing_is_watched_else(folder: Path) -> None:
    put(folder, wsgi("'one'"))
    with Serve(folder) as served:
        served.answers("one")
        put(folder, wsgi("'two'"))
        time.sleep(1)
        assert served.get().text == "one"
        assert served.reloads() == 0
