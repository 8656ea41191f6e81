# SPDX-License-Identifier: BSD-2-Clause
"""Calls to what apps/ serves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..client import lua_string
from ..nginx import Nginx

APPS = Path(__file__).resolve().parent / "apps"

SETTINGS: dict[str, Any] = {
    "python_path": [APPS],
    "http": "ffi_exit_timeout 1s;",
    "server": """
        location = /abort {
            lua_check_client_abort on;
            content_by_lua_block { require("harness").run() }
        }
        location = /hasty {
            ffi_load_timeout 100ms;
            content_by_lua_block { require("harness").run() }
        }
        location = /raw {
            content_by_lua_block {
                ngx.req.read_body()
                assert(loadstring(ngx.req.get_body_data()))()
            }
        }
    """,
}


def loaded(cfg: str, opts: str = "nil") -> str:
    """A Lua expression: the runtime of a cfg."""
    return f'assert(ngx.load_ffi("ffi_python3", {lua_string(cfg)}, {opts}))'


def load(
    nginx: Nginx, cfg: str, opts: str = "nil", *, uri: str = "/lua"
) -> str | None:
    """The error, None where it loads."""
    rt, *rest = nginx.lua(
        f'return ngx.load_ffi("ffi_python3", {lua_string(cfg)}, {opts})', uri
    )
    if rt is not None:
        return None
    assert isinstance(rest[0], str)
    return rest[0]


def call(
    nginx: Nginx,
    cfg: str,
    request: str | bytes | None = None,
    *,
    method: str = "any",
    timeout: int | None = None,
) -> list[Any]:
    """What a call returns in Lua; strings are latin-1."""
    body = "nil" if request is None else lua_string(request)
    opts = "nil" if timeout is None else f"{{ timeout = {timeout} }}"
    if method == "":
        return nginx.lua(f"return {loaded(cfg)}({body}, {opts})")
    name = lua_string(method)
    return nginx.lua(
        f"local rt = {loaded(cfg)} return rt[{name}](rt, {body}, {opts})"
    )


def at_once(cfg: str, number: int, method: str = "any") -> str:
    """Lua code: `all`, what so many calls at a time return."""
    return f"""
        local rt, threads, all = {loaded(cfg)}, {{}}, {{}}
        for i = 1, {number} do
            threads[i] = ngx.thread.spawn(rt.{method}, rt, tostring(i))
        end
        for i = 1, {number} do
            local _, ok, res, err = ngx.thread.wait(threads[i])
            all[i] = {{ ok, res, err }}
        end
    """


def unload(nginx: Nginx, cfg: str) -> None:
    assert nginx.lua(f"return {loaded(cfg)}:__unload()") == [True]
