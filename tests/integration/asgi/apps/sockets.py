# SPDX-License-Identifier: BSD-2-Clause
"""WebSockets whose paths are the cases of tests; HTTP is that of cases.py."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import unquote

import cases
from cases import GATE, NOTES, Case, Message, Receive, Scope, Send, note

SOCKETS: dict[str, Case] = {}


def socket(function: Case) -> Case:
    SOCKETS["/" + function.__name__.strip("_").replace("_", "-")] = function
    return function


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "websocket":
        await cases.app(scope, receive, send)
        return
    await SOCKETS[scope["path"]](scope, receive, send)


async def accept(receive: Receive, send: Send, **more: Any) -> None:
    message = await receive()
    assert message == {"type": "websocket.connect"}, message
    await send({"type": "websocket.accept", **more})


async def text(send: Send, words: str) -> None:
    await send({"type": "websocket.send", "text": words})


async def tries(scope: Scope, send: Send, message: Message) -> None:
    """Notes what it raises, or None."""
    try:
        await send(message)
    except Exception as error:
        # whose class is OSError's, or a bug's
        kind = "OSError" if isinstance(error, OSError) else "bug"
        note(scope, kind)
    else:
        note(scope, None)


async def until_end(scope: Scope, receive: Receive) -> None:
    while (message := await receive())["type"] != "websocket.disconnect":
        pass
    ends(scope, message)


def ends(scope: Scope, message: Message) -> None:
    """Notes how, where there is a query."""
    if cases.query(scope):
        note(scope, [message["code"], message.get("reason") or ""])


# ---- what is well


async def returned(scope: Scope, receive: Receive, send: Send) -> None:
    """To who sends it."""
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            ends(scope, message)
            return
        assert message["type"] == "websocket.receive"
        if message.get("text") is not None:
            assert message.get("bytes") is None
            await send({"type": "websocket.send", "text": message["text"]})
        else:
            await send({"type": "websocket.send", "bytes": message["bytes"]})


@socket
async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(receive, send)
    await returned(scope, receive, send)


@socket
async def last_protocol(scope: Scope, receive: Receive, send: Send) -> None:
    """Of those that are offered; then an echo."""
    await accept(receive, send, subprotocol=scope["subprotocols"][-1])
    await returned(scope, receive, send)


@socket
async def headers(scope: Scope, receive: Receive, send: Send) -> None:
    pairs = [(b"x-a", b"b"), (b"set-cookie", b"c=1"), (b"set-cookie", b"d=2")]
    await accept(receive, send, headers=pairs)
    await returned(scope, receive, send)


@socket
async def scopes(scope: Scope, receive: Receive, send: Send) -> None:
    """A scope, as JSON; bytes are Latin-1."""
    await accept(receive, send)
    plain = {key: value for key, value in scope.items() if key != "state"}
    await text(
        send, json.dumps(plain, default=lambda it: it.decode("latin-1"))
    )
    await returned(scope, receive, send)


@socket
async def closes(scope: Scope, receive: Receive, send: Send) -> None:
    """The query: a code, a comma, and a reason."""
    code, _, reason = unquote(cases.query(scope)).partition(",")
    await accept(receive, send)
    message: Message = {"type": "websocket.close"}
    if code:
        message["code"] = int(code)
    if reason:
        message["reason"] = reason
    await send(message)
    ends(scope, await receive())


@socket
async def kinds(scope: Scope, receive: Receive, send: Send) -> None:
    """Of bytes, changed as soon as they have been sent."""
    await accept(receive, send)
    whole = bytearray(b"a" * 1000)
    await send({"type": "websocket.send", "bytes": whole})
    whole[:] = b"x" * 1000
    await send({"type": "websocket.send", "bytes": b"b", "text": None})
    await send({"type": "websocket.send", "text": "c", "bytes": None})
    await returned(scope, receive, send)


@socket
async def in_tasks(scope: Scope, receive: Receive, send: Send) -> None:
    """Sends and receives at the same time, from two tasks."""
    await accept(receive, send)

    async def pushes() -> None:
        for number in range(100):
            await text(send, f"push {number}")
            await asyncio.sleep(0)

    task = asyncio.create_task(pushes())
    await returned(scope, receive, send)
    await task


@socket
async def ticks(scope: Scope, receive: Receive, send: Send) -> None:
    """So many, one a second."""
    await accept(receive, send)
    for number in range(int(cases.query(scope))):
        await asyncio.sleep(1)
        await text(send, f"tick {number}")
    await returned(scope, receive, send)


# ---- refusals


@socket
async def refuses(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.close", "code": 4000})
    ends(scope, await receive())


@socket
async def denies(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    assert "websocket.http.response" in scope["extensions"]
    await send(
        {
            "type": "websocket.http.response.start",
            "status": 402,
            "headers": [(b"x-price", b"7"), (b"content-type", b"text/plain")],
        }
    )
    for part, rest in ((b"pay ", True), (b"first", False)):
        await send(
            {
                "type": "websocket.http.response.body",
                "body": part,
                "more_body": rest,
            }
        )


@socket
async def never(scope: Scope, receive: Receive, send: Send) -> None:
    """Accepts; waits for the client to go."""
    assert (await receive())["type"] == "websocket.connect"
    note(scope, "begun")
    await until_end(scope, receive)


# ---- what an application must not do


@socket
async def raises_early(scope: Scope, receive: Receive, send: Send) -> None:
    raise ValueError("before it accepts")


@socket
async def raises(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(receive, send)
    await text(send, "begun")
    raise ValueError("on purpose")


@socket
async def raises_at(scope: Scope, receive: Receive, send: Send) -> None:
    """The first message."""
    await accept(receive, send)
    await receive()
    raise ValueError("at a message")


@socket
async def raises_behind(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(receive, send)
    await send({"type": "websocket.close"})
    raise ValueError("behind its close")


@socket
async def returns_early(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()


@socket
async def returns(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(receive, send)
    await text(send, "bye")


CLOSE = {"type": "websocket.close"}
HELLO = {"type": "websocket.send", "text": "hello"}
ACCEPT = {"type": "websocket.accept"}
# what is sent; the last one is wrong
WRONG: dict[str, list[Message]] = {
    "two-accepts": [ACCEPT, ACCEPT],
    "send-first": [HELLO],
    "two-closes": [ACCEPT, CLOSE, CLOSE],
    "send-behind": [ACCEPT, CLOSE, HELLO],
    "accept-behind": [CLOSE, ACCEPT],
    "http": [ACCEPT, {"type": "http.response.start", "status": 200}],
    "denial-late": [
        ACCEPT,
        {"type": "websocket.http.response.start", "status": 400},
    ],
    "unknown": [ACCEPT, {"type": "websocket.wrong"}],
    "no-type": [ACCEPT, {}],
    "nothing": [ACCEPT, {"type": "websocket.send"}],
    "nones": [ACCEPT, {**HELLO, "text": None, "bytes": None}],
    "text-bytes": [ACCEPT, {**HELLO, "text": b"bytes"}],
    "bytes-str": [ACCEPT, {"type": "websocket.send", "bytes": "text"}],
    "surrogate": [ACCEPT, {**HELLO, "text": "\ud800"}],
    "code-str": [ACCEPT, {**CLOSE, "code": "1000"}],
    "code-999": [ACCEPT, {**CLOSE, "code": 999}],
    "code-70000": [ACCEPT, {**CLOSE, "code": 70_000}],
    "protocol-newline": [{**ACCEPT, "subprotocol": "a\r\nx-evil: 1"}],
    "header-newline": [{**ACCEPT, "headers": [(b"x-a", b"b\r\nx-evil: 1")]}],
}


@socket
async def wrong(scope: Scope, receive: Receive, send: Send) -> None:
    """Tries the last message, and goes on to the end."""
    name, _, _ = cases.query(scope).partition(",")
    await receive()
    *good, last = WRONG[name]
    for message in good:
        await send(message)
    await tries(scope, send, last)
    await until_end(scope, receive)


# ---- clients and applications that are slow


@socket
async def floods(scope: Scope, receive: Receive, send: Send) -> None:
    """As much as is taken, until the client goes; notes each MiB."""
    _, _, size = cases.query(scope).partition(",")
    part = bytes(int(size or 16_384))
    await accept(receive, send)
    note(scope, "begun")
    sent = 0
    try:
        while True:
            await send({"type": "websocket.send", "bytes": part})
            sent += len(part)
            if sent >> 20 > (sent - len(part)) >> 20:
                note(scope, sent >> 20)
    except OSError:
        note(scope, "OSError")


@socket
async def late(scope: Scope, receive: Receive, send: Send) -> None:
    """Receives nothing before the gate opens, and then counts."""
    await accept(receive, send)
    note(scope, "begun")
    await GATE.wait()
    count = size = 0
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            ends(scope, message)
            return
        if message.get("text") == "end":
            await text(send, f"{count} {size}")
            continue
        count += 1
        size += len(message["bytes"])


@socket
async def silent(scope: Scope, receive: Receive, send: Send) -> None:
    """Takes what comes."""
    await accept(receive, send)
    note(scope, "begun")
    await until_end(scope, receive)
    for message in ({**HELLO, "text": "late"}, CLOSE):
        await tries(scope, send, message)
    note(scope, (await receive())["type"])


assert NOTES is cases.NOTES
