# SPDX-License-Identifier: BSD-2-Clause
"""Requests as handlers see them, and whatever they may return."""

from __future__ import annotations

import array
import ctypes
import hashlib
import io
import mmap
import weakref
from collections.abc import Callable
from typing import Any

from resty_ffi import serve

SIZE = 1 << 20


@serve
def seen(request: bytes) -> str:
    return f"{type(request).__name__} {len(request)} {request[:20]!r}"


@serve
def digest(request: bytes) -> str:
    return f"{len(request)} {hashlib.sha1(request).hexdigest()}"


@serve
def echo(request: bytes) -> bytes:
    return request


@serve(view=True)
def view_seen(request: memoryview) -> str:
    kind = type(request).__name__
    return f"{kind} {request.readonly} {request.nbytes} {request.format}"


@serve(view=True)
def view_digest(request: memoryview) -> str:
    return f"{len(request)} {hashlib.sha1(request).hexdigest()}"


@serve(view=True)
def view_echo(request: memoryview) -> memoryview:
    return request


@serve(view=True)
async def view_async(request: memoryview) -> memoryview:
    return request[::1]


@serve(view=True)
def view_release(request: memoryview) -> str:
    part = request[2:4]
    request.release()
    return part.tobytes().decode()


@serve(view=True)
def view_write(request: memoryview) -> None:
    request[0] = 1


@serve(view=True)
class Keeper:
    """Keeps slices of requests, and reads them when asked for."""

    def __init__(self) -> None:
        self.slices: list[memoryview] = []

    def keep(self, request: memoryview) -> None:
        middle = len(request) // 2
        self.slices.append(request[middle - 4 : middle + 4])
        request.release()

    async def read(self, request: memoryview) -> bytes:
        return b"|".join(self.slices)

    def forget(self, request: memoryview) -> str:
        number = len(self.slices)
        self.slices.clear()
        return str(number)


class Exact(bytes):
    """A bytes of a class of one's own."""


class Text(str):
    """A str of a class of one's own."""


def scattered() -> memoryview:
    return memoryview(b"abcdef")[::2]


def mapped() -> mmap.mmap:
    memory = mmap.mmap(-1, 6)
    memory.write(b"mapped")
    return memory


def released() -> memoryview:
    view = memoryview(b"x")
    view.release()
    return view


async def coroutine() -> bytes:
    return b""


ANSWERS: dict[str, Callable[[], Any]] = {
    "bytes": lambda: b"by\0tes",
    "empty": lambda: b"",
    "bytes subclass": lambda: Exact(b"exact"),
    "str": lambda: "t\xe9xt \u4e2d",
    "empty str": str,
    "str subclass": lambda: Text("text"),
    "bytearray": lambda: bytearray(b"bytearray"),
    "memoryview": lambda: memoryview(b"view"),
    "slice": lambda: memoryview(b"a slice")[2:],
    "empty view": lambda: memoryview(b""),
    "array": lambda: array.array("H", [0x4142, 0x4344]),
    "empty array": lambda: array.array("H"),
    "ctypes": lambda: (ctypes.c_char * 3)(b"a", b"b", b"c"),
    "mmap": mapped,
    "BytesIO": lambda: io.BytesIO(b"in memory").getbuffer(),
    "None": lambda: None,
    "int": lambda: 42,
    "bool": lambda: True,
    "list": lambda: [b"x"],
    "tuple": lambda: (1, b"x"),
    "dict": dict,
    "object": object,
    "class": lambda: bytes,
    "coroutine": coroutine,
    "exception": lambda: ValueError("returned"),
    "surrogate": lambda: "\udcff",
    "scattered": scattered,
    "released": released,
}


@serve
def give(request: bytes) -> Any:
    return ANSWERS[request.decode()]()


@serve
async def give_async(request: bytes) -> Any:
    return ANSWERS[request.decode()]()


@serve(threads=3)
def give_pooled(request: bytes) -> Any:
    return ANSWERS[request.decode()]()


alive: weakref.WeakSet[Any] = weakref.WeakSet()


class Counted(bytearray):
    def __hash__(self) -> int:  # type: ignore[override]
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other


@serve
def big(request: bytes) -> Counted:
    answer = Counted(request * (SIZE // len(request)))
    alive.add(answer)
    return answer


@serve
async def big_async(request: bytes) -> Counted:
    return big(request)
