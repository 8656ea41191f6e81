# SPDX-License-Identifier: BSD-2-Clause
"""What Starlette says of a request."""

from __future__ import annotations

import anyio
from starlette.datastructures import UploadFile
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from .notes import Notes, digest

notes = Notes()


async def seen(request: Request) -> Response:
    return PlainTextResponse(notes.has(request.path_params["name"]))


async def say_json(request: Request) -> Response:
    return JSONResponse({"said": await request.json()})


async def form(request: Request) -> Response:
    async with request.form() as data:
        return JSONResponse(data.multi_items())


async def upload(request: Request) -> Response:
    answer = {}
    async with request.form() as data:
        for name, value in data.multi_items():
            if isinstance(value, UploadFile):
                content = await value.read()
                answer[name] = [
                    value.filename,
                    value.content_type,
                    len(content),
                    digest(content),
                ]
            else:
                answer[name] = [value]
    return JSONResponse(answer)


async def body(request: Request) -> Response:
    data = await request.body()
    length = request.headers.get("content-length")
    return JSONResponse([len(data), digest(data), length])


async def body_stream(request: Request) -> Response:
    data = bytearray()
    async for part in request.stream():
        data += part
    return PlainTextResponse(digest(bytes(data)))


async def body_ignored(request: Request) -> Response:
    return PlainTextResponse("too large", 413)


async def body_gone(request: Request) -> Response:
    try:
        async for _ in request.stream():
            notes.note("body-part")
    except ClientDisconnect:
        notes.note("body-gone")
        raise
    return PlainTextResponse("complete")


async def disconnected(request: Request) -> Response:
    notes.note("asks")
    while not await request.is_disconnected():  # noqa: ASYNC110
        await anyio.sleep(0.01)
    notes.note("disconnected")
    return PlainTextResponse("nobody reads this")


async def connected(request: Request) -> Response:
    await request.body()
    return JSONResponse(await request.is_disconnected())


async def cookies(request: Request) -> Response:
    return JSONResponse(request.cookies)


async def headers(request: Request) -> Response:
    return JSONResponse(request.headers.getlist("x-animal"))


async def query(request: Request) -> Response:
    return JSONResponse(request.query_params.multi_items())


async def params(request: Request) -> Response:
    found = {name: str(value) for name, value in request.path_params.items()}
    return JSONResponse(found)


async def urls(request: Request) -> Response:
    return JSONResponse(
        {
            "client": request.client and request.client.host,
            "url": str(request.url),
            "base_url": str(request.base_url),
            "root_path": request.scope["root_path"],
            "item": str(request.url_for("item", number=7)),
            "version": request.scope["http_version"],
        }
    )


async def params_of_nginx(request: Request) -> Response:
    return JSONResponse(request.scope["state"].get("params"))


async def state(request: Request) -> Response:
    request.state.added = "here"
    return JSONResponse(
        {"started": request.state.started, "added": request.state.added}
    )


async def state_again(request: Request) -> Response:
    return JSONResponse(hasattr(request.state, "added"))


routes = [
    Route("/seen/{name}", seen),
    Route("/json", say_json, methods=["POST"]),
    Route("/form", form, methods=["POST"]),
    Route("/upload", upload, methods=["POST"]),
    Route("/body", body, methods=["GET", "POST", "PUT", "PATCH"]),
    Route("/body-stream", body_stream, methods=["POST"]),
    Route("/body-ignored", body_ignored, methods=["POST"]),
    Route("/body-gone", body_gone, methods=["POST"]),
    Route("/disconnected", disconnected),
    Route("/connected", connected, methods=["POST"]),
    Route("/cookies", cookies),
    Route("/headers", headers),
    Route("/query", query),
    Route("/number/{number:int}", params, name="item"),
    Route("/float/{number:float}", params),
    Route("/uuid/{id:uuid}", params),
    Route("/name/{name}", params),
    Route("/path/{rest:path}", params),
    Route("/urls", urls),
    Route("/params", params_of_nginx),
    Route("/state", state),
    Route("/state-again", state_again),
]
