# SPDX-License-Identifier: BSD-2-Clause
"""What becomes of WebSockets when their worker leaves."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import unix_connect

from ..checker import SLOWNESS
from ..client import PATIENCE, eventually
from ..python_pass.site import Site

APP = """
import os

async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200})
        return await send({"type": "http.response.body",
                           "body": str(os.getpid()).encode()})
    await receive()
    await send({"type": "websocket.accept"})
    if scope["path"] == "/deaf":
        import asyncio
        await asyncio.sleep(1000)
    while (message := await receive())["type"] != "websocket.disconnect":
        await send({"type": "websocket.send", "text": str(os.getpid())})
    with open("{prefix}/told", "a") as file:
        print(message["code"], file=file)
"""
LOCATION = "location / { python_pass app:app; }"


def site(main: str, workers: int = 1) -> Site:
    it = Site(LOCATION, main=main, workers=workers)
    it.write_python("app.py", APP.replace("{prefix}", str(it.prefix)))
    return it


def connect(site: Site, uri: str = "/", **more: Any) -> Any:
    more = {"open_timeout": PATIENCE, "close_timeout": PATIENCE, **more}
    return unix_connect(str(site.socket), f"ws://x{uri}", **more)


def served_by(ws: Any) -> int:
    ws.send("who")
    return int(ws.recv())


@pytest.mark.valgrind
@pytest.mark.parametrize("how", ["reload", "quit"])
def test_all_are_told(how: str) -> None:
    seconds = 1 + 2 * SLOWNESS
    with site(f"worker_shutdown_timeout {seconds}s;") as nginx:
        old = nginx.worker()
        with contextlib.ExitStack() as stack:
            many = [stack.enter_context(connect(nginx)) for _ in range(20)]
            deaf = stack.enter_context(connect(nginx, "/deaf"))
            assert {served_by(ws) for ws in many} == {old}
            getattr(nginx, how)()
            # they are served on before that
            assert {served_by(ws) for ws in many} == {old}
            for ws in [*many, deaf]:
                with pytest.raises(ConnectionClosed) as closed:
                    ws.recv(60)
                assert closed.value.rcvd is not None
                assert closed.value.rcvd.code == 1012
                assert closed.value.rcvd_then_sent
        told = nginx.prefix / "told"
        eventually(
            lambda: told.exists() and told.read_text() == "1012\n" * 20, "told"
        )
        nginx.wait_gone(old)


@pytest.mark.valgrind
def test_without_a_bound_they_live_on() -> None:
    with site("") as nginx:
        old = nginx.worker()
        with connect(nginx) as ws:
            assert served_by(ws) == old
            nginx.reload()
            eventually(lambda: nginx.text("/") != str(old), "reloaded")
            assert served_by(ws) == old
        nginx.wait_gone(old)
