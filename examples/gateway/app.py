# SPDX-License-Identifier: BSD-2-Clause
"""Stands before a model's API, and lets no address of e-mail through.

curl -N localhost:20000/v1/chat/completions --json \
    '{"model": "any", "messages": [{"role": "user", "content": "Hello"}]}'
curl localhost:20000/usage
"""

import json
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict

ADDRESS = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
LONGEST = 320


def redact(text: str) -> str:
    return ADDRESS.sub("[address]", text)


class Redactor:
    """For text in pieces: what an address may begin with is held back."""

    def __init__(self) -> None:
        self._held = ""

    def feed(self, piece: str) -> str:
        text = self._held + piece
        word = re.search(r"\S*\Z", text)
        assert word
        end = word.start() if len(word[0]) < LONGEST else len(text)
        self._held = text[end:]
        return redact(text[:end])

    def end(self) -> str:
        text, self._held = self._held, ""
        return redact(text)


class Message(BaseModel):
    role: str
    content: str


class Prompt(BaseModel):
    model_config = ConfigDict(extra="allow")

    model: str
    messages: list[Message]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    timeout = httpx.Timeout(60, connect=5)
    async with httpx.AsyncClient(
        base_url=os.environ["MODEL_URL"], timeout=timeout
    ) as model:
        yield {"model": model, "usage": {"requests": 0, "tokens": 0}}


app = FastAPI(lifespan=lifespan)


@app.get("/usage")
async def usage(request: Request) -> dict[str, int]:
    """Of this worker."""
    counts: dict[str, int] = request.state.usage
    return counts


@app.post("/v1/chat/completions")
async def complete(prompt: Prompt, request: Request) -> Response:
    for message in prompt.messages:
        message.content = redact(message.content)
    model: httpx.AsyncClient = request.state.model
    question = model.build_request(
        "POST",
        "/v1/chat/completions",
        json={**prompt.model_dump(), "stream": True},
        headers={
            name: request.headers[name]
            for name in ["authorization"]
            if name in request.headers
        },
    )
    try:
        answer = await model.send(question, stream=True)
        if answer.status_code != 200:
            body = await answer.aread()
            return Response(
                body, answer.status_code, media_type="application/json"
            )
    except httpx.HTTPError as error:
        return Response(f"the model: {error!r}\n", 502)
    request.state.usage["requests"] += 1
    return StreamingResponse(
        relay(answer, request.state.usage), media_type="text/event-stream"
    )


async def relay(
    answer: httpx.Response, usage: dict[str, int]
) -> AsyncIterator[str]:
    """It is closed where it waits when the client goes: the model is told."""
    redactor, tokens = Redactor(), 0
    try:
        async for line in answer.aiter_lines():
            if not line.startswith("data: {"):
                continue
            event = json.loads(line.removeprefix("data: "))
            for choice in event["choices"]:
                text = choice["delta"].get("content")
                if text:
                    tokens += 1
                    usage["tokens"] += 1
                    choice["delta"]["content"] = redactor.feed(text)
            yield f"data: {json.dumps(event)}\n\n"
        rest = {"delta": {"content": redactor.end()}, "index": 0}
        counts = {"completion_tokens": tokens}
        yield f"data: {json.dumps({'choices': [rest], 'usage': counts})}\n\n"
        yield "data: [DONE]\n\n"
    finally:
        await answer.aclose()
