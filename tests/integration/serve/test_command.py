# SPDX-License-Identifier: BSD-2-Clause
"""python -m resty_ffi tells what ngx.load_ffi would say."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from ..nginx import HERE, ROOT, Nginx
from .calls import APPS, load, unload

SOURCES = {
    "cmd_raises": "raise ValueError('two\\nlines')",
    "cmd_exits": "import sys; sys.exit(3)",
    "cmd_syntax": "def f(:",
    "cmd_int": "answer = 42",
    "cmd_absent": "import absent",
    "cmd_surrogate": "raise ValueError('\\udcff')",
    "cmd_misused": (
        "from resty_ffi import serve\n@serve(threads=0)\ndef f(request): ...\n"
    ),
    "cmd_yields": (
        "from resty_ffi import serve\n@serve(threads=2)\n"
        "async def f(request): yield b''\n"
    ),
    "cmd_unmarked": "def f(request): return request\n",
    "cmd_loop": "from evaluate import init\n",
}


def command(nginx: Nginx, cfg: str) -> tuple[int, str, str]:
    path = [ROOT / "python", HERE / "python", nginx.python_dir, APPS]
    done = subprocess.run(
        [sys.executable, "-m", "resty_ffi", cfg],
        cwd=nginx.prefix,
        env={**os.environ, "PYTHONPATH": ":".join(map(str, path))},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def without_addresses(text: str) -> str:
    return re.sub(r"0x[0-9a-f]+", "0x", text)


@pytest.fixture(autouse=True, scope="module")
def _modules(server: Nginx) -> None:
    for name, source in SOURCES.items():
        server.write_python(f"{name}.py", source)


@pytest.mark.parametrize(
    "cfg",
    [
        "",
        "no comma",
        ",function",
        "module,",
        "?,function",
        "x,init",
        "json.nope,init",
        "/,init",
        "kinds,nope",
        "kinds?,nope",
        "cmd_raises,f",
        "cmd_raises?,f",
        "cmd_exits,f",
        "cmd_syntax,f",
        "cmd_int,answer",
        "cmd_int,__name__",
        "cmd_absent,f",
        "cmd_surrogate,f",
        "cmd_misused,f",
        "cmd_yields,f",
        "cmd_unmarked,f",
    ],
)
def test_the_same_error(nginx: Nginx, cfg: str) -> None:
    err = load(nginx, cfg)
    assert err is not None
    code, out, told = command(nginx, cfg)
    assert code == 1
    assert out == ""
    first = told.encode().decode("latin-1").splitlines()[0]
    assert without_addresses(first) == without_addresses(err)


@pytest.mark.parametrize(
    "cfg",
    [
        "kinds,upper",
        "kinds?,upper",
        "kinds,fetch",
        'kinds,Cache,{"size": 1}',
        "kinds,Mixed",
        "kinds,Plain",
        "cmd_loop,init",
        f"{APPS}/kinds,upper",
    ],
)
def test_what_loads(nginx: Nginx, cfg: str) -> None:
    assert load(nginx, cfg) is None
    code, out, told = command(nginx, cfg)
    assert (code, told) == (0, "")
    assert "loads" in out
    unload(nginx, cfg)
