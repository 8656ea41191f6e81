# SPDX-License-Identifier: BSD-2-Clause
"""ffi_slow_time: what slow calls do, and what has failed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .client import eventually
from .conftest import NewNginx
from .nginx import Nginx
from .status import ZONE, report

pytestmark = pytest.mark.valgrind

APP = """
import asyncio
import time
from resty_ffi import Error, serve

def blocks(seconds):
    time.sleep(seconds)

async def waits(seconds):
    await asyncio.sleep(seconds)

@serve(threads=2)
class Threads:
    def call(self, request):
        blocks(float(request))
        return b"done"

    def fail(self, request):
        raise Error(3, b"because <of> that")

    def parts(self, request):
        yield b"first"
        time.sleep(float(request))

@serve
class Loop:
    async def call(self, request):
        await waits(float(request))
        return b"done"

    async def blocked(self, request):
        blocks(float(request))
        return b"done"

    async def generate(self, request):
        await waits(float(request))
        yield b"done"

    def beside(self, request):
        blocks(float(request))
        return b"done"
"""

SERVER = """
    location = /status { ffi_status; }
    location = /full { allow unix:; deny all; ffi_status full; }
    location = /web { python_pass web:app; }
"""

WEB = """
import asyncio

async def inner():
    await asyncio.sleep(0.6)

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        raise RuntimeError
    await inner()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"done"})
"""

LOAD = """
local function load(name)
    return assert(ngx.load_ffi("ffi_python3", "app," .. name))
end
"""


@pytest.fixture(scope="module")
def server(new_nginx: NewNginx) -> Iterator[Nginx]:
    http = ZONE + "ffi_slow_time 200ms; python_path {prefix}/python;"
    with new_nginx(http=http) as nginx:
        nginx.write_python("app.py", APP)
        nginx.write_python("web.py", WEB)
        nginx.conf.write_text(
            nginx.conf.read_text().replace(
                "location = /ping", SERVER + "location = /ping"
            )
        )
        nginx.reload()
        nginx.wait_log("exited with code 0")
        nginx._pids = nginx.worker_pids()
        yield nginx


def records(nginx: Nginx, kind: str = "slow") -> list[dict[str, Any]]:
    found = report(nginx, "/full")[kind]
    assert isinstance(found, list)
    return found


def described(nginx: Nginx, before: int, method: str) -> str:
    """The text of the one new record."""
    (new,) = eventually(
        lambda: [
            r
            for r in records(nginx)[: len(records(nginx)) - before]
            if r["text"]
        ],
        "a record",
    )
    assert new["method"] == method
    assert 0.2 < new["seconds"] < 5
    assert new["pid"] == nginx.worker()
    text = new["text"]
    assert isinstance(text, str)
    return text


@pytest.mark.parametrize(
    ("runtime", "method", "where"),
    [
        ("Threads", "call", "in blocks"),
        ("Loop", "call", "in waits"),
        ("Loop", "blocked", "in blocks"),
        ("Loop", "generate", "in waits"),
        ("Loop", "beside", "in blocks"),
    ],
)
def test_a_slow_call(
    nginx: Nginx, runtime: str, method: str, where: str
) -> None:
    """Its record has the stack, and error.log one line."""
    before, since = len(records(nginx)), len(nginx.log())
    said = nginx.lua(f'{LOAD} return load("{runtime}"):{method}("0.6")')
    assert said == [True, "done"]
    text = described(nginx, before, method)
    assert where in text
    assert f"in {method}\n" in text
    assert "resty_ffi/" not in text
    pattern = (
        rf'ffi: slow: "app\.{runtime}" has worked on "{method}" for \d+ ms: '
        rf'File ".+", line \d+, in \w+'
    )
    nginx.wait_log(pattern, since)
    assert nginx.count_log("ffi: slow", since) == 1


def test_a_slow_web_request(nginx: Nginx) -> None:
    before = len(records(nginx))
    assert nginx.get("/web").text == "done"
    assert "in inner" in described(nginx, before, "GET")


def test_quick_calls_are_not_slow(nginx: Nginx) -> None:
    before = len(records(nginx))
    nginx.lua(f'{LOAD} for i = 1, 20 do load("Threads"):call("0.02") end')
    assert len(records(nginx)) == before


def test_what_has_sent_a_part_is_not_slow(nginx: Nginx) -> None:
    before = len(records(nginx))
    nginx.lua(f'{LOAD} load("Threads"):parts("0.5")')
    assert len(records(nginx)) == before


def test_a_call_that_waits_in_the_queue(nginx: Nginx) -> None:
    before = len(records(nginx))
    nginx.lua(
        f"""{LOAD}
        local rt, calls = load("Threads"), {{}}
        for i = 1, 4 do
            calls[i] = ngx.thread.spawn(rt.call, rt, "0.6")
        end
        for i = 1, 4 do ngx.thread.wait(calls[i]) end
        """
    )
    texts = eventually(
        lambda: (
            len(t := [r["text"] for r in records(nginx)]) >= before + 4
            and all(t)
            and t[: len(t) - before]
        ),
        "four records",
    )
    assert texts
    assert "waits in the queue" in " ".join(texts)


def test_a_runtime_that_cannot_tell(nginx: Nginx) -> None:
    """One in C: its record says that it runs."""
    before = len(records(nginx))
    nginx.lua(
        """
        local probe = require "probe"
        local rt = probe.load("slow")
        rt:gate("gate", { timeout = 400 })
        probe.open_gate()
        """
    )
    assert described(nginx, before, "gate") == "runs"


def test_errors(nginx: Nginx) -> None:
    before = len(records(nginx, "errors"))
    nginx.lua(f'{LOAD} load("Threads"):fail("x")')
    first, *rest = records(nginx, "errors")
    assert len(rest) == before
    assert first["text"] == "because <of> that"
    assert (first["runtime"], first["method"]) == ("app.Threads", "fail")


def test_floods_of_errors_are_bounded(nginx: Nginx) -> None:
    nginx.lua(f'{LOAD} for i = 1, 200 do load("Threads"):fail("x") end')
    assert 1 <= len(records(nginx, "errors")) <= 32


def test_only_full_shows_them(nginx: Nginx) -> None:
    said = report(nginx)
    assert "slow" not in said
    assert "errors" not in said
    assert "because" not in nginx.get("/status?format=json").text


@pytest.mark.parametrize(
    ("http", "text"),
    [
        ("ffi_slow_time 1s;", "needs"),
        (ZONE + "ffi_slow_time x;", "invalid value"),
        (ZONE + "ffi_slow_time 1s; ffi_slow_time 1s;", "is duplicate"),
    ],
)
def test_bad_configurations(new_nginx: NewNginx, http: str, text: str) -> None:
    good, said = new_nginx(http=http).test_configuration()
    assert not good
    assert text in said, said


def test_a_small_zone_has_calls_without_records(new_nginx: NewNginx) -> None:
    http = "ffi_status_zone x 160k; ffi_slow_time 60ms;"
    with new_nginx(http=http, server=SERVER.split("location = /web")[0]) as ng:
        ng.write_python("app.py", APP)
        ng.lua(
            f"""{LOAD}
            local rt, calls = load("Loop"), {{}}
            for i = 1, 100 do
                local name = "call"
                calls[i] = ngx.thread.spawn(rt.call, rt, "0.3")
            end
            for i = 1, 100 do ngx.thread.wait(calls[i]) end
            """
        )
        (rt,) = report(ng)["runtimes"]
        assert rt["ok"] == 100
        assert ng.count_log('ffi: slow: "app.Loop" has worked on "call"') > 5


def test_a_zone_without_room_has_lines(
    new_nginx: NewNginx, libs: Path
) -> None:
    http = "ffi_status_zone x 112k; ffi_slow_time 60ms;"
    with new_nginx(http=http, server=SERVER.split("location = /web")[0]) as ng:
        ng.write_python("app.py", APP)
        for i in range(3):
            copy = ng.prefix / f"libmany{i}.so"
            shutil.copy(libs / "libprobe.so", copy)
            ng.lua(
                f"""
                local rt = assert(ngx.load_ffi("{copy}"))
                for i = 1, 40 do assert(rt["m" .. i](rt, "x")) end
                """
            )
        assert report(ng)["zone"]["full"] > 0
        ng.lua(f'{LOAD} load("Loop"):call("0.3")')
        ng.wait_log("ffi: slow: .* in ")
