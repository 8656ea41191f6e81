# SPDX-License-Identifier: BSD-2-Clause
"""Clients that others have written: websockets' and picows'."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import picows
import pytest
import websockets.asyncio.client as client
from websockets.exceptions import ConnectionClosed, InvalidStatus

from ..client import PATIENCE
from .site import Site

MANY = 100
LARGE = 3 << 20


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, PATIENCE))


# ---- websockets


def connect(site: Site, path: str = "/echo?clients", **more: Any) -> Any:
    uri = f"ws://localhost{path}"
    return client.connect(uri, sock=site.connect(), **more)


@pytest.mark.valgrind
@pytest.mark.parametrize("compression", ["deflate", None])
def test_websockets_text_and_bytes(
    site: Site, compression: str | None
) -> None:
    async def main() -> None:
        async with connect(site, compression=compression) as ws:
            names = [it.name for it in ws.protocol.extensions]
            assert names == ["permessage-deflate"] * bool(compression)
            for sent in ("", "text", "\u00e4\U0001f600" * 99, b"", b"\0\xff"):
                await ws.send(sent)
                assert await ws.recv() == sent

    run(main())


@pytest.mark.parametrize("compression", ["deflate", None])
def test_websockets_large_and_in_fragments(
    site: Site, compression: str | None
) -> None:
    async def main() -> None:
        more: Any = {"compression": compression, "max_size": LARGE}
        async with connect(site, **more) as ws:
            for sent in ("t" * LARGE, bytes(range(256)) * (LARGE // 256)):
                await ws.send(sent)
                assert (await ws.recv() == sent) is True
            await ws.send(["a", "", "b" * 70_000, "c"])
            assert (await ws.recv() == "a" + "b" * 70_000 + "c") is True

    run(main())


@pytest.mark.parametrize(
    ("offered", "chosen"), [(["a"], "a"), (["chat.v1", "chat.v2"], "chat.v2")]
)
def test_websockets_subprotocol(
    site: Site, offered: list[Any], chosen: str
) -> None:
    async def main() -> None:
        async with connect(site, "/last-protocol", subprotocols=offered) as ws:
            assert ws.subprotocol == chosen

    run(main())


def test_websockets_headers(site: Site) -> None:
    async def main() -> None:
        async with connect(site, "/headers") as ws:
            headers = ws.response.headers
            assert headers["X-A"] == "b"
            assert headers.get_all("Set-Cookie") == ["c=1", "d=2"]

    run(main())


@pytest.mark.parametrize(
    ("said", "code", "reason"),
    [
        ("", 1000, ""),
        ("1000,done", 1000, "done"),
        ("1001", 1001, ""),
        ("3000,\u00fc" + "r" * 121, 3000, "\u00fc" + "r" * 121),
        ("4999", 4999, ""),
    ],
)
def test_websockets_closed_by_the_application(
    site: Site, said: str, code: int, reason: str
) -> None:
    async def main() -> None:
        path = f"/closes?{said}" if said.isascii() else ""
        async with connect(site, path or f"/closes?{code}") as ws:
            with pytest.raises(ConnectionClosed) as caught:
                await ws.recv()
        assert caught.value.rcvd
        assert caught.value.rcvd.code == code
        if said.isascii():
            assert caught.value.rcvd.reason == reason

    run(main())


@pytest.mark.parametrize(
    ("code", "reason"), [(1000, ""), (1001, "away"), (3999, "r" * 123)]
)
def test_websockets_closes(site: Site, code: int, reason: str) -> None:
    key = f"closes-{code}"

    async def main() -> None:
        async with connect(site, f"/echo?{key}") as ws:
            await ws.close(code, reason)
            assert ws.close_code == code

    run(main())
    site.wait_notes(key, [code, reason])


def test_websockets_pings(site: Site) -> None:
    async def main() -> None:
        async with connect(site) as ws:
            for payload in (b"", b"p" * 125):
                await asyncio.wait_for(await ws.ping(payload), PATIENCE)

    run(main())


@pytest.mark.parametrize("path", ["/refuses?r", "/raises-early"])
def test_websockets_refused(site: Site, path: str) -> None:
    async def main() -> None:
        with pytest.raises(InvalidStatus) as caught:
            async with connect(site, path):
                pass
        status = 500 if "raises" in path else 403
        assert caught.value.response.status_code == status

    run(main())


def test_websockets_pushes_and_echoes(site: Site) -> None:
    """An application sends and receives at the same time."""

    async def main() -> None:
        async with connect(site, "/in-tasks?tasks") as ws:
            echoes = [f"mine {i}" for i in range(100)]
            for words in echoes:
                await ws.send(words)
            came = [await ws.recv() for _ in range(200)]
        pushes = [f"push {i}" for i in range(100)]
        assert [it for it in came if it in pushes] == pushes
        assert [it for it in came if it not in pushes] == echoes

    run(main())


def test_websockets_many_at_once(site: Site) -> None:
    async def one(number: int) -> None:
        compression = "deflate" if number % 2 else None
        async with connect(site, compression=compression) as ws:
            for i in range(20):
                sent = f"{number} {i} " * (number * 7)
                await ws.send(sent)
                assert await ws.recv() == sent

    async def main() -> None:
        await asyncio.gather(*map(one, range(MANY)))

    run(main())


# ---- picows


class Listener(picows.WSListener):
    def __init__(self) -> None:
        self.came: asyncio.Queue[tuple[Any, bytes, int, str | None]] = (
            asyncio.Queue()
        )

    def on_ws_frame(self, transport: Any, frame: Any) -> None:
        kind = frame.msg_type
        code, reason = 0, None
        if kind == picows.WSMsgType.CLOSE:
            code = int(frame.get_close_code())
            reason = frame.get_close_reason()
            transport.send_close(code)
            transport.disconnect()
        data = frame.get_payload_as_bytes()
        self.came.put_nowait((kind, data, code, reason))


@asynccontextmanager
async def picows_client(
    site: Site, path: str = "/echo?picows", **more: Any
) -> AsyncIterator[tuple[Any, Listener]]:
    uri = f"ws://127.0.0.1:{site.port}{path}"
    listener = Listener()
    transport, _ = await picows.ws_connect(lambda: listener, uri, **more)
    try:
        yield transport, listener
    finally:
        transport.disconnect()
        await transport.wait_disconnected()


def test_picows_text_bytes_and_pings(site: Site) -> None:
    async def main() -> None:
        async with picows_client(site) as (transport, listener):
            sent = [
                (picows.WSMsgType.TEXT, "\u00e4".encode()),
                (picows.WSMsgType.BINARY, b""),
                (picows.WSMsgType.BINARY, bytes(range(256)) * 4000),
            ]
            for kind, data in sent:
                transport.send(kind, data)
                assert (await listener.came.get())[:2] == (kind, data)
            transport.send_ping(b"ping")
            pong = (await listener.came.get())[:2]
            assert pong == (picows.WSMsgType.PONG, b"ping")
            transport.send_close(picows.WSCloseCode.GOING_AWAY, b"away")
            assert (await listener.came.get())[2] == 1001

    run(main())
    site.wait_notes("picows", [1001, "away"])


def test_picows_closed_by_the_application(site: Site) -> None:
    async def main() -> None:
        async with picows_client(site, "/closes?4000,why") as (_, listener):
            assert (await listener.came.get())[2:] == (4000, "why")

    run(main())


def test_picows_refused(site: Site) -> None:
    async def main() -> None:
        with pytest.raises(picows.WSError):
            async with picows_client(site, "/refuses?p"):
                pass

    run(main())


def test_picows_many_at_once(site: Site) -> None:
    async def one(number: int) -> None:
        async with picows_client(site, "/echo?many") as (transport, listener):
            for i in range(20):
                data = f"{number} {i} ".encode() * (number * 7)
                transport.send(picows.WSMsgType.BINARY, data)
                assert (await listener.came.get())[1] == data

    async def main() -> None:
        await asyncio.gather(*map(one, range(MANY)))

    run(main())
