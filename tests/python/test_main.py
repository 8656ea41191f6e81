# SPDX-License-Identifier: BSD-2-Clause
"""python -m resty_ffi: what a cfg would load."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

SOURCE = """
from resty_ffi import AsyncBodyReader, serve

@serve
def upper(request): return request.upper()

@serve(threads=8, view=True)
def lookup(request): ...

@serve
async def fetch(request): ...

@serve
def lines(request): yield b""

@serve
async def tokens(body: AsyncBodyReader): yield b""

@serve
class Cache:
    def __init__(self, config): raise SystemExit("made an instance")
    def get(self, request): ...
    def __call__(self, request): ...
    def close(self): ...

@serve(threads=2)
class Mixed(Cache):
    async def refresh(self, request): ...

@serve
class Empty:
    def close(self): ...

def init(cfg, tq): raise SystemExit("called it")
def forgotten(request): raise SystemExit("called it")
async def forgotten_async(request): ...
async def async_init(cfg, tq): ...
class Forgotten:
    def __init__(self, config): raise SystemExit("made an instance")
number = 42
"""

Done = subprocess.CompletedProcess[str]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(SOURCE)
    (tmp_path / "empty").mkdir()
    return tmp_path


def run(folder: Path, cfg: str, cwd: str = "empty", *path: str) -> Done:
    """python -m resty_ffi, elsewhere; path: more of PYTHONPATH."""
    search = os.pathsep.join([str(ROOT / "python"), *path])
    return subprocess.run(
        [sys.executable, "-m", "resty_ffi", cfg],
        cwd=folder / cwd,
        env={**os.environ, "PYTHONPATH": search},
        capture_output=True,
        text=True,
        check=False,
    )


def facts(folder: Path, cfg: str) -> dict[str, str]:
    done = run(folder, cfg, "empty", str(folder))
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    lines = (line.split(maxsplit=1) for line in done.stdout.splitlines())
    return {line[0]: line[1] for line in lines}


def error(folder: Path, cfg: str) -> str:
    """The first line; the traceback follows."""
    done = run(folder, cfg, "empty", str(folder))
    assert (done.returncode, done.stdout) == (1, "")
    return done.stderr.splitlines()[0]


def test_a_function(folder: Path) -> None:
    assert facts(folder, "app,upper") == {
        "loads": "app.upper",
        "file": str(folder / "app.py"),
        "kind": "function",
        "threads": "1",
        "request": "bytes",
        "config": "none",
    }


def test_threads_and_view(folder: Path) -> None:
    found = facts(folder, "app?,lookup,")
    assert found["file"] == (
        f"{folder / 'app.py'}, read again by a load or reload, not when it"
        " changes (see WATCH=1)"
    )
    assert found["threads"] == "8"
    assert found["request"] == "memoryview"
    assert found["config"] == "''"


def test_an_async_function(folder: Path) -> None:
    found = facts(folder, "app,fetch")
    assert found["kind"] == "async function"
    assert "threads" not in found


def test_generators(folder: Path) -> None:
    found = facts(folder, "app,lines")
    assert (found["kind"], found["request"]) == ("generator", "bytes")
    found = facts(folder, "app,tokens")
    assert found["kind"] == "async generator"
    assert found["request"] == "in parts, by AsyncBodyReader"


def test_a_class(folder: Path) -> None:
    found = facts(folder, 'app,Cache,{"size": 1, "x": 2}')
    assert found["kind"] == "class"
    assert found["methods"] == "get, __call__"
    assert found["config"] == repr('{"size": 1, "x": 2}')


def test_a_class_with_both(folder: Path) -> None:
    found = facts(folder, "app,Mixed")
    assert found["kind"] == "class, on an event loop"
    assert found["methods"] == "get, async refresh, __call__"
    assert found["threads"] == "2"


def test_a_poll_loop(folder: Path) -> None:
    found = facts(folder, "app,init,x")
    assert found["kind"] == "poll loop: function(cfg, tq)"


def test_a_directory(folder: Path) -> None:
    done = run(folder, f"{folder}/app,upper")
    assert done.returncode == 0
    assert str(folder / "app.py") in done.stdout


@pytest.mark.parametrize(
    ("cfg", "text"),
    [
        ("x,init", "x: ModuleNotFoundError: No module named 'x'"),
        ("app,nope", "app: AttributeError: module 'app' has no attribute"),
        ("app,number", "app.number: TypeError: 'int' object is not callable"),
        ("app,Empty", "app.Empty: TypeError: Empty has no public method"),
        ("app,forgotten", "app.forgotten: TypeError: forgotten() takes 1"),
        ("app,Forgotten", "app.Forgotten: TypeError: "),
        (
            "app,forgotten_async",
            "app.forgotten_async: TypeError: forgotten_async() takes 1",
        ),
        (
            "app,async_init",
            "app.async_init: returned <coroutine object async_init at",
        ),
    ],
)
def test_what_does_not_load(folder: Path, cfg: str, text: str) -> None:
    assert error(folder, cfg).startswith(f"ffi_python3: {text}")


def test_the_traceback_is_shown(folder: Path) -> None:
    (folder / "bad.py").write_text("def f():\n    1 / 0\n\n\nf()\n")
    done = run(folder, "bad,f", "empty", str(folder))
    first, *rest = done.stderr.splitlines()
    assert first == "ffi_python3: bad: ZeroDivisionError: division by zero"
    assert rest[0] == "Traceback (most recent call last):"
    assert any(line.strip() == "1 / 0" for line in rest)
    assert "bootstrap.py" not in done.stderr.replace("<frozen", "")


@pytest.mark.parametrize(
    "cfg", ["app,forgotten", "app,Forgotten", "app,async_init"]
)
def test_hint_that_serve_is_missing(folder: Path, cfg: str) -> None:
    done = run(folder, cfg, "empty", str(folder))
    assert done.stderr.splitlines()[-1] == "hint: is @serve missing?"


def test_the_current_directory_does_not_count(folder: Path) -> None:
    done = run(folder, "app,upper", ".")
    assert done.returncode == 1
    assert "ModuleNotFoundError: No module named 'app'" in done.stderr
    assert done.stderr.splitlines()[-1] == (
        "hint: nginx does not look for app in the current directory:"
        " set PYTHONPATH"
    )


def test_modules_that_come_with_it(folder: Path) -> None:
    found = facts(folder, "ffi.echo?,init")
    assert found["kind"] == "poll loop: function(cfg, tq)"
