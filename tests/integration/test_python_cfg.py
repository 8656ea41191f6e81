# SPDX-License-Identifier: BSD-2-Clause
"""The grammar of the loader's cfg, as Lua sees it."""

from __future__ import annotations

import pytest

from .client import lua_string
from .nginx import Nginx

MALFORMED = 'ffi_python3: cfg must be "module,function[,config]": '

SAYS = """
import ctypes, os, sys
def f(cfg, tq):
    raise ValueError(ctypes.string_at(cfg) if cfg else None)
def path(cfg, tq):
    raise ValueError(os.path.basename(sys.path[0]))
"""


def load(nginx: Nginx, cfg: bytes) -> object:
    """The error."""
    rt, err = nginx.lua(
        f'return ngx.load_ffi("ffi_python3", {lua_string(cfg)})'
    )
    assert rt is None
    return err


@pytest.fixture(autouse=True, scope="module")
def _modules(server: Nginx) -> None:
    server.write_python("says.py", SAYS)
    (server.python_dir / "here").mkdir()
    server.write_python("here/there.py", SAYS)


@pytest.mark.parametrize(
    ("cfg", "error"),
    [
        (b"", MALFORMED + "it is empty"),
        (b"says", MALFORMED + "it has no comma"),
        (b"says?", MALFORMED + "it has no comma"),
        (b"\xff", MALFORMED + "it has no comma"),
        (b",", MALFORMED + "its module is empty"),
        (b",f", MALFORMED + "its module is empty"),
        (b"?,f", MALFORMED + "its module is empty"),
        (b"?,", MALFORMED + "its module is empty"),
        (b"/,f", MALFORMED + "its module is empty"),
        (b"/srv/,f", MALFORMED + "its module is empty"),
        (b"/srv/?,f", MALFORMED + "its module is empty"),
        (b"\xff/,f", MALFORMED + "its module is empty"),
        (b"says,", MALFORMED + "its function is empty"),
        (b"says,,config", MALFORMED + "its function is empty"),
        (b"\xff,,config", MALFORMED + "its function is empty"),
        (b"says\0,f", "cfg must not contain NUL bytes"),
        (b"says,f,\0", "cfg must not contain NUL bytes"),
        (b"\xff,f", "ffi_python3: internal error: see error.log"),
        (b"says,\xff", "ffi_python3: internal error: see error.log"),
        (b"/\xff/says,f", "ffi_python3: internal error: see error.log"),
    ],
)
def test_malformed(nginx: Nginx, cfg: bytes, error: str) -> None:
    assert load(nginx, cfg) == error


@pytest.mark.parametrize(
    ("cfg", "said"),
    [
        (b"says,f", "says.f: ValueError: None"),
        (b"says?,f", "says.f: ValueError: None"),
        (b"says,f,", "says.f: ValueError: b''"),
        (b"says,f,,", "says.f: ValueError: b','"),
        (b"says,f,a,b/c?,", "says.f: ValueError: b'a,b/c?,'"),
        (b"says,f, \xff\n", r"says.f: ValueError: b' \xff\n'"),
        (b"says,path,x", "says.path: ValueError: python"),
        (b"{path}/here/there,path", "there.path: ValueError: here"),
        (b"{path}/here//there,path", "there.path: ValueError: here"),
        (b"{path}//here///there?,path", "there.path: ValueError: here"),
        (
            b"{path}/h,ere/there,path",
            "h: ModuleNotFoundError: No module named 'h'",
        ),
        (b" says,f", " says: ModuleNotFoundError: No module named ' says'"),
        (
            b"says, f",
            "says: AttributeError: module 'says' has no attribute ' f'",
        ),
        (
            b"says??,f",
            "says?: ModuleNotFoundError: No module named 'says?'",
        ),
        (
            b"/absent,f",
            "absent: ModuleNotFoundError: No module named 'absent'",
        ),
        (
            b"caf\xc3\xa9,f",
            "caf\xc3\xa9: ModuleNotFoundError: No module named 'caf\xc3\xa9'",
        ),
    ],
)
def test_what_it_names(nginx: Nginx, cfg: bytes, said: str) -> None:
    folder = str(nginx.python_dir).encode()
    cfg = cfg.replace(b"{path}", folder)
    assert load(nginx, cfg) == f"ffi_python3: {said}"


def test_nil(nginx: Nginx) -> None:
    rt, err = nginx.lua('return ngx.load_ffi("ffi_python3")')
    assert (rt, err) == (None, MALFORMED + "it is nil")
