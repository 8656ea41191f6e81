# SPDX-License-Identifier: BSD-2-Clause
"""What a client of somebody else's sees of a WebSocket."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import unix_connect

from ..client import PATIENCE, eventually
from ..python_pass.site import Site, refused

APP = """
seen = []

async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": str(seen).encode()})
        return
    assert (await receive()) == {"type": "websocket.connect"}
    path = scope["path"]
    if path == "/refuse":
        return await send({"type": "websocket.close"})
    if path == "/deny":
        await send({"type": "websocket.http.response.start", "status": 418,
                    "headers": [(b"x-why", b"tea")]})
        return await send({"type": "websocket.http.response.body",
                           "body": b"no"})
    if path == "/raise":
        raise ValueError("before")
    await send({"type": "websocket.accept",
                "subprotocol": next(iter(scope["subprotocols"]), None),
                "headers": [(b"x-scheme", scope["scheme"].encode())]})
    if path == "/late":
        raise ValueError("behind")
    if path == "/return":
        return
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            seen.append((message["code"], message["reason"]))
            return
        if message.get("text") == "close":
            await send({"type": "websocket.close", "code": 3001,
                        "reason": "bye"})
            try:
                await send({"type": "websocket.send", "text": "more"})
            except OSError as error:
                seen.append(str(error))
        elif message.get("text") == "die":
            raise ValueError("amid")
        else:
            await send({**message, "type": "websocket.send"})
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Site]:
    with Site(
        "location / { python_pass app:app; }", apps={"app.py": APP}
    ) as s:
        yield s


@pytest.fixture
def site(server: Site) -> Iterator[Site]:
    with server.watch():
        yield server


def connect(site: Site, uri: str = "/", **more: Any) -> Any:
    more = {"open_timeout": PATIENCE, "close_timeout": PATIENCE, **more}
    return unix_connect(str(site.socket), f"ws://x{uri}", **more)


@pytest.mark.valgrind
@pytest.mark.parametrize("compression", ["deflate", None])
def test_messages(site: Site, compression: str | None) -> None:
    more: dict[str, Any] = {"max_size": None, "compression": compression}
    with connect(site, subprotocols=["chat", "x"], **more) as ws:
        assert ws.subprotocol == "chat"
        assert ws.response.headers["x-scheme"] == "ws"
        assert bool(ws.protocol.extensions) == bool(compression)
        data: list[str | bytes] = ["", "hi", "ä" * 100, "x" * 70_000]
        for message in [*data, b"", b"\0\xff", bytes(16_384), bytes(300_000)]:
            ws.send(message)
            assert ws.recv() == message
        for message in data:
            ws.send(message)
        assert [ws.recv() for _ in data] == data
        ws.ping().wait(10)


@pytest.mark.valgrind
@pytest.mark.parametrize(
    ("uri", "status"), [("/refuse", 403), ("/deny", 418), ("/raise", 500)]
)
def test_refused(site: Site, uri: str, status: int) -> None:
    with pytest.raises(InvalidStatus) as refused, connect(site, uri):
        pass
    response = refused.value.response
    assert response.status_code == status
    if uri == "/deny":
        assert (response.headers["x-why"], response.body) == ("tea", b"no")


@pytest.mark.valgrind
@pytest.mark.parametrize(
    ("uri", "text", "code"),
    [
        ("/late", "", 1011),
        ("/return", "", 1000),
        ("/", "close", 3001),
        ("/", "die", 1011),
    ],
)
def test_closed_by_the_application(
    site: Site, uri: str, text: str, code: int
) -> None:
    with connect(site, uri) as ws:
        if text:
            ws.send(text)
        with pytest.raises(ConnectionClosed) as closed:
            ws.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == code
    assert closed.value.rcvd_then_sent is True
    if text == "close":
        eventually(lambda: "(3001, 'bye')" in site.text("/"), "told")
        assert "the WebSocket is closed" in site.text("/")


@pytest.mark.valgrind
def test_closed_by_the_client(site: Site) -> None:
    with connect(site) as ws:
        ws.close(4001, "enough")
    eventually(lambda: "(4001, 'enough')" in site.text("/"), "told")
    with connect(site) as ws:
        ws.socket.close()
    eventually(lambda: "(1006, None)" in site.text("/"), "told")


@pytest.mark.valgrind
def test_the_size_of_a_message() -> None:
    with Site(
        "location / { python_pass app:app; }",
        apps={"app.py": APP},
        http="python_websocket_max_size 1k;",
    ) as site:
        for compression in ("deflate", None):
            with connect(site, compression=compression) as ws:
                ws.send("x" * 1024)
                assert ws.recv() == "x" * 1024
                ws.send("x" * 1025)
                with pytest.raises(ConnectionClosed) as closed:
                    ws.recv()
                assert closed.value.rcvd is not None
                assert closed.value.rcvd.code == 1009


@pytest.mark.parametrize("size", ["0", "1025m", "x"])
def test_a_size_that_cannot_be(size: str) -> None:
    said = refused(
        "location / { python_pass app:app; }",
        http=f"python_websocket_max_size {size};",
    )
    assert "python_websocket_max_size" in said


@pytest.mark.parametrize(
    "offers",
    [
        *(";", ",", ";;,;", "=", "a;b=,"),
        *("permessage-deflate; =", 'permessage-deflate; x="', '"', "a;;"),
        *("permessage-deflate; server_max_window_bits=8", "\xe4"),
    ],
)
def test_offers_that_are_none(site: Site, offers: str) -> None:
    """They are no fault of the application's."""
    more = {"Sec-WebSocket-Extensions": offers}
    with connect(site, compression=None, additional_headers=more) as ws:
        ws.send("hi")
        assert ws.recv() == "hi"
