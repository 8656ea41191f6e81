# SPDX-License-Identifier: BSD-2-Clause
"""One request and its answer, as ASGI's receive and send."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .._loader.errors import LOG_INFO, describe
from .._log import Log
from .._native import native
from .._streams import TURN, Waits

# What has become of the answer.
NOTHING, HEAD, PARTS, TRAILERS, COMPLETE = range(5)

DISCONNECT = "http.disconnect"
# The loop's, until a task that has waited for one that receives has cancelled
# one that sends. Django closes its response then, and not where send() raises.
LISTENERS_TURNS = 5

# Bytes of a file that is read here, and of a message of a request's body.
PART = 65536


class GoneError(BrokenPipeError):
    """Nobody waits for the answer any more."""


@dataclass(frozen=True)
class Shared:
    """What the exchanges of one application share."""

    name: str
    heads: native.Heads
    waits: Waits
    log: Log


class Exchange(native.Exchange):
    """What its base, in C, leaves: it calls _receive, _send and _pause.

    _told: the application knows that nobody waits for the answer.
    """

    __slots__ = ()

    _shared: Shared

    async def _receive(self) -> dict[str, Any]:
        while not self._body_ended and self.state != COMPLETE:
            # between these lines no other task that receives can run
            part, self._ahead = self._ahead, None
            try:
                if part is None:
                    part = self._call._read_now()
            except BrokenPipeError:
                break
            if part:
                part = self._gather(part)
            if part is not None:
                self._body_ended = not part or self._ahead == b""
                return {
                    "type": "http.request",
                    "body": part,
                    "more_body": not self._body_ended,
                }
            await self._wait()
        while self.state != COMPLETE and not native.gone(self._number):
            await self._wait()
        self._told = self._told or self.state != COMPLETE
        return {"type": DISCONNECT}

    def _gather(self, part: bytes) -> bytes:
        """With what is there besides; as the base has it in C."""
        try:
            while ahead := self._call._read_now():
                if len(part) + len(ahead) > PART:
                    break
                part += ahead
            self._ahead = ahead
        except BrokenPipeError:
            pass  # which the next read is told, too
        return part

    async def _wait(self) -> None:
        self._waiting += 1
        try:
            await self._shared.waits.wait(self._number)
        finally:
            self._waiting -= 1

    async def _send(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        state = self.state
        if kind == "http.response.body" and NOTHING < state < TRAILERS:
            body = message.get("body", b"")
            if type(body) is not bytes:
                body = _copy(body)
            if state == HEAD and self._send_head():
                await self._raise_gone()
            if message.get("more_body", False):
                await self._send_part(body)
            elif self._trailers:
                await self._send_part(body)
                self.state = TRAILERS
            elif self._complete(body):
                await self._raise_gone()
        elif kind == "http.response.start" and state == NOTHING:
            # which goes out with the first part of the body
            self._status = message["status"]
            self._headers = message.get("headers", ())
            self._trailers = bool(message.get("trailers", False))
            self.state = HEAD
        elif kind == "http.response.early_hint" and state == NOTHING:
            links = [(b"link", link) for link in message["links"]]
            if self._shared.heads.send_hints(self._number, links):
                await self._raise_gone()
        elif kind == "http.response.pathsend" and state == HEAD:
            await self._send_path(message["path"])
        elif kind == "http.response.trailers" and state == TRAILERS:
            await self._send_trailers(message)
        elif self._told:
            # what comes behind a send() that has raised makes no sense
            await self._raise_gone()
        else:
            raise RuntimeError(f"{kind!r} was sent, but {_EXPECTED[state]}")

    def _send_head(self) -> int:
        """An error number where nobody waits for the answer any more."""
        error = self._shared.heads.send(
            self._number, self._status, self._headers
        )
        if not error:
            self.state = PARTS
        return error

    async def _send_part(self, body: bytes) -> None:
        if body:
            await self._have_sent(self._call._send, body)
        elif native.gone(self._number):
            await self._raise_gone()
        self._sent += 1
        if not self._sent % TURN:
            await self._pause()

    async def _pause(self) -> None:
        """Let other tasks have their turn."""
        await asyncio.sleep(0)

    async def _have_sent(self, send: Callable[..., int], *args: Any) -> int:
        """Call send until there is room for what it has; 0, or EMFILE."""
        error = send(*args)
        while error == errno.EAGAIN:
            await self._wait()
            if self.state == COMPLETE:
                raise RuntimeError("the answer was completed meanwhile")
            error = send(*args)
        if error and error != errno.EMFILE:
            await self._raise_gone()
        return error

    async def _send_path(self, path: str) -> None:
        """Of a regular file, which nginx then reads."""
        file, size = _open_file(path)
        try:
            if self._send_head():
                await self._raise_gone()
            send = self._shared.heads.send_file
            if size and not await self._have_sent(
                send, self._number, file, size
            ):
                file = -1
            elif size:
                # so many are on their way that nginx takes no more of them
                await self._send_read(file)
        finally:
            if file != -1:
                os.close(file)
        if self._trailers:
            self.state = TRAILERS
        elif self._complete(b""):
            await self._raise_gone()

    async def _send_read(self, file: int) -> None:
        offset = 0
        while part := await asyncio.to_thread(os.pread, file, PART, offset):
            offset += len(part)
            await self._send_part(part)

    async def _send_trailers(self, message: dict[str, Any]) -> None:
        headers = message.get("headers", ())
        if self._shared.heads.send_trailers(self._number, headers):
            await self._raise_gone()
        if not message.get("more_trailers", False) and self._complete(b""):
            await self._raise_gone()

    def _complete(self, body: bytes) -> bool:
        """Whether nobody waited for it any more."""
        gone = native.gone(self._number)
        self.state = COMPLETE
        self._call._answer(body or None)
        if self._waiting:
            self._shared.waits.tell(self._number)
        return gone

    async def _raise_gone(self) -> None:
        """Behind who waits in receive, and acts on http.disconnect."""
        self._told = True
        self._shared.waits.tell(self._number)
        for _ in range(LISTENERS_TURNS):
            await asyncio.sleep(0)
        raise GoneError(errno.EPIPE, "the client has gone")

    def end(self) -> None:
        """The application has returned, and its answer is not complete."""
        if native.gone(self._number):
            self._complete_for_nobody()
            return
        what = (
            "without an answer"
            if self.state < PARTS
            else "before its answer was complete"
        )
        self.fail(RuntimeError(f"the application has returned {what}"))

    def fail(self, error: BaseException) -> None:
        """It has raised."""
        if self._told and _is_of_gone(error):
            text = (
                f"FFI039: ffi_python3: {self._shared.name}: {describe(error)}"
            )
            native.log(LOG_INFO, text, self._number)
            if self.state != COMPLETE:
                self._complete_for_nobody()
        elif self.state == COMPLETE:
            self._shared.log(error, self._number)
        else:
            self.state = COMPLETE
            self._call._fail(error)
            self._shared.waits.tell(self._number)

    def _complete_for_nobody(self) -> None:
        self.state = COMPLETE
        self._call._answer(None)
        self._shared.waits.tell(self._number)


_EXPECTED = {
    NOTHING: "'http.response.start' has to come first",
    HEAD: "'http.response.body' has to come next",
    PARTS: "'http.response.body' has to come next",
    TRAILERS: "'http.response.trailers' has to come next",
    COMPLETE: "the answer was complete",
}


def _copy(body: Any) -> bytes:
    """Of what may change once it has been sent."""
    if not isinstance(body, bytes | bytearray | memoryview):
        kind = type(body).__name__
        raise TypeError(
            f"the body of 'http.response.body' is {kind}, not bytes"
        )
    return bytes(body)


def _open_file(path: str) -> tuple[int, int]:
    """A descriptor of a regular file, and its size."""
    if not os.path.isabs(path):
        raise ValueError(f"{path!r} of 'http.response.pathsend' is relative")
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            raise ValueError(f"{path!r} is no regular file")
    except BaseException:
        os.close(file)
        raise
    return file, found.st_size


def _is_of_gone(error: BaseException | None) -> bool:
    """Whether that a client has gone is all that an exception tells.

    ClientDisconnect is Starlette's, which says so of its own accord.
    """
    if isinstance(error, GoneError):
        return True
    if error is None:
        return False
    if type(error).__name__ == "ClientDisconnect":
        return True
    group = getattr(error, "exceptions", None)
    if isinstance(group, tuple):
        return all(map(_is_of_gone, group))
    return _is_of_gone(error.__cause__)
