# SPDX-License-Identifier: BSD-2-Clause
"""Says what its caller asks for, in each of Python's ways."""

from __future__ import annotations

import asyncio
import gc
import io
import logging
import sys
import threading
import warnings
from collections.abc import Callable

from resty_ffi import serve

logger = logging.getLogger("talks.shop")


def by_logging(text: str) -> None:
    logger.debug("debug %s", text)
    logger.info("info %s", text)
    logger.warning("warning %s", text)
    logger.error("error %s", text)
    logger.critical("critical %s", text)
    logger.log(25, "notice %s", text)
    logging.info("root %s", text)


def by_exception(text: str) -> None:
    try:
        raise ValueError(text)
    except ValueError:
        logger.exception("caught")


def by_print(text: str) -> None:
    print("printed", text)


def by_stderr(text: str) -> None:
    print("to stderr", text, file=sys.stderr)


def by_warning(text: str) -> None:
    warnings.warn(f"warned {text}", UserWarning, stacklevel=1)


def by_raising(text: str) -> None:
    raise LookupError(text)


def by_unraisable(text: str) -> None:
    class Fails:
        def __del__(self) -> None:
            raise OSError(text)

    Fails()
    gc.collect()


def by_parts(text: str) -> None:
    print("one", end=" ")
    sys.stdout.write("two ")
    sys.stdout.writelines(["three ", text + "\n", "\n", "four\r\n"])


def by_begun(text: str) -> None:
    print(f"begun {text}", end="")


def by_flush(text: str) -> None:
    print(f"flushed {text}", end="", flush=True)


def by_buffer(text: str) -> None:
    sys.stdout.buffer.write(f"bytes {text} é\n".encode())
    sys.stdout.buffer.write(b"\xff no utf-8\n")
    assert not sys.stdout.isatty()
    assert (sys.stdout.fileno(), sys.stderr.fileno()) == (1, 2)
    assert isinstance(sys.stdout, io.TextIOBase)


def by_control(text: str) -> None:
    print(f"a\0b\x1b[31m{text}\x7f\x9b\ttab")


def by_lines(text: str) -> None:
    logger.warning("first %s\n2000/01/01 00:00:00 [error] forged", text)


def by_long_line(text: str) -> None:
    print(text + "x" * (1 << 20))


def by_long_part(text: str) -> None:
    print(text, end="")
    for _ in range(1 << 10):
        print("y" * 1024, end="")
    print()


def by_recursion(text: str) -> None:
    class Logs:
        def __str__(self) -> str:
            logger.warning("%s", Logs())
            return text

    logger.warning("recursion %s", Logs())


def by_bad_arguments(text: str) -> None:
    logger.warning("%d", text)


def by_thread(text: str) -> None:
    thread = threading.Thread(target=by_raising, args=(text,), name="mine")
    thread.start()
    thread.join()


def by_daemon(text: str) -> None:
    def talk() -> None:
        by_logging(text)
        by_print(text)
        print(f"never ended {text}", end="")

    thread = threading.Thread(target=talk, daemon=True)
    thread.start()
    thread.join()


def act(request: bytes) -> None:
    name, _, text = request.decode().partition(" ")
    ways: dict[str, Callable[[str], None]] = globals()
    ways[f"by_{name}"](text)


@serve
def function(request: bytes) -> None:
    act(request)


@serve
class Plain:
    def speak(self, request: bytes) -> None:
        act(request)


@serve
class Loop:
    async def speak(self, request: bytes) -> None:
        act(request)

    async def to_thread(self, request: bytes) -> None:
        await asyncio.to_thread(act, request)

    async def never_retrieved(self, request: bytes) -> None:
        async def fail() -> None:
            act(b"raising " + request)

        task = asyncio.create_task(fail())
        await asyncio.wait([task])
        del task
        gc.collect()

    async def in_a_callback(self, request: bytes) -> None:
        asyncio.get_running_loop().call_soon(act, b"raising " + request)
        await asyncio.sleep(0.01)

    async def two_tasks(self, request: bytes) -> None:
        text = request.decode()

        async def talk(name: str) -> None:
            print(f"{name} begins", end="")
            await asyncio.sleep(0.01)
            print(f", {name} ends {text}")

        await asyncio.gather(talk("a"), talk("b"))


def application(environ, start_response):  # type: ignore[no-untyped-def]
    """WSGI's."""
    act(environ["QUERY_STRING"].replace("+", " ").encode())
    start_response("200 OK", [])
    return [b"said"]


async def app(scope, receive, send):  # type: ignore[no-untyped-def]
    """ASGI's."""
    if scope["type"] != "http":
        raise NotImplementedError
    act(scope["query_string"].replace(b"+", b" "))
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"said"})
