# SPDX-License-Identifier: BSD-2-Clause
"""WSGI applications (PEP 3333), on threads."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from .._handlers import Handlers
from .._loader.lines import are_plain
from .._native import native
from .._threads import Threads
from ._answers import Answers
from ._errors import Errors
from ._files import SMALL, FileWrapper
from ._input import Input
from ._response import Response, check_part

# Between two wake-ups of nginx by a thread, while requests wait.
QUIET_US = 1000


class Wsgi(Threads):
    """An application, as `target`; nginx's requests are its calls."""

    def _resolve(self) -> Handlers:
        native.buffer_requests(self._tq)
        native.quiet(self._tq, QUIET_US)
        self._errors = Errors(self._name)
        self._environs = native.Environs(
            {
                "wsgi.version": (1, 0),
                "wsgi.errors": sys.stderr if are_plain() else self._errors,
                "wsgi.multithread": self._threads > 1,
                "wsgi.multiprocess": True,
                "wsgi.run_once": False,
                "wsgi.input_terminated": True,
                "wsgi.file_wrapper": FileWrapper,
                "SERVER_SOFTWARE": "nginx",
            }
        )
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
        return Answers(self._name, self._log, self._tq)

    def _handle(self, call: native.Call) -> bytes | Iterator[bytes]:
        """What the answer ends with, or goes on with."""
        environ = self._environs.new(call._number)
        environ["wsgi.input"] = Input(call)
        response = Response(call)
        try:
            parts = self._target(environ, response.start)
        finally:
            if self._errors.begun:
                self._errors.flush()
        if type(parts) is list and len(parts) == 1:
            (part,) = parts
            if type(part) is not bytes:
                check_part(part)
            if not response.sent:
                response.send_head(len(part))
            return part if response.left is None else response.take(part)
        rest = self._iterate(
            call, response, parts, environ["REQUEST_METHOD"] == "HEAD"
        )
        next(rest)
        return rest

    def _iterate(
        self,
        call: native.Call,
        response: Response,
        parts: Iterable[bytes],
        head_only: bool,
    ) -> Iterator[bytes]:
        """Sends the head with the first part, and answers when all is sent;
        what the application's own iterable does then keeps nobody waiting."""
        complete = False
        try:
            # What has begun gets to its `finally` whatever comes.
            yield b""
            if type(parts) is FileWrapper and not response.sent:
                complete = _send_file(call, response, parts, head_only)
                if complete:
                    return
            iterator = iter(parts)
            for part in iterator:
                if type(part) is not bytes:
                    check_part(part)
                if part:
                    if not response.sent:
                        response.send_head(_known_length(parts, part))
                    if head_only or response.is_enough(part):
                        call._answer(response.take(part))
                        complete = True
                        # so that a generator gets to its end
                        next(iterator, None)
                        break
                    part = response.take(part)
                yield part
            if not complete:
                if not response.sent:
                    response.send_head(-1 if head_only else 0)
                call._answer(None)
                complete = True
        except Exception as error:
            if not complete:
                raise
            self._log(error)
        finally:
            self._close_parts(parts, complete)

    def _close_parts(self, parts: Iterable[bytes], complete: bool) -> None:
        close = getattr(parts, "close", None)
        try:
            if close is not None:
                close()
        except Exception as error:
            if not complete:
                raise
            self._log(error)
        finally:
            if self._errors.begun:
                self._errors.flush()


def _take(call: native.Call, body: bytes | None) -> native.Call:
    return call


def _send_file(
    call: native.Call, response: Response, parts: FileWrapper, head_only: bool
) -> bool:
    """Answers, and knows the length; or does not: the file is to be read."""
    found = parts.find()
    if found is None:
        return False
    fd, offset, length = found
    response.send_head(length)
    if response.left is not None:
        length = min(length, response.left)
    response.left = length
    if head_only or not length:
        call._answer(None)
        return True
    if length < SMALL or not response.send_file(fd, offset, length):
        return False
    call._answer(None)
    return True


def _known_length(parts: Iterable[bytes], first: bytes) -> int:
    """Of the body, or -1: the first part may be all there is."""
    try:
        if len(parts) == 1:  # type: ignore[arg-type]
            return len(first)
    except (AttributeError, NotImplementedError, TypeError):
        pass
    return -1
