# SPDX-License-Identifier: BSD-2-Clause
"""The part of resty_ffi that is built into libffi_python3.

A task or a queue is an int here: its handle.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar
from typing import Any, final

from resty_ffi import Call as AnyCall
from resty_ffi._answers import Answers

_Handler = Callable[..., Any]

def current() -> Call | None:
    """The call this thread answers, if any."""

def deadline(task: int, /) -> float | None:
    """When the caller stops waiting, in time.monotonic() seconds."""

def gone(task: int, /) -> bool:
    """Whether nobody waits for its answer any more, or it is answered."""

def exiting() -> bool:
    """Whether the worker process is about to leave."""

def watch_fatal() -> None:
    """Have a signal that ends the worker leave in error.log where it came."""

def exit_deadline() -> float:
    """When a worker that leaves waits no longer, in time.monotonic()
    seconds; 0: it does not leave."""

def log(level: int, text: str, task: int = 0, /) -> None:
    """Write to nginx's error.log; levels as in resty_ffi.h.

    task: whose line it is; 0: that of the call this thread answers, if any.
    """

def log_level() -> int:
    """Of nginx's most verbose error_log: lines above it reach none."""

def task() -> int:
    """The task of the call this thread answers; 0: of none."""

def method(task: int, /) -> str:
    """The Lua method's name of a call without an answer; "": it has none."""

def name(tq: int, name: str, /) -> None:
    """What error.log and the system call the runtime and this thread."""

def option(tq: int, option: int, missing: float, /) -> float:
    """An option of ngx.load_ffi; missing where it was not given."""

def quiet(tq: int, us: int, /) -> None:
    """Have a thread that is busy wake nginx up for answers that often at
    most."""

def buffer_requests(tq: int, /) -> None:
    """Have nginx read web requests as a whole before it passes them on."""

def accept_upgrades(tq: int, /) -> None:
    """Have nginx offer an upgrade to requests that ask for a WebSocket."""

def upgradable(task: int, /) -> bool:
    """Whether a web request asks for a WebSocket, and may have one."""

def pollers(tq: int, /) -> list[int]:
    """Native ids of live threads that have polled a queue; 0: any queue."""

def send_file(task: int, fd: int, offset: int, length: int, /) -> int:
    """Send a range of a file as a part of an answer; 0, or an errno."""

def started(tq: int, error: str | None, /) -> None:
    """Report the end of a load: what Lua is told, None: it takes calls."""

@final
class Call:
    @property
    def method(self) -> str: ...
    @property
    def deadline(self) -> float | None: ...
    @property
    def cancelled(self) -> bool: ...
    @property
    def trace(self) -> str | None: ...
    @property
    def _number(self) -> int: ...
    def send(self, part: object, /) -> None: ...
    def _send(self, part: object, /) -> int: ...
    def _unsent(self) -> None: ...
    def _first(self) -> bytes: ...
    def _read(self) -> bytes: ...
    def _read_now(self) -> bytes | None: ...
    def on_delivered(self, callback: Callable[[bool], object], /) -> None: ...
    def _answer(self, value: object, /) -> None: ...
    def _fail(self, exception: BaseException, /) -> None: ...

@final
class Streams:
    """The calls of one thread that are answered, or read, bit by bit."""

    @property
    def open(self) -> bool: ...
    def run(self) -> bool: ...
    def wake(self, task: int | None, /) -> None: ...
    def end(self) -> None: ...

class Heads:
    """Heads of web requests, and of their answers."""

    def scope(
        self, task: int, state: dict[str, Any] | None, /
    ) -> dict[str, Any]: ...
    def send(self, task: int, status: Any, headers: Any, /) -> int: ...
    def send_hints(self, task: int, headers: Any, /) -> int: ...
    def send_trailers(self, task: int, headers: Any, /) -> int: ...
    def send_file(self, task: int, fd: int, length: int, /) -> int: ...

class Exchange:
    """A web request and its answer: receive and send, as ASGI has them.

    It calls the methods below where it finds no shorter way.
    """

    state: int
    _shared: Any
    _ahead: bytes | None
    _status: Any
    _headers: Any
    _sent: int
    _waiting: int
    _body_ended: bool
    _told: bool
    _trailers: bool
    @property
    def _call(self) -> Call: ...
    @property
    def _number(self) -> int: ...
    def receive(self) -> Coroutine[Any, Any, dict[str, Any]]: ...
    def send(
        self, message: dict[str, Any], /
    ) -> Coroutine[Any, Any, None]: ...
    async def _receive(self) -> dict[str, Any]: ...
    async def _send(self, message: dict[str, Any]) -> None: ...
    async def _pause(self) -> None: ...

class Exchanges:
    """Makes what has Exchange as its base; shared: what all have, with waits,
    of _streams.py."""

    def __new__(cls, kind: type[Exchange], shared: Any, /) -> Exchanges: ...
    def new(self, call: Call, body: bytes | None, /) -> Exchange: ...

@final
class WebSocket:
    """An upgraded connection, as messages."""

    @property
    def ended(self) -> bool: ...
    @property
    def leaving(self) -> bool: ...
    @property
    def code(self) -> int: ...
    @property
    def reason(self) -> str | None: ...
    def hear(self) -> int: ...
    def next(self) -> dict[str, Any] | None: ...
    def send(self, message: dict[str, Any], /) -> int: ...
    def ping(self) -> bool: ...
    def close(self, code: int, reason: str, /) -> None: ...
    def rest(self) -> bytes | None: ...

class WebSockets:
    """What the WebSockets of one event loop share."""

    def accept(
        self, task: int, headers: Any, max_size: int, bits: int, /
    ) -> WebSocket | None: ...

class Environs:
    """Makes WSGI's environ of web requests."""

    def __new__(cls, base: dict[str, Any], /) -> Environs: ...
    def new(self, task: int, /) -> dict[str, Any]: ...

class WsgiHead:
    """What start_response gets, checked; TypeError, ValueError: it is none."""

    def __new__(
        cls, status: str, headers: list[tuple[str, str]], /
    ) -> WsgiHead: ...
    @property
    def status(self) -> int: ...
    @property
    def length(self) -> int: ...
    def send(self, task: int, length: int, /) -> int: ...

class Runtime:
    """Takes the tasks of a queue and has handlers answer them."""

    spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]
    adopt: Callable[[Call, Any, int], bool]
    iterate: Callable[[Call, Any, int], None]
    submit: Callable[[int], object]
    @property
    def tasks(self) -> dict[int, asyncio.Future[Any]]: ...
    @property
    def outstanding(self) -> bool: ...
    def __new__(
        cls,
        tq: int,
        handler: _Handler | None,
        methods: dict[str, _Handler] | None,
        coroutines: frozenset[_Handler],
        answers: Answers,
        run: Callable[..., Coroutine[Any, Any, None]],
        call_var: ContextVar[AnyCall | None],
        context: Context,
        renew: Callable[[], object] | None,
        view: bool,
        readers: dict[_Handler, Callable[..., Any]],
    ) -> Runtime: ...
    def serve(self, batch: int, patience: float, /) -> None: ...
    def accept(self, limit: int, streams: Streams, /) -> int: ...
    def answer(self, task: int, streams: Streams, /) -> None: ...
    def streams(self) -> Streams: ...
    def events(self) -> list[int]: ...
    def cancel(self, task: int, /) -> None: ...
    def fileno(self) -> int: ...
    def notify(self) -> None: ...
    def collect(self) -> bool: ...
