# SPDX-License-Identifier: BSD-2-Clause
"""A call whose answer is read in parts, outside of nginx."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator

from ._error import Error
from ._standin_call import Answer, Call


class Stream(Iterator[bytes]):
    """The parts of an answer, with a caller's back-pressure.

        with rt.stream("name", b"request", body=parts) as stream:
            for part in stream:
                ...

    The handler is some 64 KiB ahead of who reads. Where it fails, the parts
    that it has sent come first, then `Error(rc, body)` is raised, also of
    other exceptions: Lua gets no more. TimeoutError when time has run out.
    """

    def __init__(self, call: Call, body: Iterable[bytes] | None) -> None:
        self._call = call
        self._answer: Answer | None = None
        if body is not None:
            threading.Thread(
                target=self._feed, args=(body,), daemon=True
            ).start()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __next__(self) -> bytes:
        part = self.read()
        if part is None:
            raise StopIteration
        return part

    def read(self) -> bytes | None:
        """The next part; None at the end."""
        if self._answer is not None:
            return None
        part = self._call.next_part()
        if part is not None:
            return part
        self.close()
        answer: Answer | None = self._answer
        if answer is None or answer == ():
            raise TimeoutError("the handler has not answered in time")
        if not answer[0]:
            raise Error(answer[1], answer[2])
        return answer[1] or None

    def write(self, part: bytes) -> None:
        """Add a part to the request; waits for the handler to read others.

        BrokenPipeError where it has answered.
        """
        self._call.write(part)

    def finish(self) -> None:
        """The request is complete."""
        self._call.finish()

    def close(self) -> None:
        """Wait no more; the handler is told where it has not answered."""
        if self._answer is None:
            self._answer = self._call.settle() or ()
            if not self._answer:
                self._call.queue.tell(self._call)

    def _feed(self, body: Iterable[bytes]) -> None:
        with contextlib.suppress(BrokenPipeError):
            for part in body:
                self._call.write(part)
        self._call.finish()
