# SPDX-License-Identifier: BSD-2-Clause
"""What a call gets where its handler has returned no answer."""

from __future__ import annotations

from collections.abc import Callable

from ._error import Error

NO_METHOD = 404


class Answers:
    """Of one runtime; C and its stand-in ask for them.

    name: of the runtime. describe: gives the text of an exception, and tells
    error.log of it.
    """

    def __init__(
        self, name: str, describe: Callable[[BaseException], str]
    ) -> None:
        self._name = name
        self._describe = describe

    def no_method(self, method: str) -> Error:
        """method: as Lua calls it, with surrogates for what is no UTF-8."""
        what = method[:100] or "__call__"
        text = f"AttributeError: {self._name[:80]} has no method '{what}'"
        if not method:
            text += ", which rt(request) needs"
        return Error(NO_METHOD, text.encode("utf-8", "surrogateescape"))

    def wrong_type(self, result: object) -> TypeError:
        kind = type(result).__name__
        return TypeError(
            f"{self._name}: returned {kind}, not bytes, str, a buffer or None"
        )

    def wrong_part(self, part: object) -> TypeError:
        kind = type(part).__name__
        return TypeError(
            f"{self._name}: yielded {kind}, not bytes, str, a buffer or None"
        )

    def failed(self, error: BaseException) -> tuple[int, bytes | str | None]:
        """Status and body of what a handler has raised."""
        if isinstance(error, Error):
            try:
                return error._chosen()
            except Exception:
                pass  # of attributes that were assigned later
        return 1, self._describe(error)
