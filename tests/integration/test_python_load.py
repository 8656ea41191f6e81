# SPDX-License-Identifier: BSD-2-Clause
"""Why Python runtimes do not start, and what is said about it."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from .client import lua_string
from .nginx import Nginx

numbers = itertools.count()

GOOD = "from evaluate import init\n"


def load(nginx: Nginx, cfg: str) -> str | None:
    """The error, None where it loads."""
    rt, *rest = nginx.lua(
        f'return ngx.load_ffi("ffi_python3", {lua_string(cfg)})'
    )
    if rt is not None:
        return None
    assert isinstance(rest[0], str)
    return rest[0]


@pytest.fixture
def name() -> str:
    return f"module_{next(numbers)}"


def test_module_missing(nginx: Nginx) -> None:
    since = len(nginx.log())
    assert load(nginx, "x,init") == (
        "ffi_python3: x: ModuleNotFoundError: No module named 'x'"
    )
    nginx.wait_log(r"Traceback \(most recent call last\)", since)


def test_submodule_missing(nginx: Nginx) -> None:
    assert load(nginx, "json.nope,init") == (
        "ffi_python3: json.nope: "
        "ModuleNotFoundError: No module named 'json.nope'"
    )


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("raise ValueError('this text')", "ValueError: this text"),
        ("raise ValueError", "ValueError"),
        ("raise KeyError('key')", "KeyError: 'key'"),
        ("import absent", "ModuleNotFoundError: No module named 'absent'"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("import sys; sys.exit()", "SystemExit"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("class E(Exception): pass\nraise E('own')", "E: own"),
        ("raise ValueError('two\\nlines')", "ValueError: two lines"),
        ("raise ValueError('caf\\xe9')", "ValueError: caf\xc3\xa9"),
        ("def f(): f()\nf()", "RecursionError: maximum recursion depth"),
    ],
)
@pytest.mark.parametrize("place", ["import", "init"])
@pytest.mark.parametrize("fresh", ["", "?"])
def test_what_is_raised(
    nginx: Nginx, name: str, source: str, reason: str, place: str, fresh: str
) -> None:
    since = len(nginx.log())
    if place == "import":
        nginx.write_python(f"{name}.py", f"{source}\n{GOOD}")
        where = name
    else:
        body = source.replace("\n", "\n    ")
        nginx.write_python(
            f"{name}.py", f"def init(cfg, tq):\n    {body}\n    return 0\n"
        )
        where = f"{name}.init"
    err = load(nginx, f"{name}{fresh},init")
    assert err
    assert err.startswith(f"ffi_python3: {where}: "), err
    assert err.removeprefix(f"ffi_python3: {where}: ").startswith(reason), err
    nginx.wait_log(r"Traceback \(most recent call last\)", since)
    nginx.wait_log(rf'File ".*{name}\.py", line \d', since)


@pytest.mark.parametrize(
    "raised",
    [
        "class E(Exception):\n    def __str__(self): raise ValueError\n"
        "raise E",
        "class E(Exception):\n    def __str__(self): return 42\nraise E",
        "class E(Exception):\n    def __str__(self): raise SystemExit(3)\n"
        "raise E",
        "raise ValueError('\\udcff')",
        "raise ValueError('a\\0b')",
        "raise ValueError('x' * 10_000_000)",
        "raise ExceptionGroup('group', [ValueError('one')])"
        " if 'ExceptionGroup' in dir(__builtins__) else ValueError",
    ],
    ids=[
        "str-raises",
        "str-is-int",
        "str-exits",
        "surrogate",
        "nul",
        "long",
        "group",
    ],
)
def test_exceptions_that_are_hard_to_tell(
    nginx: Nginx, name: str, raised: str
) -> None:
    nginx.write_python(f"{name}.py", raised)
    err = load(nginx, f"{name},init")
    assert err
    assert err.startswith(f"ffi_python3: {name}: ")
    assert nginx.python("result = 42") == "42"


def test_syntax_error(nginx: Nginx, name: str) -> None:
    since = len(nginx.log())
    nginx.write_python(f"{name}.py", "def init(:\n")
    err = load(nginx, f"{name},init")
    assert err
    assert err.startswith(f"ffi_python3: {name}: SyntaxError: invalid syntax")
    nginx.wait_log(rf"{name}\.py", since)


def test_error_log_tells_it_in_one_clear_line(nginx: Nginx, name: str) -> None:
    """The same text as Lua's, however long the traceback is."""
    nginx.write_python(f"{name}.py", "raise ValueError('look here')")
    err = load(nginx, f"{name},init")
    assert err
    nginx.wait_log(rf"\[error\].*{name}: ValueError: look here")


def test_function_missing(nginx: Nginx, name: str) -> None:
    nginx.write_python(f"{name}.py", GOOD)
    assert load(nginx, f"{name},nope") == (
        f"ffi_python3: {name}: AttributeError: "
        f"module '{name}' has no attribute 'nope'"
    )


def test_function_that_cannot_be_called(nginx: Nginx, name: str) -> None:
    nginx.write_python(f"{name}.py", "foo = 42")
    assert load(nginx, f"{name},foo") == (
        f"ffi_python3: {name}.foo: TypeError: 'int' object is not callable"
    )


def test_function_of_other_arguments(nginx: Nginx, name: str) -> None:
    nginx.write_python(f"{name}.py", "def init(): return 0")
    err = load(nginx, f"{name},init")
    assert err
    assert err.startswith(f"ffi_python3: {name}.init: TypeError: init()")


@pytest.mark.parametrize("value", ["3", "-1", "1", "2**70", "None", "'x'"])
def test_init_that_returns_not_0(nginx: Nginx, name: str, value: str) -> None:
    nginx.write_python(f"{name}.py", f"def init(cfg, tq): return {value}")
    assert load(nginx, f"{name},init") == (
        f"ffi_python3: {name}.init: returned {eval(value)!r}, not 0"
    )


@pytest.mark.parametrize(
    "method",
    [
        "def __ne__(self, other): raise ValueError('compared')",
        "def __eq__(self, other): raise ValueError('compared')",
        "def __ne__(self, other): import sys; sys.exit(3)",
        "def __repr__(self): raise ValueError('printed')",
        "def __repr__(self): import sys; sys.exit(3)",
        "def __repr__(self): return '\\udcff'",
    ],
)
def test_init_that_returns_a_trap(
    nginx: Nginx, name: str, method: str
) -> None:
    nginx.write_python(
        f"{name}.py",
        f"class Trap:\n    {method}\ndef init(cfg, tq): return Trap()\n",
    )
    err = load(nginx, f"{name},init")
    assert err
    assert err.startswith(f"ffi_python3: {name}.init: ")


def test_init_that_fails_after_its_threads_started(
    nginx: Nginx, name: str
) -> None:
    nginx.write_python(
        f"{name}.py",
        "import evaluate\n"
        "def init(cfg, tq):\n"
        "    evaluate.init(cfg, tq)\n"
        "    raise ValueError('too late')\n",
    )
    for _ in range(3):
        assert load(nginx, f"{name},init") == (
            f"ffi_python3: {name}.init: ValueError: too late"
        )
    assert (
        nginx.python(
            "import threading, time\n"
            "end = time.monotonic() + 10\n"
            "def left(): return sum('(poll)' in t.name"
            " for t in threading.enumerate())\n"
            "while left() > 1 and time.monotonic() < end:\n"
            "    time.sleep(0.01)\n"
            "result = left()"
        )
        == "1"
    )


def test_a_later_load_tries_afresh(nginx: Nginx, name: str) -> None:
    nginx.write_python(f"{name}.py", "import not_there_yet\n" + GOOD)
    assert load(nginx, f"{name},init")
    nginx.write_python("not_there_yet.py", "")
    assert load(nginx, f"{name},init") is None


def test_a_later_load_after_init_failed(nginx: Nginx, name: str) -> None:
    nginx.write_python(
        f"{name}.py",
        "import evaluate\n"
        "tries = 0\n"
        "def init(cfg, tq):\n"
        "    global tries\n"
        "    tries += 1\n"
        "    return evaluate.init(cfg, tq) if tries == 3 else tries\n",
    )
    end = f"ffi_python3: {name}.init: returned"
    assert load(nginx, f"{name},init") == f"{end} 1, not 0"
    assert load(nginx, f"{name},init") == f"{end} 2, not 0"
    assert load(nginx, f"{name},init") is None


@pytest.mark.parametrize(
    ("tail", "cfg"),
    [
        ("", "None"),
        (",", "b''"),
        (",plain", "b'plain'"),
        (",a,b,,c,", "b'a,b,,c,'"),
        (',{"servers":"a:1,b:2"}', """b'{"servers":"a:1,b:2"}'"""),
        (", spaced ", "b' spaced '"),
        (",?", "b'?'"),
    ],
)
def test_config(nginx: Nginx, tail: str, cfg: str) -> None:
    """All behind the second comma; without one there is no address."""
    assert nginx.lua(
        'local rt = assert(ngx.load_ffi("ffi_python3", '
        f"{lua_string('evaluate,init' + tail)}))"
        'return rt:run("result = cfg")'
    ) == [True, cfg]


def test_config_of_bytes_that_are_no_text(nginx: Nginx) -> None:
    cfg = lua_string(b"evaluate,init,\xff\x80")
    assert nginx.lua(
        f'local rt = assert(ngx.load_ffi("ffi_python3", {cfg}))'
        'return rt:run("result = cfg")'
    ) == [True, r"b'\xff\x80'"]


def test_module_name_that_is_no_text(nginx: Nginx) -> None:
    cfg = lua_string(b"\xff\x80,init")
    rt, err = nginx.lua(f'return ngx.load_ffi("ffi_python3", {cfg})')
    assert rt is None
    assert err.startswith("ffi_python3: ")


def test_arguments_of_init(nginx: Nginx, name: str) -> None:
    nginx.write_python(
        f"{name}.py",
        "import evaluate\n"
        "def init(*args, **kwargs):\n"
        "    assert not kwargs, kwargs\n"
        "    assert [type(a) for a in args] == [int, int], args\n"
        "    assert args[0] == 0 and args[1] != 0, args\n"
        "    return evaluate.init(*args)\n",
    )
    assert load(nginx, f"{name},init") is None


def test_init_that_returns_false(nginx: Nginx, name: str) -> None:
    """False is 0, as everywhere in Python."""
    nginx.write_python(
        f"{name}.py",
        "import evaluate\n"
        "def init(cfg, tq):\n"
        "    evaluate.init(cfg, tq)\n"
        "    return False\n",
    )
    assert load(nginx, f"{name},init") is None


def test_module_in_a_package(nginx: Nginx, name: str) -> None:
    nginx.write_python(f"{name}/__init__.py", "")
    nginx.write_python(f"{name}/deep/__init__.py", "")
    nginx.write_python(f"{name}/deep/mod.py", "from ..near import init\n")
    nginx.write_python(f"{name}/near.py", GOOD)
    assert load(nginx, f"{name}.deep.mod,init") is None
    assert load(nginx, f"{name}.deep.mod?,init") is None


def test_directory_before_the_module(
    nginx: Nginx, name: str, tmp_path: Path
) -> None:
    """Is put first on sys.path, once."""
    (tmp_path / f"{name}.py").write_text(GOOD)
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / f"{name}_sub.py").write_text(GOOD)
    for module in (f"{name}", f"pkg.{name}_sub", f"{name}?", f"{name}"):
        for config in ("", ",x", ",y"):
            assert load(nginx, f"{tmp_path}/{module},init{config}") is None
    assert nginx.python(
        "import sys\n"
        f"folder = {str(tmp_path)!r}\n"
        "result = sys.path.index(folder), sys.path.count(folder)"
    ) == str((0, 1))


def test_directory_that_stands_later_on_the_path(
    nginx: Nginx, name: str, tmp_path: Path
) -> None:
    (tmp_path / f"{name}.py").write_text(GOOD)
    nginx.python(f"import sys; sys.path.append({str(tmp_path)!r})")
    for config in ("", ",x"):
        assert load(nginx, f"{tmp_path}/{name},init{config}") is None
        assert nginx.python(
            "import sys\n"
            f"folder = {str(tmp_path)!r}\n"
            "result = sys.path.index(folder), sys.path.count(folder)"
        ) == str((0, 1))


def test_directory_that_is_missing(nginx: Nginx) -> None:
    err = load(nginx, "/nonexistent/folder/absent,init")
    assert err
    assert "ModuleNotFoundError: No module named 'absent'" in err


def test_directory_with_dots_and_spaces(
    nginx: Nginx, name: str, tmp_path: Path
) -> None:
    folder = tmp_path / "some app.d" / "v1.2"
    folder.mkdir(parents=True)
    (folder / f"{name}.py").write_text(GOOD)
    assert load(nginx, f"{folder}/{name},init") is None
