# SPDX-License-Identifier: BSD-2-Clause
"""What a call gets where its handler has returned no answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ._error import Error

NO_METHOD = 404
MAX_TOLD = 100


class Answers:
    """Of one runtime; C and its stand-in ask for them.

    name: of the runtime. describe: gives the text of an exception, and tells
    error.log of it.
    """

    def __init__(
        self, name: str, describe: Callable[[BaseException, Any], str]
    ) -> None:
        self._name = name
        self._describe = describe
        # methods, and of which wrong type their results were
        self._told: set[tuple[str | None, str]] = set()

    def no_method(self, method: str) -> Error:
        """method: as Lua calls it, with surrogates for what is no UTF-8."""
        what = method[:100] or "__call__"
        text = f"AttributeError: {self._name[:80]} has no method '{what}'"
        if not method:
            text += ", which rt(request) needs"
        return Error(NO_METHOD, text.encode("utf-8", "surrogateescape"))

    def wrong_type(self, result: object, method: str | None) -> Exception:
        """What a call fails with; error.log is told once of it.

        That is, of each method and type, and of no more than MAX_TOLD.

        method: as no_method has it; None where one handler has them all.
        """
        text = self._wrong("returned", result, method)
        told = method, type(result).__name__
        if told in self._told or len(self._told) >= MAX_TOLD:
            return Error(1, f"TypeError: {text}")
        self._told.add(told)
        return TypeError(text)

    def wrong_part(self, part: object, method: str | None) -> TypeError:
        return TypeError(self._wrong("yielded", part, method))

    def _wrong(self, did: str, what: object, method: str | None) -> str:
        name = self._name
        if method is not None:
            name += f".{method or '__call__'}"
        text = f"{name}: {did} {type(what).__name__}, not bytes, str, a buffer"
        text += " or None"
        if isinstance(what, (dict, list)):
            text += "; json.dumps makes a str of it"
        return text

    def failed(
        self, error: BaseException, task: Any
    ) -> tuple[int, bytes | str | None]:
        """Status and body of what a handler has raised, in a call's task."""
        if isinstance(error, Error):
            try:
                return error._chosen()
            except Exception:
                pass  # of attributes that were assigned later
        return 1, self._describe(error, task)
