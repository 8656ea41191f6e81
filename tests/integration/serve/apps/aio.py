# SPDX-License-Identifier: BSD-2-Clause
"""What asyncio promises, before the first suspension."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import pathlib
import sys
from typing import Any

import httpx

from resty_ffi import current, on_unload, serve

var: contextvars.ContextVar[str] = contextvars.ContextVar("var")


@serve
async def current_task(request: bytes) -> str:
    task = asyncio.current_task()
    assert isinstance(task, asyncio.Task)
    assert task in asyncio.all_tasks()
    assert asyncio.get_running_loop() is asyncio.get_event_loop()
    name = task.get_name()
    task.set_name("mine")
    await asyncio.sleep(0)
    assert asyncio.current_task() is task
    assert task.get_name() == "mine" != name
    return "yes"


@serve
async def wait_for(request: bytes) -> str:
    try:
        await asyncio.wait_for(asyncio.Event().wait(), 0.01)
    except TimeoutError:
        return "in time"
    return "never"


if sys.version_info >= (3, 11):

    @serve
    async def timeout(request: bytes) -> str:
        try:
            async with asyncio.timeout(0.01):
                await asyncio.sleep(60)
        except TimeoutError:
            return "in time"
        return "never"

    @serve
    async def task_group(request: bytes) -> str:
        async def square(number: int) -> int:
            await asyncio.sleep(0)
            return number * number

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(square(i)) for i in range(4)]
        return str([task.result() for task in tasks])

    @serve
    async def task_group_that_fails(request: bytes) -> str:
        async def fail() -> None:
            raise ValueError("child")

        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
            await asyncio.sleep(60)
        return "never"


@serve
async def gather(request: bytes) -> str:
    one, two = await asyncio.gather(
        asyncio.sleep(0, "one"), asyncio.to_thread(lambda: "two")
    )
    return f"{one} {two}"


@serve
async def context(request: bytes) -> str:
    """Each call starts with a context of its own."""
    name = request.decode()
    before = var.get("none")
    var.set(name)
    await asyncio.sleep(0.001)
    after = var.get()
    child = await asyncio.create_task(read())
    return f"{before} {after == name} {child == name}"


async def read() -> str:
    await asyncio.sleep(0)
    return var.get()


@serve
async def call_in_child(request: bytes) -> str:
    """A task's own call; also in what it starts, with its context."""

    async def child() -> str:
        await asyncio.sleep(0)
        return current().method

    method = current().method
    inner = await asyncio.create_task(child())
    thread = await asyncio.to_thread(lambda: current().method)
    await asyncio.sleep(0.001)
    return " ".join([method, inner, thread, current().method])


@serve
async def http(request: bytes) -> str:
    """request: the path of a Unix socket."""
    transport = httpx.AsyncHTTPTransport(uds=request.decode())
    async with httpx.AsyncClient(transport=transport, timeout=10) as client:
        answer = await client.get("http://nginx/ping")
    return answer.text


@serve
async def process(request: bytes) -> bytes:
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "print(input().upper())",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await child.communicate(request)
    assert child.returncode == 0
    return out.strip()


@serve
class Mixed:
    """A plain method between coroutines, on one thread."""

    def __init__(self) -> None:
        self.tasks: list[asyncio.Task[str]] = []
        self.found_it = asyncio.Event()

    async def other(self, request: bytes) -> None:
        await asyncio.wait_for(self.found_it.wait(), 10)

    def start(self, request: bytes) -> str:
        self.tasks.append(asyncio.get_running_loop().create_task(look()))
        return current().method

    async def found(self, request: bytes) -> str:
        found = await self.tasks.pop()
        self.found_it.set()
        return found


async def look() -> str:
    await asyncio.sleep(0.001)
    try:
        return current().method or "ended"
    except LookupError:
        return "none"


@serve
async def which_loop(request: bytes) -> str:
    return type(asyncio.get_running_loop()).__module__.partition(".")[0]


@serve
class Flight:
    """Coroutines that fly until so many are in the air, and may land."""

    def __init__(self, config: str) -> None:
        self.wanted = int(config)
        self.notes = pathlib.Path(os.environ["NOTES"])
        self.land = asyncio.Event()
        self.flying = 0
        self.closed = False

    async def fly(self, request: bytes) -> bytes:
        self.flying += 1
        if self.flying == self.wanted:
            self.tower = asyncio.create_task(self.wait_for_landing())
        await self.land.wait()
        assert not self.closed
        return request

    async def wait_for_landing(self) -> None:
        self.note("flying")
        for _ in range(3000):
            if "land" in self.notes.read_text():
                break
            await asyncio.sleep(0.01)
        self.land.set()

    async def close(self) -> None:
        self.closed = True
        self.note("closed")

    def note(self, word: str) -> None:
        with self.notes.open("a") as notes:
            notes.write(f"{word} {self.flying}\n")


def objects(kind: str) -> int:
    gc.collect()
    return sum(type(o).__name__ == kind for o in gc.get_objects())


@serve
async def leaves_a_task(request: bytes) -> Any:
    asyncio.create_task(asyncio.sleep(60))  # noqa: RUF006
    return b"left"


@serve
class Patient:
    """Answers when it is unloaded."""

    def __init__(self) -> None:
        self.unloaded = asyncio.Event()
        on_unload(self.unloaded.set)

    async def __call__(self, request: bytes) -> bytes:
        current().on_delivered(lambda yes: self._note(f"delivered {yes}"))
        await self.unloaded.wait()
        return request

    async def close(self) -> None:
        self._note("closed")

    def _note(self, text: str) -> None:
        with pathlib.Path(os.environ["NOTES"]).open("a") as file:
            file.write(text + "\n")
