# SPDX-License-Identifier: BSD-2-Clause
"""WSGI applications (PEP 3333), on threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from .._handlers import Handlers
from .._native import native
from .._threads import Threads
from ._answers import Answers
from ._errors import Errors
from ._input import open_input
from ._response import Response


class Wsgi(Threads):
    """An application, as `target`; nginx's requests are its calls."""

    def _resolve(self) -> Handlers:
        self._heads = native.Heads()
        self._environ = {
            "wsgi.version": (1, 0),
            "wsgi.errors": Errors(self._name),
            "wsgi.multithread": self._threads > 1,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
            "wsgi.input_terminated": True,
        }
        return Handlers(
            function=self._handle,
            methods=None,
            coroutines=frozenset(),
            readers={},
            close=None,
        )

    def _make_readers(
        self, handlers: Handlers
    ) -> dict[Callable[..., Any], Callable[..., Any]]:
        return {self._handle: _take}

    def _make_answers(self) -> Answers:
        return Answers(self._name, self._log)

    def _handle(self, call: native.Call) -> bytes | Iterator[bytes] | None:
        environ: dict[str, Any] = self._heads.environ(call._number)
        environ.update(self._environ)
        environ["wsgi.input"] = open_input(call)
        response = Response(call, self._heads)
        parts = self._target(environ, response.start)
        return _answer(response, parts)


def _take(call: native.Call, body: bytes | None) -> native.Call:
    return call


def _answer(
    response: Response, parts: Iterable[bytes]
) -> bytes | Iterator[bytes] | None:
    """What the answer ends with, or goes on with."""
    if type(parts) is list and len(parts) == 1:
        response.send_head(parts[0], len(parts[0]))
        return parts[0]
    return _iterate(response, parts)


def _iterate(response: Response, parts: Iterable[bytes]) -> Iterator[bytes]:
    try:
        for part in parts:
            if part:
                response.send_head(part)
                yield part
        response.send_head(b"", 0)
    finally:
        close = getattr(parts, "close", None)
        if close is not None:
            close()
