# SPDX-License-Identifier: BSD-2-Clause
"""What error_log's level debug tells of one call, from load to exit."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Sequence

import pytest

from .client import eventually
from .conftest import NewNginx
from .nginx import NGINX_BIN, Nginx

CONFIGURED = subprocess.run(
    [NGINX_BIN, "-V"], capture_output=True, text=True, check=True
).stderr

pytestmark = pytest.mark.skipif(
    "--with-debug" not in CONFIGURED, reason="nginx is built without debug"
)

MAIN = "error_log {prefix}/debug.log debug;"


def told(nginx: Nginx) -> list[str]:
    """What our lines say, in order, without the numbers of the run."""
    text = (nginx.prefix / "debug.log").read_text(errors="replace")
    lines = re.findall(r"\[debug\] .*?lua ffi: (.*)", text)
    return [re.sub(r"\b([0-9A-F]{16}|\d{5,})\b", "N", line) for line in lines]


def of(lines: list[str]) -> list[str]:
    """What happens to runtimes."""
    return [line for line in lines if line.startswith("runtime ")]


def in_order(wanted: Sequence[str], lines: list[str]) -> None:
    rest = iter(lines)
    for pattern in wanted:
        assert any(re.match(pattern, line) for line in rest), (
            f"{pattern!r} is not in its place in",
            lines,
        )


def test_one_call(new_nginx: NewNginx) -> None:
    with new_nginx(main=MAIN) as nginx:
        assert nginx.lua(
            """
            local rt = require("probe").load("seen")
            local ok, res = rt:call("hello")
            rt:__unload()
            return res
            """
        ) == ["hello"]
        in_order(
            [
                r'load "probe", id 0$',
                r'runtime N "probe": started: STARTING -> READY$',
                r"call N put to runtime N: 0 ms$",
                r"wake for 1 calls, [01] wait$",
                r"notified$",
                r"call N answered: status 0, 5 bytes$",
                r"call N taken by Lua$",
                r'runtime N "probe": unload: READY -> UNLOADED$',
            ],
            told(nginx),
        )
        # what is left of it is given back by a later load
        nginx.lua(
            """
            local probe = require "probe"
            probe.wait("threads", 0)
            probe.load("later")
            """
        )
        in_order(
            [
                r'runtime N "probe": release: UNLOADED -> RELEASED$',
                r'load "probe", id \d+$',
            ],
            told(nginx),
        )
        worker = nginx.worker()
        nginx.reload()
        nginx.wait_gone(worker)
        in_order(
            [
                r"quit, waits end after 5000 and 0 ms$",
                r'runtime N "probe": unload: READY -> UNLOADED$',
            ],
            told(nginx),
        )
        nginx.signal(signal.SIGQUIT)
        nginx.wait()


def test_a_call_without_an_answer(new_nginx: NewNginx) -> None:
    with new_nginx(main=MAIN) as nginx:
        nginx.lua(
            """
            local rt = require("probe").load("held")
            assert(select(2, rt:call("hold", { timeout = 10 })) == "timeout")
            """
        )
        in_order(
            [r"call N put to .* 10 ms$", r"call N cancelled: timeout$"],
            told(nginx),
        )


@pytest.mark.parametrize(
    ("cfg", "error", "arrows"),
    [
        ("-0", None, ["started: STARTING -> READY"]),
        ("-1", "returned 1", ["init failed: STARTING -> FAILED"]),
        (
            "y0",
            None,
            ["started: STARTING -> READY", "started: READY -> READY"],
        ),
        (
            "y1",
            "returned 1",
            ["started: STARTING -> READY", "init failed: READY -> FAILED"],
        ),
        (
            "n0",
            "returned 0",
            [
                "start failed: STARTING -> FAILED",
                "init failed: FAILED -> FAILED",
            ],
        ),
        (
            "n1",
            "returned 1",
            [
                "start failed: STARTING -> FAILED",
                "init failed: FAILED -> FAILED",
            ],
        ),
    ],
)
def test_starts(
    new_nginx: NewNginx, cfg: str, error: str | None, arrows: list[str]
) -> None:
    """A report that is made in libffi_init, and what that returns."""
    load = f'local rt, err = ngx.load_ffi("starts", "{cfg}")'
    with new_nginx(main=MAIN) as nginx:
        values = nginx.lua(
            f"{load} return rt and select(2, rt:call()) or err, rt ~= nil"
        )
        if error:
            assert values == [f"starts: libffi_init {error}", False]
        else:
            assert values == ["started", True]
        lines = told(nginx)
        in_order([f'runtime N "starts": {arrow}$' for arrow in arrows], lines)
        assert sum("orphaned" not in line for line in of(lines)) == len(arrows)
        # it is given back where it is used no more
        nginx.lua(f"{load} if rt then rt:__unload() end")

        def released() -> bool:
            nginx.lua('assert(ngx.load_ffi("probe", tostring(ngx.now())))')
            return any("-> RELEASED" in line for line in told(nginx))

        eventually(released, "it is released")


def test_an_unload_during_a_start(new_nginx: NewNginx) -> None:
    with new_nginx(main=MAIN) as nginx:
        go = nginx.prefix / "go"
        go.touch()
        rt = f'local rt = assert(ngx.load_ffi("async", "ok {go}"))'
        nginx.lua(rt)
        go.unlink()
        assert nginx.lua(
            f"""
            {rt}
            local thread = ngx.thread.spawn(rt.__reload, rt)
            rt:__unload()
            return select(2, ngx.thread.wait(thread))
            """
        ) == [None, "task queue is finished"]
        go.touch()
        nginx.wait_log("under way.*(.|\\n)*under way")
        eventually(
            lambda: "started: UNLOADED -> UNLOADED" in str(told(nginx)),
            "it is told",
        )
        in_order(
            [
                'reload "async", id 0$',
                'runtime N "async": unload: STARTING -> UNLOADED$',
                'runtime N "async": unload: READY -> UNLOADED$',
                'runtime N "async": started: UNLOADED -> UNLOADED$',
            ],
            told(nginx),
        )
