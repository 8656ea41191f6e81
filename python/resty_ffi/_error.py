# SPDX-License-Identifier: BSD-2-Clause
"""The exception by which a handler chooses what Lua gets."""

from __future__ import annotations

INT32 = range(-(2**31), 2**31)


class Error(Exception):
    """Raised by a handler: Lua gets `false, rc, body`; nothing is logged.

    rc: a 32-bit integer other than 0, which means success.
    body: bytes, str (sent as UTF-8), any buffer (copied), or None for none.
    ValueError for any other rc, TypeError for any other body.
    """

    # for subclasses that do not call __init__
    rc: int = 1
    body: bytes | None = None

    def __init__(
        self,
        rc: int,
        body: bytes | bytearray | memoryview | str | None = None,
    ) -> None:
        super().__init__(rc, body)
        self.rc = rc
        self.body = body  # type: ignore[assignment]
        self.rc, self.body = self._chosen()

    def _chosen(self) -> tuple[int, bytes | None]:
        """Status and body; raises what __init__ does."""
        rc = self.rc
        if isinstance(rc, bool) or not isinstance(rc, int):
            raise ValueError(f"rc must be an integer, got {rc!r}")
        if rc == 0 or rc not in INT32:
            raise ValueError(f"rc must be a 32-bit integer, not 0: got {rc}")
        return rc, _bytes(self.body)

    def __str__(self) -> str:
        if self.body is None:
            return str(self.rc)
        return f"{self.rc}: {self.body.decode(errors='backslashreplace')}"


def _bytes(body: object) -> bytes | None:
    if body is None or isinstance(body, bytes):
        return body
    if isinstance(body, str):
        return body.encode()
    try:
        with memoryview(body) as view:  # type: ignore[arg-type]
            return view.tobytes()
    except TypeError:
        raise TypeError(
            "body must be bytes, str, a buffer or None,"
            f" got {type(body).__name__}"
        ) from None
