# SPDX-License-Identifier: BSD-2-Clause
"""Measurements come in as JSON, and go out as server-sent events."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel


class Measurement(BaseModel):
    sensor: str
    value: float


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, object]]:
    listeners: set[asyncio.Queue[Measurement]] = set()
    yield {"listeners": listeners}


app = FastAPI(lifespan=lifespan)


@app.post("/measurements", status_code=201)
async def add(measurement: Measurement, request: Request) -> Measurement:
    for queue in request.state.listeners:
        queue.put_nowait(measurement)
    return measurement


@app.get("/measurements")
async def listen(request: Request) -> StreamingResponse:
    listeners = request.state.listeners
    queue: asyncio.Queue[Measurement] = asyncio.Queue()
    listeners.add(queue)

    async def events() -> AsyncIterator[str]:
        try:
            yield ": welcome\n\n"
            while True:
                measurement = await queue.get()
                yield f"data: {measurement.model_dump_json()}\n\n"
        finally:
            listeners.discard(queue)

    return StreamingResponse(events(), media_type="text/event-stream")
