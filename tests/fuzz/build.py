# SPDX-License-Identifier: BSD-2-Clause
"""JSON objects with the keys that mean something, out of any bytes."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from atheris import FuzzedDataProvider

CONSTANTS = (
    *("null", "true", "false", "0", "1", "-1", "0.5", "NaN", "1e999", '""'),
    *("2147483647", "2147483648", "9223372036854775807", "1000"),
    *("9223372036854775808", "9" * 4300, '"base64"', '"aGk="', '"aGk"'),
    *('"\\ud800"', '"a\\u0000b"', '"\\n"', '"topic"', '".."', '"^u.*"'),
    *('"manual"', '"%s%n"', '"' + "x" * 300 + '"', "[]", "{}"),
)
# Around CPython's limit of recursions it matters who is called how deep.
DEPTHS: tuple[int, ...] = (100, *range(960, 1000), 10_000)


class Builder:
    def __init__(self, data: bytes, names: Sequence[str]) -> None:
        self._data = FuzzedDataProvider(data)
        self._names = names

    def object(self, least: Sequence[str] = (), depth: int = 0) -> str:
        """least: items that it has."""
        items = [
            f"{json.dumps(self._name())}:{self._value(depth + 1)}"
            for _ in range(self._below(7))
        ]
        return "{" + ",".join([*least, *items]) + "}"

    def _below(self, number: int) -> int:
        return int(self._data.ConsumeIntInRange(0, number - 1))

    def _one_of(self, texts: Sequence[str]) -> str:
        return texts[self._below(len(texts))]

    def _text(self) -> str:
        return str(self._data.ConsumeUnicode(12))

    def _name(self) -> str:
        return self._one_of(self._names) if self._below(8) else self._text()

    def _value(self, depth: int) -> str:
        kinds: list[Callable[[], str]] = [
            lambda: self._one_of(CONSTANTS),
            lambda: self._one_of(CONSTANTS),
            lambda: json.dumps(self._text()),
            lambda: str(self._data.ConsumeInt(9)),
            lambda: self._list(depth),
            lambda: self.object(depth=depth),
            self._deep,
        ]
        return kinds[self._below(len(kinds) if depth < 4 else 4)]()

    def _list(self, depth: int) -> str:
        items = [self._value(depth + 1) for _ in range(self._below(5))]
        return "[" + ",".join(items) + "]"

    def _deep(self) -> str:
        depth = DEPTHS[self._below(len(DEPTHS))]
        return "[" * depth + "]" * depth
