# SPDX-License-Identifier: BSD-2-Clause
"""Answers as the path says: each function here is one."""

from __future__ import annotations

import builtins
import contextvars
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from wsgiref.validate import validator

Environ = dict[str, Any]
Start = Callable[..., Callable[[bytes], None]]

STATE = Path(os.environ["STATE"])
PLAIN = [("Content-Type", "text/plain")]

closed: list[str] = []
lock = threading.Lock()


def application(environ: Environ, start: Start) -> Any:
    name = environ["PATH_INFO"].strip("/").partition("/")[0]
    return globals()[f"do_{name}"](environ, start)


def said(environ: Environ, name: str, missing: str = "") -> str:
    text: str = environ["QUERY_STRING"]
    return parse_qs(text, encoding="latin-1").get(name, [missing])[0]


def number(environ: Environ, name: str, missing: int = 1) -> int:
    return int(said(environ, name, str(missing)))


class Body:
    """parts, and a note of each close."""

    def __init__(
        self,
        name: str,
        parts: Iterable[bytes],
        fails: BaseException | None = None,
    ) -> None:
        self.name = name
        self.parts = iter(parts)
        self.fails = fails

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self.parts)

    def close(self) -> None:
        with lock:
            closed.append(self.name)
        (STATE / f"closed-{self.name}").touch()
        if self.fails:
            raise self.fails


def do_closed(environ: Environ, start: Start) -> Any:
    """What has been closed, by name, since the last time."""
    start("200 OK", PLAIN)
    with lock:
        text = " ".join(closed)
        closed.clear()
    return [text.encode()]


# -- bodies ---------------------------------------------------------------


def do_list(environ: Environ, start: Start) -> Any:
    start("200 OK", PLAIN)
    return [b"hello"]


def do_two(environ: Environ, start: Start) -> Any:
    start("200 OK", PLAIN)
    return [b"hel", b"lo"]


def do_tuple(environ: Environ, start: Start) -> Any:
    start("200 OK", PLAIN)
    return (b"hello",)


def do_generator(environ: Environ, start: Start) -> Any:
    start("200 OK", PLAIN)
    for n in range(number(environ, "n")):
        yield b"%d;" % n


def do_waits(environ: Environ, start: Start) -> Any:
    """Two parts, by write() if so said, and the file `name` between them."""

    def parts() -> Iterator[bytes]:
        yield b"first;"
        while not (STATE / said(environ, "name")).exists():
            time.sleep(0.01)
        yield b"second"

    write = start("200 OK", PLAIN)
    if not said(environ, "write"):
        return parts()
    for part in parts():
        write(part)
    return []


def do_late(environ: Environ, start: Start) -> Any:
    """A generator that calls start_response itself, at its first step."""
    start("201 Created", PLAIN)
    yield b"late"


def do_empty(environ: Environ, start: Start) -> Any:
    start("200 OK", PLAIN)
    return []


def do_empties(environ: Environ, start: Start) -> Any:
    start("200 OK", PLAIN)
    return [b"", b"", b"x", b"", b"y", b""]


def do_nothing_but_empties(environ: Environ, start: Start) -> Any:
    start("200 OK", PLAIN)
    return Body("nothing", [b"", b""])


def do_string(environ: Environ, start: Start) -> Any:
    """Bytes themselves iterate over ints."""
    start("200 OK", PLAIN)
    return b"hello"


class Sub(bytes):
    pass


def do_subclass(environ: Environ, start: Start) -> Any:
    start("200 OK", PLAIN)
    return [Sub(b"sub")] if said(environ, "list") else iter([Sub(b"sub")])


def do_big(environ: Environ, start: Start) -> Any:
    size = number(environ, "size")
    start("200 OK", PLAIN)
    block = b"0123456789abcdef" * (size // 16)
    return [block] if said(environ, "list") else Body("big", [block, block])


def do_len(environ: Environ, start: Start) -> Any:
    class One:
        def __len__(self) -> int:
            return number(environ, "len")

        def __iter__(self) -> Iterator[bytes]:
            return iter([b"one"])

    start("200 OK", PLAIN)
    return One()


def do_status(environ: Environ, start: Start) -> Any:
    start(said(environ, "is"), [("X-A", "b")])
    return [said(environ, "body").encode()]


def do_length(environ: Environ, start: Start) -> Any:
    """Content-Length says n, and the parts are what they are."""
    start("200 OK", [*PLAIN, ("Content-Length", said(environ, "n"))])
    parts = [part.encode() for part in said(environ, "parts").split(",")]
    return parts if said(environ, "list") else Body("length", parts)


def do_more(environ: Environ, start: Start) -> Any:
    """A generator with something to do behind its last part."""
    start("200 OK", [*PLAIN, ("Content-Length", "3")])
    yield b"abc"
    with lock:
        closed.append("more")


# -- headers --------------------------------------------------------------


def do_cookies(environ: Environ, start: Start) -> Any:
    headers = [("Set-Cookie", f"c{n}=\xe9") for n in range(100)]
    start("200 OK", PLAIN + headers)
    headers.clear()
    return [b"x"]


HEADS: dict[str, tuple[Any, ...]] = {
    "status int": (200, PLAIN),
    "status bytes": (b"200 OK", PLAIN),
    "status code": ("200", PLAIN),
    "status short": ("20 OK", PLAIN),
    "status word": ("abc OK", PLAIN),
    "status hundred": ("100 Continue", PLAIN),
    "status newline": ("200 OK\r\nX: y", PLAIN),
    "status snowman": ("200 \u2603", PLAIN),
    "status empty": ("", PLAIN),
    "headers tuple": ("200 OK", tuple(PLAIN)),
    "headers none": ("200 OK", None),
    "headers dict": ("200 OK", dict(PLAIN)),
    "header list": ("200 OK", [["A", "b"]]),
    "header one": ("200 OK", [("A",)]),
    "header three": ("200 OK", [("A", "b", "c")]),
    "header str": ("200 OK", ["ab"]),
    "name bytes": ("200 OK", [(b"A", "b")]),
    "name none": ("200 OK", [(None, "b")]),
    "name empty": ("200 OK", [("", "b")]),
    "name space": ("200 OK", [("A b", "c")]),
    "name colon": ("200 OK", [("A:", "c")]),
    "name newline": ("200 OK", [("A\n", "c")]),
    "name nul": ("200 OK", [("A\0", "c")]),
    "name latin": ("200 OK", [("\xe9", "c")]),
    "name snowman": ("200 OK", [("\u2603", "c")]),
    "value bytes": ("200 OK", [("A", b"b")]),
    "value int": ("200 OK", [("A", 1)]),
    "value newline": ("200 OK", [("A", "b\r\nC: d")]),
    "value return": ("200 OK", [("A", "b\r")]),
    "value nul": ("200 OK", [("A", "b\0")]),
    "value tab": ("200 OK", [("A", "b\tc")]),
    "value delete": ("200 OK", [("A", "b\x7f")]),
    "value snowman": ("200 OK", [("A", "\u2603")]),
    "hop connection": ("200 OK", [("Connection", "close")]),
    "hop encoding": ("200 OK", [("TRANSFER-encoding", "chunked")]),
    "hop upgrade": ("200 OK", [("Upgrade", "h2c")]),
    "length word": ("200 OK", [("Content-Length", "abc")]),
    "length empty": ("200 OK", [("Content-Length", "")]),
    "length minus": ("200 OK", [("Content-Length", "-1")]),
    "length huge": ("200 OK", [("Content-Length", "9" * 30)]),
    "length twice": (
        "200 OK",
        [("Content-Length", "1"), ("content-length", "2")],
    ),
    "large": ("200 OK", [("A", "x" * 1_100_000)]),
}


def do_head(environ: Environ, start: Start) -> Any:
    """One of HEADS; says what start_response has raised."""
    head = HEADS[said(environ, "is").replace("+", " ")]
    try:
        start(*head)
    except Exception as error:
        start("200 OK", PLAIN)
        return [f"{type(error).__name__}: {error}".encode()]
    return [b"taken"]


# -- start_response -------------------------------------------------------


def do_never(environ: Environ, start: Start) -> Any:
    return Body("never", [b"x"])


def do_never_empty(environ: Environ, start: Start) -> Any:
    return []


def do_never_list(environ: Environ, start: Start) -> Any:
    return [b"x"]


def do_twice(environ: Environ, start: Start) -> Any:
    start("200 OK", PLAIN)
    start("201 Created", PLAIN)
    return [b"x"]


def do_replace(environ: Environ, start: Start) -> Any:
    start("200 OK", [*PLAIN, ("X-First", "1"), ("Content-Length", "999")])
    try:
        raise RuntimeError("replaced")
    except RuntimeError:
        start("503 Later", PLAIN, sys.exc_info())
    return [b"sorry"]


def do_replace_late(environ: Environ, start: Start) -> Any:
    """exc_info when the head has gone: it is raised again."""
    start("200 OK", PLAIN)
    yield b"begun"
    try:
        raise RuntimeError("too late")
    except RuntimeError:
        start("503 Later", PLAIN, sys.exc_info())
    yield b"never"


def do_replace_after_write(environ: Environ, start: Start) -> Any:
    """So it is where write has had nothing to send."""
    start("200 OK", PLAIN)(b"")
    try:
        raise RuntimeError("too late")
    except RuntimeError:
        try:
            start("503 Later", PLAIN, sys.exc_info())
        except RuntimeError as error:
            return [str(error).encode()]
    return [b"replaced"]


# -- write ----------------------------------------------------------------


def do_write(environ: Environ, start: Start) -> Any:
    write = start("200 OK", PLAIN)
    write(b"one,")
    write(b"")
    write(b"two,")
    return [b"three"] if said(environ, "list") else iter([b"three"])


def do_write_only(environ: Environ, start: Start) -> Any:
    write = start("200 OK", PLAIN)
    for n in range(number(environ, "n")):
        write(b"%d;" % n)
    return []


def do_write_big(environ: Environ, start: Start) -> Any:
    write = start("200 OK", PLAIN)
    for _ in range(number(environ, "n")):
        write(b"x" * 65536)
    return Body("write", [])


def do_write_str(environ: Environ, start: Start) -> Any:
    start("200 OK", PLAIN)("text")  # type: ignore[arg-type]
    return []


def do_write_beyond(environ: Environ, start: Start) -> Any:
    write = start("200 OK", [*PLAIN, ("Content-Length", "4")])
    write(b"abc")
    try:
        write(b"de")
    except ValueError:
        write(b"d")
    return [b"ef"]


# -- failures -------------------------------------------------------------


def do_raise(environ: Environ, start: Start) -> Any:
    raise getattr(builtins, said(environ, "is"))("at once")


def do_raise_started(environ: Environ, start: Start) -> Any:
    start("200 OK", PLAIN)
    raise RuntimeError("after start_response")


def do_raise_written(environ: Environ, start: Start) -> Any:
    start("200 OK", PLAIN)(b"begun")
    raise RuntimeError("after write")


def raising(before: int) -> Iterator[bytes]:
    for _ in range(before):
        yield b"part"
    raise RuntimeError("in the middle")


def do_raise_iterating(environ: Environ, start: Start) -> Any:
    start("200 OK", PLAIN)
    return Body("raised", raising(number(environ, "n")))


def do_raise_closing(environ: Environ, start: Start) -> Any:
    start("200 OK", PLAIN)
    return Body("closing", [b"all"], RuntimeError("in close"))


def do_raise_both(environ: Environ, start: Start) -> Any:
    start("200 OK", PLAIN)
    return Body("both", raising(0), RuntimeError("in close"))


def do_part(environ: Environ, start: Start) -> Any:
    """A part that is none, behind n that are."""
    parts: dict[str, Any] = {
        "str": "text",
        "none": None,
        "int": 5,
        "bytearray": bytearray(b"x"),
    }
    start("200 OK", PLAIN)
    part = parts[said(environ, "is")]
    if said(environ, "list"):
        return [part]
    return Body("part", [b"good"] * number(environ, "n") + [part])


def do_return(environ: Environ, start: Start) -> Any:
    start("200 OK", PLAIN)
    return {"none": None, "int": 5, "object": object()}[said(environ, "is")]


# -- streams --------------------------------------------------------------


def endless(name: str) -> Iterator[bytes]:
    local = threading.get_ident()
    variable.set(name)
    while True:
        yield b"x" * 16384
        if variable.get() != name or threading.get_ident() != local:
            with lock:
                closed.append(f"moved-{name}")
            return


variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")


def do_endless(environ: Environ, start: Start) -> Any:
    start("200 OK", PLAIN)
    name = said(environ, "name", "endless")
    return Body(name, endless(name))


def do_ticks(environ: Environ, start: Start) -> Any:
    """Parts one by one, as files of their numbers appear."""

    def ticks() -> Iterator[bytes]:
        for n in range(number(environ, "n")):
            while not (STATE / f"tick-{n}").exists():
                time.sleep(0.01)
            yield b"%d;" % n

    start("200 OK", PLAIN)
    return Body("ticks", ticks())


def do_hold(environ: Environ, start: Start) -> Any:
    """Holds its thread until the file of its name appears."""
    name = said(environ, "name")
    (STATE / f"in-{name}").touch()
    while not (STATE / name).exists():
        time.sleep(0.01)
    start("200 OK", PLAIN)
    body = said(environ, "body")
    return Body(body, [b"held"]) if body else [b"held"]


# -- the rest -------------------------------------------------------------

per_thread = threading.local()


def do_context(environ: Environ, start: Start) -> Any:
    """What this thread, and this context, have seen before."""
    before = variable.get("nothing")
    variable.set("something")
    per_thread.count = getattr(per_thread, "count", 0) + 1
    start("200 OK", PLAIN)
    return [f"{before} {per_thread.count}".encode()]


def do_errors(environ: Environ, start: Start) -> Any:
    errors = environ["wsgi.errors"]
    start("200 OK", PLAIN)
    print("first line\nsecond", "line", file=errors)
    errors.writelines(["third ", "line\n", "begun"])
    errors.flush()
    errors.write("not ended")
    return [b"x"]


def do_errors_long(environ: Environ, start: Start) -> Any:
    errors = environ["wsgi.errors"]
    assert errors.write("y" * 100_000) == 100_000
    start("200 OK", PLAIN)
    return [b"x"]


def do_errors_bytes(environ: Environ, start: Start) -> Any:
    environ["wsgi.errors"].write(b"bytes")
    return []


def do_errors_late(environ: Environ, start: Start) -> Any:
    def parts() -> Iterator[bytes]:
        yield b"x"
        environ["wsgi.errors"].write("from the iteration")

    start("200 OK", PLAIN)
    return parts()


def do_exit(environ: Environ, start: Start) -> Any:
    os._exit(3)


def do_thread(environ: Environ, start: Start) -> Any:
    """start_response, write and input on another thread."""
    got: list[bytes] = []

    def run() -> None:
        write = start("200 OK", PLAIN)
        got.append(environ["wsgi.input"].read())
        write(b"from another: ")

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return got


valid = validator(application)  # type: ignore[arg-type]
