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
                r"call N put to runtime N: 5 bytes, 0 ms$",
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


def test_a_start_that_fails(new_nginx: NewNginx) -> None:
    with new_nginx(main=MAIN) as nginx:
        nginx.lua('assert(not ngx.load_ffi("badinit"))')
        eventually(
            lambda: any(
                re.match(
                    r'runtime N "badinit": init failed: STARTING -> FAILED$',
                    line,
                )
                for line in told(nginx)
            ),
            "it is told",
        )
