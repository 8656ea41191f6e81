# SPDX-License-Identifier: BSD-2-Clause
"""What a handler can ask about the call that it answers."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Protocol

from ._loader import speaker

try:
    import _resty_ffi as native
except ImportError:  # not inside nginx
    native = None  # type: ignore[assignment]


class Call(Protocol):
    """One call from Lua; usable from any thread while its handler runs."""

    @property
    def method(self) -> str:
        """The name of the Lua method; "" for `rt(request)`."""

    @property
    def deadline(self) -> float | None:
        """When the caller stops waiting, in `time.monotonic()` seconds.

        None: never.
        """

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for the answer any more.

        A coroutine is cancelled besides; a plain function has to look here.
        """

    @property
    def trace(self) -> str | None:
        """The traceparent (W3C Trace Context) that came with the call.

        That of the client's request, or what the caller has given; None where
        there is none, or it is malformed.
        """

    def send(self, part: object, /) -> None:
        """Send a part of the answer: bytes, str or any contiguous buffer.

        The result of the handler comes behind it. Waits, without holding up
        other threads, while the caller has not taken enough of what was sent
        before: not for the thread of an event loop, where it raises
        RuntimeError; yield the parts there. Do not change a buffer that was
        sent. BrokenPipeError where nobody waits for the answer any more,
        TypeError for any other part, RuntimeError where the call has been
        answered.
        """

    def on_delivered(self, callback: Callable[[bool], object], /) -> None:
        """Have `callback(delivered)` called when the answer's fate is known.

        delivered: True where a live Lua coroutine was resumed with the
        answer; False where nobody waited any more. The callback runs soon
        after, once, on a thread of the runtime or on its event loop, where it
        must not block. To be called before the handler returns; several
        callbacks may be given. TypeError where it is not callable,
        RuntimeError where the call has been answered.

        Where the answer has parts it is the fate of the next one that is not
        empty, yielded or sent: True when Lua has read it, or its bytes have
        been handed to the client's connection; False where it could not be
        sent, or nobody has taken it. Behind the last part it is the answer's.
        """


call_var: ContextVar[Call | None] = speaker.call_var


def current() -> Call:
    """The call that runs in this thread, or in this asyncio task.

    Tasks and threads that a coroutine starts with its context see the same.
    LookupError where no call runs.
    """
    call: Call | None = None
    if native is not None:
        call = native.current()
    if call is None:
        call = call_var.get()
    if call is None:
        raise LookupError("no call runs here")
    return call
