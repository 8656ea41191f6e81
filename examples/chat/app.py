# SPDX-License-Identifier: BSD-2-Clause
"""A chat: what one says, all see. It is in the memory of one worker."""

import asyncio
import contextlib
from collections import deque
from pathlib import Path

from fastapi import FastAPI, WebSocket
from fastapi.responses import FileResponse

PAGE = Path(__file__).with_name("page.html")
LONGEST = 500

app = FastAPI()
guests: set[asyncio.Queue[str]] = set()
said: deque[str] = deque(maxlen=20)


@app.get("/")
async def page() -> FileResponse:
    return FileResponse(PAGE)


@app.websocket("/chat")
async def chat(socket: WebSocket) -> None:
    await socket.accept()
    guest: asyncio.Queue[str] = asyncio.Queue(1000)
    for line in said:
        guest.put_nowait(line)
    guests.add(guest)
    sender = asyncio.create_task(send(socket, guest))
    try:
        async for line in socket.iter_text():
            say(line[:LONGEST])
    finally:
        guests.discard(guest)
        sender.cancel()


def say(line: str) -> None:
    """Nobody waits for who reads slowly, and misses some."""
    said.append(line)
    for guest in guests:
        with contextlib.suppress(asyncio.QueueFull):
            guest.put_nowait(line)


async def send(socket: WebSocket, guest: asyncio.Queue[str]) -> None:
    with contextlib.suppress(OSError, RuntimeError):  # it has gone
        while True:
            await socket.send_text(await guest.get())
