# SPDX-License-Identifier: BSD-2-Clause
"""New versions of a package, while an old one serves."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from ..client import PATIENCE, eventually
from ..nginx import Nginx
from .calls import call, load


def write(nginx: Nginx, name: str, **sources: Any) -> None:
    for file, source in sources.items():
        nginx.write_python(f"{name}/{file}.py", str(source))


def app(version: int) -> dict[str, str]:
    return {
        "__init__": "",
        "near": f"VERSION = {version}",
        "mod": "from resty_ffi import serve\nfrom . import near\n"
        "from .near import VERSION\n"
        "@serve\nclass App:\n"
        "    def __call__(self, request):\n"
        "        assert VERSION == near.VERSION, VERSION\n"
        "        return str(VERSION)\n",
    }


BROKEN = [
    ("near", "def f(:", "SyntaxError"),
    ("near", "1 / 0", "ZeroDivisionError"),
    ("near", "raise SystemExit(1)", "SystemExit: 1"),
    ("near", "import absent_module", "ModuleNotFoundError"),
    ("mod", "1 / 0", "ZeroDivisionError"),
    ("mod", "", "AttributeError"),
    ("mod", "App = 1", "TypeError"),
    ("__init__", "1 / 0", "ZeroDivisionError"),
    (
        "mod",
        "from resty_ffi import serve\nfrom . import near\n@serve\nclass App:\n"
        "    def __init__(self): 1 / 0\n"
        "    def __call__(self, request): pass\n",
        "ZeroDivisionError",
    ),
]


@pytest.mark.parametrize(("file", "source", "error"), BROKEN)
def test_one_that_fails(
    nginx: Nginx, file: str, source: str, error: str
) -> None:
    """Whatever fails: the old one serves, and finds its own modules."""
    name = "fresh_" + str(BROKEN.index((file, source, error)))
    old, new = f"{name}.mod?,App,old", f"{name}.mod?,App,new"
    write(nginx, name, **app(1))
    assert call(nginx, old, method="") == [True, "1"]
    facts = f"""
        import sys
        result = sorted(
            (n, id(m)) for n, m in sys.modules.items() if "{name}" in n
        )
    """
    before = nginx.python(facts)
    write(nginx, name, **{"near": "VERSION = 2", file: source})
    for _ in range(2):
        err = load(nginx, new)
        assert err
        assert error in err
        assert nginx.python(facts) == before
        assert call(nginx, old, method="") == [True, "1"]
    write(nginx, name, **app(3))
    assert call(nginx, new, method="") == [True, "3"]


def test_what_its_traceback_shows(nginx: Nginx) -> None:
    """The user's files, not ours nor those of the import system."""
    since = len(nginx.log())
    write(nginx, "fresh_tb", **app(1))
    assert load(nginx, "fresh_tb.mod?,App") is None
    write(nginx, "fresh_tb", near="from . import far", far="1 / 0")
    assert load(nginx, "fresh_tb.mod?,App,new")
    nginx.wait_log("ZeroDivisionError: division by zero\n", since)
    log = nginx.log(since)
    for file in ("mod", "near", "far"):
        assert f"fresh_tb/{file}.py" in log
    assert "<resty_ffi" not in log


SWAP = """
    local rt, err = ngx.load_ffi("ffi_python3", "fresh_many.mod?,App,{}")
    if rt then
        local old = package.loaded.current_app
        package.loaded.current_app = rt
        if old then
            old:__unload()
        end
    end
    return err
"""


@pytest.mark.once
def test_hundreds_under_load(nginx: Nginx) -> None:
    """Good ones and bad ones; no call fails, and none of them is kept."""
    stop = threading.Event()
    failed: list[Any] = []

    def use() -> None:
        while not stop.is_set():
            answer = nginx.lua("return package.loaded.current_app()")
            if answer[0] is not True:
                failed.append(answer)

    write(nginx, "fresh_many", **app(0))
    assert nginx.lua(SWAP.format(0)) == [None]
    users = [threading.Thread(target=use) for _ in range(2)]
    for user in users:
        user.start()
    try:
        for number in range(1, 301):
            write(nginx, "fresh_many", near="1 / 0")
            assert "ZeroDivision" in nginx.lua(SWAP.format(number))[0]
            write(nginx, "fresh_many", near=f"VERSION = {number}")
            assert nginx.lua(SWAP.format(number)) == [None]
            if number == 100:
                resident = nginx.resident()
    finally:
        stop.set()
        for user in users:
            user.join(PATIENCE)
    assert not failed
    alive = """
        import gc
        gc.collect()
        modules = [o for o in gc.get_objects() if type(o) is type(gc)]
        result = sum(m.__name__ == "fresh_many.near" for m in modules)
    """
    eventually(lambda: nginx.python(alive) == "1", "old modules are gone")
    assert nginx.resident() < resident + 20 * 1024
