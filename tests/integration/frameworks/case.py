# SPDX-License-Identifier: BSD-2-Clause
"""A request, and what its answer has to be."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from ..client import eventually

# More than any buffer on its way, or any limit for what is kept in memory.
LARGE = bytes(range(256)) * 20_480


@dataclass(frozen=True)
class Case:
    """send: what httpx.Client.request takes besides.

    headers: those that are compared; None: must not be there.
    body: bytes, or text; None: any.
    json: what the body says; None: any.
    """

    name: str
    path: str
    method: str = "GET"
    send: Mapping[str, Any] = field(default_factory=dict)
    status: int = 200
    headers: Mapping[str, str | None] = field(default_factory=dict)
    body: bytes | str | None = None
    json: Any = None

    def check(self, client: httpx.Client, prefix: str) -> None:
        answer = client.request(self.method, prefix + self.path, **self.send)
        assert answer.status_code == self.status, answer.text[:2000]
        for name, value in self.headers.items():
            assert answer.headers.get(name) == value, answer.headers
        if isinstance(self.body, bytes):
            assert answer.content == self.body
        elif isinstance(self.body, str):
            assert answer.text == self.body, answer.text[:2000]
        if self.json is not None:
            assert answer.json() == self.json, answer.text


def each(cases: Iterable[Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "case", [pytest.param(case, id=case.name) for case in cases]
    )


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def pieces(data: bytes, size: int = 50_000) -> Iterator[bytes]:
    """A body that is sent chunked."""
    for begin in range(0, len(data), size):
        yield data[begin : begin + size]


def wait_seen(client: httpx.Client, prefix: str, name: str) -> None:
    """Until the application has noted that."""

    def seen() -> bool:
        return client.get(f"{prefix}/seen/{name}").text == "yes"

    eventually(seen, f"{name} in {prefix}")
