# SPDX-License-Identifier: BSD-2-Clause
"""An application whose paths are the cases of tests."""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import gc
import json
import os
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any

Message = dict[str, Any]
Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Case = Callable[[Scope, Receive, Send], Awaitable[None]]

# What Python 3.10 does not have.
newer: Any = SimpleNamespace(**{**vars(builtins), **vars(asyncio)})

NOTES: defaultdict[str, list[Any]] = defaultdict(list)
CASES: dict[str, Case] = {}

GATE = asyncio.Event()


def case(function: Case) -> Case:
    CASES["/" + function.__name__.strip("_").replace("_", "-")] = function
    return function


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    await CASES[scope["path"]](scope, receive, send)


def query(scope: Scope) -> str:
    text: str = scope["query_string"].decode()
    return text


def note(scope: Scope, *values: Any) -> None:
    """Under the query."""
    NOTES[query(scope)].extend(values)


async def start(
    send: Send,
    status: Any = 200,
    headers: Any = ((b"content-type", b"text/plain"),),
) -> None:
    await send(
        {"type": "http.response.start", "status": status, "headers": headers}
    )


async def body(send: Send, part: Any = b"", more: bool = False) -> None:
    await send({"type": "http.response.body", "body": part, "more_body": more})


async def answer(send: Send, text: bytes = b"ok") -> None:
    await start(send)
    await body(send, text)


async def read(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionError("gone while it was read")
        parts.append(message["body"])
        if not message["more_body"]:
            return b"".join(parts)


# ---- for the tests


@case
async def notes(scope: Scope, receive: Receive, send: Send) -> None:
    await answer(send, json.dumps(NOTES[query(scope)]).encode())


@case
async def tasks(scope: Scope, receive: Receive, send: Send) -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await answer(send, str(len(others)).encode())


@case
async def names(scope: Scope, receive: Receive, send: Send) -> None:
    """Of tasks, where one is left."""
    await answer(send, repr(asyncio.all_tasks()).encode())


@case
async def open_gate(scope: Scope, receive: Receive, send: Send) -> None:
    GATE.set()
    await answer(send)
    GATE.clear()


@case
async def collect(scope: Scope, receive: Receive, send: Send) -> None:
    gc.collect()
    await answer(send, str(len(gc.get_objects())).encode())


# ---- answers


@case
async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    await answer(send, b"hello")


@case
async def status(scope: Scope, receive: Receive, send: Send) -> None:
    await start(send, int(query(scope)), [(b"x-a", b"b")])
    await body(send, b"body")


@case
async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Part by part."""
    await start(send)
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            note(scope, "gone")
            return
        await body(send, message["body"], message["more_body"])
        if not message["more_body"]:
            return


@case
async def parts(scope: Scope, receive: Receive, send: Send) -> None:
    """As many of as many bytes: "10x1000"."""
    count, size = query(scope).split("x")
    part = bytes(range(256)) * (int(size) // 256 + 1)
    await start(send)
    for _ in range(int(count)):
        await body(send, part[: int(size)], True)
    await body(send)


@case
async def kinds(scope: Scope, receive: Receive, send: Send) -> None:
    """Of bytes, changed as soon as they have been sent."""
    whole = bytearray(b"a" * 1000)
    view = memoryview(bytearray(b"b" * 1000))
    await start(send)
    await body(send, whole, True)
    whole[:] = b"x" * 1000
    await body(send, view, True)
    view[:] = b"x" * 1000
    await body(send, memoryview(b"cxcxcx")[::2], True)
    last = bytearray(b"d" * 1000)
    await body(send, last)
    last[:] = b"x" * 1000


@case
async def cookies(scope: Scope, receive: Receive, send: Send) -> None:
    headers = [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]
    await start(send, 200, [*headers, (b"Set-Cookie", b"c=3")])
    await body(send)


@case
async def headers(scope: Scope, receive: Receive, send: Send) -> None:
    """As many of as many bytes: "10x1000"."""
    count, size = map(int, query(scope).split("x"))
    pairs = [(b"x-%d" % i, b"v" * size) for i in range(count)]
    await start(send, 200, (pair for pair in pairs))
    await body(send, b"many")


@case
async def length(scope: Scope, receive: Receive, send: Send) -> None:
    """A Content-Length, and the parts' sizes: "10,4,6"."""
    said, *sizes = map(int, query(scope).split(","))
    await start(send, 200, [(b"content-length", b"%d" % said)])
    for size in sizes:
        await body(send, b"x" * size, True)
    await body(send)


@case
async def empty_parts(scope: Scope, receive: Receive, send: Send) -> None:
    await start(send)
    await body(send, b"", True)
    await body(send, b"a", True)
    await body(send, b"", True)
    await send({"type": "http.response.body"})


# ---- what an application must not do


@case
async def raises(scope: Scope, receive: Receive, send: Send) -> None:
    raise ValueError("on purpose")


@case
async def raises_after_head(
    scope: Scope, receive: Receive, send: Send
) -> None:
    await start(send)
    raise ValueError("after the head")


@case
async def raises_amid(scope: Scope, receive: Receive, send: Send) -> None:
    await start(send)
    await body(send, b"begun", True)
    raise ValueError("amid its answer")


@case
async def raises_behind(scope: Scope, receive: Receive, send: Send) -> None:
    await answer(send)
    raise ValueError("behind its answer")


@case
async def exits(scope: Scope, receive: Receive, send: Send) -> None:
    raise SystemExit(3)


@case
async def cancels_itself(scope: Scope, receive: Receive, send: Send) -> None:
    task = asyncio.current_task()
    assert task
    task.cancel()
    await asyncio.sleep(0)


@case
async def returns(scope: Scope, receive: Receive, send: Send) -> None:
    pass


@case
async def returns_after_head(
    scope: Scope, receive: Receive, send: Send
) -> None:
    await start(send)


@case
async def returns_amid(scope: Scope, receive: Receive, send: Send) -> None:
    await start(send)
    await body(send, b"begun", True)


@case
async def never(scope: Scope, receive: Receive, send: Send) -> None:
    note(scope, "begun")
    while (await receive())["type"] != "http.disconnect":
        pass
    note(scope, "disconnect")


# what is sent, as Python has it; without a part where it is None
WRONG: dict[str, list[Message]] = {
    "two-heads": [
        {"type": "http.response.start", "status": 200},
        {"type": "http.response.start", "status": 200},
    ],
    "late-head": [
        {"type": "http.response.start", "status": 200},
        {"type": "http.response.body", "body": b"a", "more_body": True},
        {"type": "http.response.start", "status": 200},
    ],
    "body-first": [{"type": "http.response.body", "body": b"a"}],
    "behind": [
        {"type": "http.response.start", "status": 200},
        {"type": "http.response.body", "body": b"a"},
        {"type": "http.response.body", "body": b"b"},
    ],
    "unknown": [{"type": "http.response.wrong"}],
    "no-type": [{"status": 200}],
    "no-status": [{"type": "http.response.start"}],
    "str-body": [
        {"type": "http.response.start", "status": 200},
        {"type": "http.response.body", "body": "text"},
    ],
    "none-body": [
        {"type": "http.response.start", "status": 200},
        {"type": "http.response.body", "body": None},
    ],
}

HEADS: dict[str, tuple[Any, Any]] = {
    "str-status": ("200", ()),
    "float-status": (200.0, ()),
    "none-status": (None, ()),
    "status-99": (99, ()),
    "status-103": (103, ()),
    "status-1000": (1000, ()),
    "status-huge": (1 << 80, ()),
    "str-name": (200, [("x-a", b"b")]),
    "str-value": (200, [(b"x-a", "b")]),
    "int-value": (200, [(b"ok", b""), (b"content-length", 5)]),
    "none-value": (200, [(b"x-a", None)]),
    "no-pair": (200, [(b"x-a",)]),
    "three": (200, [(b"x-a", b"b", b"c")]),
    "no-sequence": (200, [5]),
    "no-list": (200, 5),
    "none": (200, None),
    "newline": (200, [(b"x-a", b"b\r\nx-evil: 1")]),
    "lf": (200, [(b"x-a", b"b\nx-evil: 1")]),
    "nul": (200, [(b"x-a", b"b\0c")]),
    "name-space": (200, [(b"x a", b"b")]),
    "name-newline": (200, [(b"x\r\nx-evil", b"1")]),
    "name-empty": (200, [(b"", b"b")]),
    "name-colon": (200, [(b":status", b"200")]),
    "too-large": (200, [(b"x-a", b"v" * (1 << 20))]),
}

for name, (wrong_status, wrong_headers) in HEADS.items():
    WRONG[name] = [
        {
            "type": "http.response.start",
            "status": wrong_status,
            "headers": wrong_headers,
        },
        {"type": "http.response.body", "body": b"a"},
    ]


@case
async def wrong(scope: Scope, receive: Receive, send: Send) -> None:
    name, _, key = query(scope).partition(",")
    for message in WRONG[name]:
        try:
            await send(message)
        except Exception as error:
            NOTES[key].append(f"{type(error).__name__}: {error}")
            raise


# ---- receive


@case
async def receives_twice(scope: Scope, receive: Receive, send: Send) -> None:
    """Its body, then what is behind its answer, again and again."""
    note(scope, (await receive())["type"])
    await answer(send)
    for _ in range(3):
        note(scope, (await receive())["type"])


@case
async def receives_in_tasks(
    scope: Scope, receive: Receive, send: Send
) -> None:
    """Several at once get each part once, and then the same end."""
    found: list[bytes] = []
    ends: list[str] = []

    async def take() -> None:
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                ends.append("disconnect")
                return
            found.append(message["body"])
            if sum(map(len, found)) == int(query(scope)):
                whole.set()

    whole = asyncio.Event()
    takers = [asyncio.create_task(take()) for _ in range(5)]
    await whole.wait()
    await answer(send, b"".join(found))
    await asyncio.gather(*takers)
    assert ends == ["disconnect"] * 5


@case
async def waits_in_task(scope: Scope, receive: Receive, send: Send) -> None:
    """A task of its own, in receive, and what becomes of it."""
    name, _, how = query(scope).partition(",")

    async def listen() -> None:
        while (await receive())["type"] != "http.disconnect":
            NOTES[name].append("part")
        NOTES[name].append("disconnect")

    kept.add(asyncio.create_task(listen()))
    await asyncio.sleep(0.01)
    if how == "raises":
        raise ValueError("on purpose")
    if how == "amid":
        await start(send)
        await body(send, b"a", True)
    if how == "answers":
        await answer(send)


kept: set[asyncio.Task[None]] = set()


@case
async def cancelled_receive(
    scope: Scope, receive: Receive, send: Send
) -> None:
    """Loses nothing of the body."""
    found = []
    while True:
        task = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await asyncio.sleep(0.001)
            continue
        message = task.result()
        found.append(message["body"])
        if not message["more_body"]:
            break
    await answer(send, b"".join(found))


@case
async def disconnects(scope: Scope, receive: Receive, send: Send) -> None:
    """Streams until it is told."""
    note(scope, "begun")
    task = asyncio.ensure_future(_until_gone(receive))
    await start(send)
    await body(send, b"begun", True)
    await task
    note(scope, "disconnect")
    note(scope, (await receive())["type"])
    for part, more in ((b"x", True), (b"", True), (b"", False)):
        try:
            await body(send, part, more)
        except OSError:
            note(scope, "OSError")
    running = asyncio.current_task()
    note(scope, running is not None and not running.cancelled())


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


@case
async def sends_for_ever(scope: Scope, receive: Receive, send: Send) -> None:
    """How: "leaves" the OSError, or raises another from it, in a group."""
    _, _, how = query(scope).partition(",")
    note(scope, "begun")
    await start(send)
    part = b"x" * 10_000
    try:
        while True:
            await body(send, part, True)
            await asyncio.sleep(0.001)
    except OSError as error:
        if how == "from":
            raise RuntimeError("wrapped") from error
        if how == "bug":
            raise KeyError("a bug") from None
        if how == "group":
            raise newer.ExceptionGroup("of tasks", [error]) from None
        if how == "caught":
            return
        raise


@case
async def refuses_head(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers one that has gone."""
    note(scope, "begun")
    await _until_gone(receive)
    with contextlib.suppress(OSError):
        await answer(send)
    await answer(send)


@case
async def upload(scope: Scope, receive: Receive, send: Send) -> None:
    total = 0
    note(scope, "begun")
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            note(scope, "disconnect")
            return
        total += len(message["body"])
        if not message["more_body"]:
            break
    await answer(send, str(total).encode())


@case
async def answers_unread(scope: Scope, receive: Receive, send: Send) -> None:
    await answer(send, b"unread")
    note(scope, (await receive())["type"])


@case
async def messages(scope: Scope, receive: Receive, send: Send) -> None:
    """What receive has returned for the body."""
    found = []
    while True:
        message = await receive()
        found.append(
            [message["type"], len(message["body"]), message["more_body"]]
        )
        if not message["more_body"]:
            break
    await answer(send, json.dumps(found).encode())


# ---- tasks

variable: ContextVar[str] = ContextVar("variable", default="none")


@case
async def context(scope: Scope, receive: Receive, send: Send) -> None:
    before = variable.get()
    variable.set("set")
    await answer(send, before.encode())


@case
async def is_task(scope: Scope, receive: Receive, send: Send) -> None:
    task = asyncio.current_task()
    await answer(send, type(task).__name__.encode())


@case
async def times_out(scope: Scope, receive: Receive, send: Send) -> None:
    try:
        async with newer.timeout(0.01):
            await asyncio.sleep(60)
    except TimeoutError:
        await answer(send, b"timed out")


@case
async def timed_receive(scope: Scope, receive: Receive, send: Send) -> None:
    while (await receive())["more_body"]:
        pass
    for _ in range(3):
        try:
            await asyncio.wait_for(receive(), 0.01)
        except asyncio.TimeoutError:
            note(scope, "timeout")
    await answer(send)


@case
async def groups(scope: Scope, receive: Receive, send: Send) -> None:
    done = []

    async def work(number: int) -> None:
        await asyncio.sleep(0)
        done.append(number)

    async with newer.TaskGroup() as group:
        for number in range(5):
            group.create_task(work(number))
    await answer(send, json.dumps(sorted(done)).encode())


@case
async def group_fails(scope: Scope, receive: Receive, send: Send) -> None:
    async def fail() -> None:
        raise ValueError("in a group")

    async with newer.TaskGroup() as group:
        group.create_task(fail())
        await asyncio.sleep(60)


@case
async def any_io(scope: Scope, receive: Receive, send: Send) -> None:
    import anyio
    import anyio.to_thread

    found = []

    async def work(number: int) -> None:
        found.append(await anyio.to_thread.run_sync(lambda: number * number))

    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            for number in range(4):
                group.start_soon(work, number)
    with anyio.move_on_after(0.01) as scoped:
        await anyio.sleep(60)
    assert scoped.cancelled_caught
    await answer(send, json.dumps(sorted(found)).encode())


@case
async def background(scope: Scope, receive: Receive, send: Send) -> None:
    """Goes on behind its answer until the gate opens."""
    await answer(send, b"answered")
    note(scope, "behind")
    await GATE.wait()
    note(scope, "done")


@case
async def works_behind(scope: Scope, receive: Receive, send: Send) -> None:
    """For some seconds, and tells a file of it."""
    file, seconds = query(scope).split(",")
    await answer(send, b"answered")
    try:
        await asyncio.sleep(float(seconds))
    except asyncio.CancelledError:
        _append(file, "cancelled")
        raise
    _append(file, "done")


def _append(file: str, line: str) -> None:
    with open(file, "a") as out:
        out.write(line + "\n")


@case
async def blocks(scope: Scope, receive: Receive, send: Send) -> None:
    """The loop, until a file is there."""
    note(scope, "begun")
    _wait_for(query(scope))
    await answer(send, b"went on")


def _wait_for(path: str) -> None:
    while not os.path.exists(path):
        time.sleep(0.01)


# ---- extensions


@case
async def path_send(scope: Scope, receive: Receive, send: Send) -> None:
    """A file's path, and how: "trailers", "twice"."""
    path, _, how = query(scope).partition(",")
    assert scope["extensions"]["http.response.pathsend"] == {}
    message = {"type": "http.response.pathsend", "path": path}
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "trailers": how == "trailers",
        }
    )
    try:
        await send(message)
        if how == "twice":
            await send(message)
    except Exception as error:
        NOTES[how].append(f"{type(error).__name__}: {error}")
        raise
    if how == "trailers":
        await send_trailers(send, [(b"x-sum", b"1")])


@case
async def trailers(scope: Scope, receive: Receive, send: Send) -> None:
    """How: "more", "none", "body", "empty"."""
    how = query(scope)
    assert scope["extensions"]["http.response.trailers"] == {}
    await send(
        {"type": "http.response.start", "status": 200, "trailers": True}
    )
    await body(send, b"" if how == "empty" else b"whole")
    if how == "none":
        return
    if how == "body":
        await body(send, b"late")
    if how == "more":
        await send_trailers(send, [(b"x-first", b"1")], True)
    await send_trailers(send, ((b"X-Sum", b"2"), (b"x-sum", b"3")))
    note(scope, (await receive())["type"])
    note(scope, (await receive())["type"])


@case
async def head_alone(scope: Scope, receive: Receive, send: Send) -> None:
    """How: "trailers", or parts; what is behind it waits for the gate."""
    how = query(scope)
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "trailers": how == "trailers",
        }
    )
    await send(
        {
            "type": "http.response.body",
            "body": b"",
            "more_body": how != "trailers",
        }
    )
    await GATE.wait()
    if how == "trailers":
        await send_trailers(send, [(b"x-sum", b"1")])
    else:
        await body(send, b"whole")


@case
async def hints(scope: Scope, receive: Receive, send: Send) -> None:
    """How: "" or what is sent wrongly."""
    how = query(scope)
    note(scope, str("http.response.early_hint" in scope["extensions"]))
    links = [b"</a.css>; rel=preload", b"</b>"]
    hint: Any = {"type": "http.response.early_hint", "links": links}
    if how == "newline":
        hint["links"] = [b"</a>\r\nx: y"]
    if how == "late":
        await send({"type": "http.response.start", "status": 200})
    await send(hint)
    await send({**hint, "links": (b"</c>",)})
    await send({"type": "http.response.start", "status": 200})
    await body(send, b"whole")


async def send_trailers(send: Send, headers: Any, more: bool = False) -> None:
    await send(
        {
            "type": "http.response.trailers",
            "headers": headers,
            "more_trailers": more,
        }
    )
