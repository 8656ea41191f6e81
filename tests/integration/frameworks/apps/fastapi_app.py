# SPDX-License-Identifier: BSD-2-Clause
# Not `from __future__ import annotations`: FastAPI reads them in functions.

import asyncio
import contextlib
import contextvars
import itertools
import secrets
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from enum import Enum
from typing import Annotated, Any

from fastapi import (
    APIRouter,
    BackgroundTasks,
    Body,
    Cookie,
    Depends,
    FastAPI,
    File,
    Form,
    Header,
    HTTPException,
    Path,
    Query,
    Request,
    Response,
    UploadFile,
)
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.responses import (
    FileResponse,
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    StreamingResponse,
)
from fastapi.security import (
    APIKeyHeader,
    HTTPBasic,
    HTTPBasicCredentials,
    OAuth2PasswordBearer,
    OAuth2PasswordRequestForm,
)
from pydantic import BaseModel, Field

from .notes import Notes, digest, make_file

notes = Notes()
FILE = make_file("fastapi.bin", 100_000)


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    app.state.ready = True
    yield {"pool": "open"}


app = FastAPI(title="tried", lifespan=lifespan)
app.add_middleware(GZipMiddleware, minimum_size=5000)
app.add_middleware(CORSMiddleware, allow_origins=["*"])


@app.middleware("http")
async def timed(
    request: Request, call_next: Callable[[Request], Awaitable[Response]]
) -> Response:
    answer = await call_next(request)
    answer.headers["X-Timed"] = "yes"
    return answer


class Kind(str, Enum):
    small = "small"
    large = "large"


class Item(BaseModel):
    name: str = Field(min_length=1)
    price: float = Field(gt=0)
    tags: set[str] = set()
    kind: Kind = Kind.small


class Public(BaseModel):
    name: str


@app.get("/seen/{name}", response_class=PlainTextResponse)
async def seen(name: str) -> str:
    return notes.has(name)


@app.get("/items/{number}")
async def item(
    number: Annotated[int, Path(ge=1)],
    q: str | None = None,
    limit: Annotated[int, Query(le=100)] = 10,
    tag: Annotated[list[str] | None, Query()] = None,
) -> dict[str, Any]:
    return {"number": number, "q": q, "limit": limit, "tag": tag}


@app.get("/kinds/{kind}")
async def kind(kind: Kind) -> Kind:
    return kind


@app.get("/files/{rest:path}")
async def files(rest: str) -> str:
    return rest


@app.post("/items", status_code=201)
async def create(item: Item) -> Item:
    return item


@app.put("/public", response_model=Public)
async def public(item: Item) -> Any:
    return item


@app.post("/two")
async def two(item: Item, amount: Annotated[int, Body()]) -> float:
    return item.price * amount


@app.get("/headers")
async def headers(
    user_agent: Annotated[str | None, Header()] = None,
    x_token: Annotated[list[str] | None, Header()] = None,
    session: Annotated[str | None, Cookie()] = None,
) -> list[Any]:
    return [user_agent, x_token, session]


@app.post("/form")
async def form(
    name: Annotated[str, Form()], age: Annotated[int, Form()]
) -> list[Any]:
    return [name, age]


@app.post("/bytes")
async def as_bytes(file: Annotated[bytes, File()]) -> list[Any]:
    return [len(file), digest(file)]


@app.post("/uploads")
async def uploads(
    files: list[UploadFile], note: Annotated[str, Form()] = ""
) -> list[Any]:
    said: list[Any] = [note]
    for file in files:
        content = await file.read()
        said.append([file.filename, file.content_type, digest(content)])
    return said


@app.post("/uploads/sync")
def uploads_sync(file: UploadFile) -> str:
    """In a thread, by the file itself."""
    return digest(file.file.read())


@app.post("/raw")
async def raw(request: Request) -> str:
    return digest(await request.body())


# -- dependencies


def cleaned(name: str) -> Callable[[], Iterator[str]]:
    def depends() -> Iterator[str]:
        try:
            yield name
        except ValueError as error:
            notes.note(f"{name}-raised")
            raise HTTPException(409, str(error)) from error
        finally:
            notes.note(f"{name}-closed")

    return depends


async def session() -> AsyncIterator[str]:
    try:
        yield "session"
    finally:
        await asyncio.sleep(0)
        notes.note("session-closed")


async def nested(
    session: Annotated[str, Depends(session)],
) -> AsyncIterator[str]:
    try:
        yield f"nested {session}"
    finally:
        assert notes.has("session-closed") == "no"
        notes.note("nested-closed")


@app.get("/depends")
async def depends(found: Annotated[str, Depends(nested)]) -> str:
    return found


@app.get("/depends/sync")
def depends_sync(found: Annotated[str, Depends(cleaned("sync"))]) -> str:
    return found


@app.get("/depends/raises")
async def raises(found: Annotated[str, Depends(cleaned("raising"))]) -> str:
    raise ValueError("no")


where: contextvars.ContextVar[str] = contextvars.ContextVar("where")


async def in_context() -> None:
    where.set("dependency")


@app.get("/context", dependencies=[Depends(in_context)])
def context() -> str:
    return where.get()


@app.get("/thread")
def thread() -> bool:
    return threading.current_thread() is threading.main_thread()


@app.get("/gathered")
async def gathered() -> list[int]:
    async def double(number: int) -> int:
        await asyncio.sleep(0.001)
        return 2 * number

    group = asyncio.TaskGroup()  # type: ignore[attr-defined]
    async with asyncio.timeout(5), group:  # type: ignore[attr-defined]
        tasks = [group.create_task(double(number)) for number in range(5)]
    return [task.result() for task in tasks]


@app.get("/timeout")
async def timeout() -> str:
    try:
        await asyncio.wait_for(asyncio.Event().wait(), 0.01)
    except asyncio.TimeoutError:
        return "timeout"
    return "none"


# -- answers


@app.get("/state")
async def state(request: Request) -> list[Any]:
    return [request.state.pool, request.app.state.ready]


@app.get("/cookies")
async def cookies(response: Response) -> str:
    response.set_cookie("a", "1")
    response.set_cookie("b", "2", httponly=True)
    response.headers["X-Extra"] = "more"
    return "set"


@app.get("/html", response_class=HTMLResponse)
async def html() -> str:
    return "<p>ü</p>"


@app.get("/redirect", response_class=RedirectResponse, status_code=302)
async def redirect(request: Request) -> str:
    return str(request.url_for("item", number=9))


@app.delete("/items/{number}", status_code=204)
async def delete(number: int) -> None:
    notes.note(f"deleted-{number}")


@app.get("/file", response_class=FileResponse)
async def file() -> str:
    return str(FILE)


@app.get("/stream")
def stream() -> StreamingResponse:
    def lines() -> Iterator[str]:
        for number in range(500):
            yield f"line {number}\n"

    return StreamingResponse(lines(), media_type="text/plain")


@app.get("/events")
async def events(request: Request) -> StreamingResponse:
    async def each() -> AsyncIterator[str]:
        try:
            for number in itertools.count():
                yield f"data: {number}\n\n"
                await asyncio.sleep(0.01)
        finally:
            notes.note("events-ended")

    return StreamingResponse(each(), media_type="text/event-stream")


@app.post("/background", status_code=202)
async def background(tasks: BackgroundTasks) -> str:
    tasks.add_task(notes.note, "background")
    return "accepted"


@app.get("/large")
async def large() -> list[int]:
    return list(range(20_000))


# -- errors


class OursError(Exception):
    pass


@app.exception_handler(OursError)
async def handle(request: Request, error: OursError) -> JSONResponse:
    return JSONResponse({"ours": str(error)}, 418)


@app.exception_handler(RequestValidationError)
async def invalid(
    request: Request, error: RequestValidationError
) -> JSONResponse:
    places = [".".join(map(str, one["loc"])) for one in error.errors()]
    return JSONResponse({"invalid": places}, 422)


@app.get("/error/{kind}")
async def error(kind: str) -> str:
    if kind == "http":
        raise HTTPException(404, {"no": "item"}, headers={"X-Why": "gone"})
    if kind == "ours":
        raise OursError("raised")
    raise KeyError(kind)


@app.get("/bad-model", response_model=Item)
async def bad_model() -> Any:
    return {"name": ""}


# -- who it is

oauth2 = OAuth2PasswordBearer(tokenUrl="token")
basic = HTTPBasic(realm="tried")
key = APIKeyHeader(name="X-Key", auto_error=False)


@app.post("/token")
async def token(
    form: Annotated[OAuth2PasswordRequestForm, Depends()],
) -> dict[str, str]:
    return {"access_token": form.username, "token_type": "bearer"}


@app.get("/me")
async def me(token: Annotated[str, Depends(oauth2)]) -> str:
    return token


@app.get("/basic")
async def basic_user(
    who: Annotated[HTTPBasicCredentials, Depends(basic)],
) -> str:
    if not secrets.compare_digest(who.password.encode(), b"word"):
        raise HTTPException(401, headers={"WWW-Authenticate": "Basic"})
    return who.username


@app.get("/key")
async def api_key(found: Annotated[str | None, Depends(key)]) -> str | None:
    return found


# -- routers and applications below

router = APIRouter(prefix="/router", tags=["router"])


@router.get("/where", name="where")
async def router_where(request: Request) -> str:
    return str(request.url_for("where"))


app.include_router(router)
app.include_router(router, prefix="/again", include_in_schema=False)

below = FastAPI()


@below.get("/info")
async def info(request: Request) -> list[Any]:
    return [request.scope["root_path"], str(request.url)]


app.mount("/below", below)
