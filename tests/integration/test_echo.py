# SPDX-License-Identifier: BSD-2-Clause
"""ffi.echo answers each request with itself."""

from __future__ import annotations

import pytest

from .client import lua_string
from .nginx import Nginx

LOAD = 'assert(ngx.load_ffi("ffi_python3", "ffi.echo,init"))'
SHORT = 'assert(ngx.load_ffi("ffi_python3", "ffi.echo,echo"))'


@pytest.mark.parametrize("load", [LOAD, SHORT], ids=["init", "echo"])
@pytest.mark.parametrize(
    "request_",
    [b"hello", b"", b"\0", b"a\0b\0", bytes(range(256)), b"\xff\xfe"],
    ids=["text", "empty", "nul", "inner-nul", "all", "no-utf-8"],
)
def test_bytes(nginx: Nginx, load: str, request_: bytes) -> None:
    code = f"return {load}:echo({lua_string(request_)})"
    assert nginx.lua(code) == [True, request_.decode("latin-1")]


def test_nil(nginx: Nginx) -> None:
    assert nginx.lua(f"return {LOAD}:echo(nil)") == [True, None]


def test_large(nginx: Nginx) -> None:
    code = f"""
        local request = ("0123456\\0"):rep(8 * 1024 * 1024)
        local ok, response = {LOAD}:echo(request)
        return ok, response == request, #response
    """
    assert nginx.lua(code) == [True, True, 64 * 1024 * 1024]


def test_goes_on_after_an_exception(nginx: Nginx) -> None:
    nginx.write_python(
        "echo_that_fails.py",
        """
from ffi import echo

def answer(request):
    if request == b"fail":
        raise RuntimeError("on purpose")
    return request

init = echo.init
echo.answer = answer
""",
    )
    code = """
        local echo = assert(ngx.load_ffi("ffi_python3",
                                         "echo_that_fails,init"))
        local failed = {echo:call("fail")}
        return failed, {echo:call("next")}
    """
    since = len(nginx.log())
    assert nginx.lua(code) == [[False, 1], [True, "next"]]
    nginx.wait_log("RuntimeError: on purpose", since)
