# SPDX-License-Identifier: BSD-2-Clause
"""Each kind of answer that Starlette has."""

from __future__ import annotations

import contextvars
import time
from collections.abc import AsyncIterator, Iterator

import anyio
import anyio.lowlevel
import jinja2
from starlette.background import BackgroundTask, BackgroundTasks
from starlette.concurrency import run_in_threadpool
from starlette.endpoints import HTTPEndpoint
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import (
    FileResponse,
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates

from .notes import FOLDER, make_file
from .starlette_requests import notes

FILE = make_file("starlette.bin", 1_000_000)
STATIC = FOLDER / "static"
STATIC.mkdir(exist_ok=True)
(STATIC / "style.css").write_text("p { color: green }\n")
(STATIC / "index.html").write_text("<p>index</p>\n")

templates = Jinja2Templates(
    env=jinja2.Environment(
        loader=jinja2.DictLoader(
            {"page.html": "<a href={{ url_for('file') }}>{{ name }}</a>"}
        ),
        autoescape=True,
    )
)
answer_was_read = anyio.Event()
where: contextvars.ContextVar[str] = contextvars.ContextVar("where")


async def set_cookies(request: Request) -> Response:
    answer = PlainTextResponse("set")
    answer.set_cookie("one", "1", path="/", httponly=True)
    answer.set_cookie("two", "2", max_age=60, samesite="strict")
    answer.delete_cookie("three")
    return answer


async def redirect(request: Request) -> Response:
    return RedirectResponse(request.url_for("item", number=3), 303)


async def numbers(end: int) -> AsyncIterator[str]:
    for number in range(end):
        await anyio.lowlevel.checkpoint()
        yield f"{number}\n"


async def stream(request: Request) -> Response:
    return StreamingResponse(numbers(1000), media_type="text/plain")


def blocks() -> Iterator[bytes]:
    for number in range(200):
        yield bytes([number]) * 10_000


async def stream_large(request: Request) -> Response:
    return StreamingResponse(blocks(), headers={"Content-Length": "2000000"})


async def events(request: Request) -> Response:
    async def each() -> AsyncIterator[str]:
        for number in range(3):
            yield f"id: {number}\ndata: event {number}\n\n"
            await anyio.sleep(0.01)

    return StreamingResponse(
        each(),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-cache"},
    )


async def endless(request: Request) -> Response:
    """Until the client has gone; notes that it has ended."""
    said = f"-{request.url.query}" if request.url.query else ""

    async def each() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"more\n" * 100
                await anyio.sleep(0.001)
        finally:
            notes.note(f"endless-closed{said}")

    return StreamingResponse(each())


async def slow(request: Request) -> Response:
    """A part now and then: send() tells that the client has gone."""

    async def each() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"part\n"
                await anyio.sleep(0.05)
        finally:
            notes.note("slow-closed")

    return StreamingResponse(each())


async def breaks(request: Request) -> Response:
    async def each() -> AsyncIterator[bytes]:
        yield b"begun"
        raise RuntimeError("in the middle")

    return StreamingResponse(each())


async def file(request: Request) -> Response:
    return FileResponse(FILE, media_type="application/x-bytes")


async def download(request: Request) -> Response:
    return FileResponse(FILE, filename="Übersicht.bin")


async def missing_file(request: Request) -> Response:
    return FileResponse(FOLDER / "missing")


async def one_background(request: Request) -> Response:
    return PlainTextResponse(
        "answered", background=BackgroundTask(notes.note, "one-background")
    )


async def background(request: Request) -> Response:
    """The second waits for a request that comes after the answer."""

    async def last() -> None:
        with anyio.fail_after(10):
            await answer_was_read.wait()
        notes.note("background")

    tasks = BackgroundTasks()
    tasks.add_task(notes.note, "first-background")
    tasks.add_task(last)
    return PlainTextResponse("answered", background=tasks)


async def answer_read(request: Request) -> Response:
    answer_was_read.set()
    return Response(status_code=204)


async def teapot(request: Request) -> Response:
    raise HTTPException(418, "short and stout", headers={"X-Pot": "tea"})


class OurError(Exception):
    pass


async def our_error(request: Request) -> Response:
    raise OurError("ours")


async def handle_ours(request: Request, error: Exception) -> Response:
    return JSONResponse({"handled": str(error)}, 409)


async def crash(request: Request) -> Response:
    raise ZeroDivisionError("by nothing")


async def task_group(request: Request) -> Response:
    found: dict[str, int] = {}

    async def work(name: str, number: int) -> None:
        await anyio.sleep(0.001 * number)
        found[name] = number

    async with anyio.create_task_group() as group:
        for number in range(5):
            group.start_soon(work, str(number), number)
    return JSONResponse(found)


async def cancelled(request: Request) -> Response:
    with anyio.move_on_after(0.01) as scope:
        await anyio.sleep_forever()
    return JSONResponse(scope.cancelled_caught)


async def threadpool(request: Request) -> Response:
    where.set("handler")

    def blocking(number: int) -> str:
        time.sleep(0.01)
        return f"{where.get()} {number}"

    return PlainTextResponse(await run_in_threadpool(blocking, 5))


def plain_function(request: Request) -> Response:
    """Starlette runs it in a thread."""
    time.sleep(0.01)
    return HTMLResponse("<p>thread</p>")


async def template(request: Request) -> Response:
    return templates.TemplateResponse(
        request, "page.html", {"name": "<you>"}, headers={"X-Page": "1"}
    )


async def no_content(request: Request) -> Response:
    return Response(status_code=204, headers={"X-Empty": "yes"})


async def large_header(request: Request) -> Response:
    return Response("x", headers={"X-Large": "y" * 7000})


async def latin(request: Request) -> Response:
    return PlainTextResponse("naïve ☃", headers={"X-Latin": "naïve"})


class Endpoint(HTTPEndpoint):
    async def get(self, request: Request) -> Response:
        return PlainTextResponse("got")

    async def put(self, request: Request) -> Response:
        return PlainTextResponse("put", 201)


routes = [
    Route("/set-cookies", set_cookies),
    Route("/redirect", redirect),
    Route("/stream", stream),
    Route("/stream-large", stream_large),
    Route("/events", events),
    Route("/endless", endless),
    Route("/slow", slow),
    Route("/breaks", breaks),
    Route("/file", file),
    Route("/download", download),
    Route("/missing-file", missing_file),
    Route("/one-background", one_background),
    Route("/background", background),
    Route("/answer-read", answer_read),
    Route("/teapot", teapot),
    Route("/our-error", our_error),
    Route("/crash", crash),
    Route("/task-group", task_group),
    Route("/cancelled", cancelled),
    Route("/threadpool", threadpool),
    Route("/plain-function", plain_function),
    Route("/template", template),
    Route("/no-content", no_content),
    Route("/large-header", large_header),
    Route("/latin", latin),
    Route("/endpoint", Endpoint),
    Mount("/static", StaticFiles(directory=STATIC, html=True)),
]
