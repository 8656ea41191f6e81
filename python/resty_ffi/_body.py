# SPDX-License-Identifier: BSD-2-Clause
"""Requests in parts, as they arrive."""

from __future__ import annotations

import collections.abc
import inspect
import re
import typing
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Protocol


class Source(Protocol):
    """The call whose request is read."""

    @property
    def _number(self) -> int: ...
    def _first(self) -> bytes: ...
    def _read(self) -> bytes: ...
    def _read_now(self) -> bytes | None: ...


class _Buffer:
    """What has been read of a request, and not been taken yet.

    body: all of it, where it is known.
    """

    def __init__(self, call: Source, body: bytes | None) -> None:
        self._call = call
        self._part: bytes | None = body
        self._offset = 0
        self._ended = body is not None
        if body is None:
            self._part = call._first()

    def _take_part(self) -> bytes:
        """What is left of the part that was read last."""
        part, offset = self._part, self._offset
        self._part, self._offset = None, 0
        return part[offset:] if part else b""

    def _keep(self, part: bytes) -> bytes:
        self._ended = not part
        return part

    def _cut(self, part: bytes, size: int) -> bytes:
        """Take so many bytes of a part, and keep the others."""
        self._part, self._offset = part, size
        return part[:size]

    def _put_back(self, parts: list[bytes]) -> None:
        self._part, self._offset = b"".join(parts) + self._take_part(), 0

    def _read_kept(self, size: int) -> bytes | None:
        """So many bytes of what is kept; None where it has not that many."""
        part = self._part
        if part is None or size < 0 or len(part) - self._offset < size:
            return None
        begin = self._offset
        self._offset += size
        return part[begin : self._offset]


class BodyReader(_Buffer, Iterator[bytes]):
    """The request of a plain handler, in parts of any size.

        @serve(threads=4)
        def count(body: BodyReader) -> str:
            return str(sum(map(len, body)))

    It waits for what has not come yet, and blocks its thread for that.
    BrokenPipeError where nobody waits for the answer any more.
    """

    def __next__(self) -> bytes:
        part = self._take_part() or self._next()
        if not part:
            raise StopIteration
        return part

    def read(self, size: int = -1) -> bytes:
        """So many bytes, fewer at the end; without size: all that come."""
        kept = self._read_kept(size)
        if kept is not None:
            return kept
        parts = [part := self._take_part()]
        left = size - len(part)
        while (size < 0 or left > 0) and (part := self._next()):
            if size >= 0 and left < len(part):
                part = self._cut(part, left)
            left -= len(part)
            parts.append(part)
        return b"".join(parts)

    def _next(self) -> bytes:
        return b"" if self._ended else self._keep(self._call._read())


class AsyncBodyReader(_Buffer, AsyncIterator[bytes]):
    """The request of an asynchronous handler, in parts of any size.

        @serve
        async def count(body: AsyncBodyReader) -> str:
            return str(sum([len(part) async for part in body]))

    BrokenPipeError where nobody waits for the answer any more, if the
    handler's task is not cancelled before.
    """

    def __init__(
        self,
        wait: Callable[[int], Awaitable[None]],
        call: Source,
        body: bytes | None,
    ) -> None:
        super().__init__(call, body)
        self._wait = wait

    async def __anext__(self) -> bytes:
        part = await self._next()
        if not part:
            raise StopAsyncIteration
        return part

    async def read(self, size: int = -1) -> bytes:
        """So many bytes, fewer at the end; without size: all that come.

        Where it is cancelled, the next one has what this one had read.
        """
        kept = self._read_kept(size)
        if kept is not None:
            return kept
        parts: list[bytes] = []
        left = size
        try:
            while (size < 0 or left > 0) and (part := await self._next()):
                if size >= 0 and left < len(part):
                    part = self._cut(part, left)
                left -= len(part)
                parts.append(part)
        except BaseException:
            self._put_back(parts)
            raise
        return b"".join(parts)

    async def _next(self) -> bytes:
        while True:
            # another task may have left some meanwhile
            if part := self._take_part():
                return part
            if self._ended:
                return b""
            read = self._call._read_now()
            if read is not None:
                return self._keep(read)
            await self._wait(self._call._number)


Reader = type[BodyReader] | type[AsyncBodyReader]

_PLAIN = (collections.abc.Iterator, collections.abc.Iterable)
_ASYNC = (collections.abc.AsyncIterator, collections.abc.AsyncIterable)
_NAMES: dict[str, Reader] = {
    "BodyReader": BodyReader,
    "AsyncBodyReader": AsyncBodyReader,
    **{f"{kind.__name__}[bytes]": BodyReader for kind in _PLAIN},
    **{f"{kind.__name__}[bytes]": AsyncBodyReader for kind in _ASYNC},
}


def reader_of(handler: Callable[..., Any]) -> Reader | None:
    """What a handler's first parameter is declared as; None: no reader."""
    try:
        parameters = inspect.signature(handler).parameters
    except (TypeError, ValueError):
        return None
    first = next(iter(parameters.values()), None)
    if first is None or first.annotation is first.empty:
        return None
    return _reader(_resolve(handler, first.name, first.annotation))


def _resolve(handler: Any, name: str, annotation: Any) -> Any:
    if not isinstance(annotation, str):
        return annotation
    function = (
        handler if inspect.isroutine(handler) else type(handler).__call__
    )
    try:
        return typing.get_type_hints(function)[name]
    except Exception:
        pass  # of another parameter, or of a name for type checkers alone
    function = inspect.unwrap(function)
    try:
        return eval(annotation, getattr(function, "__globals__", {}))
    except Exception:
        return annotation


def _reader(annotation: Any) -> Reader | None:
    if isinstance(annotation, str):
        return _NAMES.get(re.sub(r"\w+\.|\s", "", annotation))
    if annotation is BodyReader or annotation is AsyncBodyReader:
        return annotation
    if typing.get_args(annotation) != (bytes,):
        return None
    origin = typing.get_origin(annotation)
    if origin in _PLAIN:
        return BodyReader
    return AsyncBodyReader if origin in _ASYNC else None
