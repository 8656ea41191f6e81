# SPDX-License-Identifier: BSD-2-Clause
"""What resty_ffi.testing answers is what nginx does."""

from __future__ import annotations

import importlib
import itertools
import re
from collections.abc import Iterator
from typing import Any

import pytest

from resty_ffi.testing import Runtime

from ..nginx import Nginx
from .calls import APPS, call

Case = tuple[str, bytes | None]  # method, request

RETURNED = [
    *("bytes", "empty", "bytes subclass", "str", "empty str", "str subclass"),
    *("bytearray", "memoryview", "slice", "empty view", "array", "ctypes"),
    *("empty array", "mmap", "BytesIO", "None", "int", "bool", "list"),
    *("tuple", "dict", "object", "class", "generator", "coroutine"),
    *("exception", "surrogate", "scattered", "released", "absent"),
]

RAISED = [
    "pass",
    "raise ValueError('this text')",
    "raise ValueError",
    "raise KeyError('key')",
    "raise OwnError('mine')",
    "raise ValueError('two\\nlines')",
    "raise ValueError('caf\\xe9\\udcff')",
    "sys.exit(3)",
    "raise KeyboardInterrupt",
    "raise GeneratorExit('x')",
    "raise StopIteration",
    "raise BaseException('base')",
    "raise asyncio.CancelledError",
    "chained()",
    "raise TextRaisesError",
    "raise TextExitsError",
    "raise NothingWorksError",
    "raise 42",
    "(",
    "raise Error(404)",
    "raise Error(404, b'')",
    "raise Error(7, b'a\\0b')",
    "raise Error(-1, 'text \\xe9')",
    "raise Error(2**31 - 1, bytearray(b'x'))",
    "raise Error(-2**31, memoryview(b'abc')[::2])",
    "raise TeapotError",
    "raise BareError",
    "raise Error(0)",
    "raise Error(True)",
    "raise Error(2**31)",
    "raise Error(1, 42)",
    "assign_rc()",
    "assign_body()",
    "assign_zero()",
    "assign_wide()",
]

METHODS = [
    *("", "get", "set", "conf", "same_thread", "static", "of_class", "base"),
    *("nope", "_private", "close", "limit", "Nested", "config", "x y"),
    *("a'b", "plain\0x", "x" * 500, "other", "%s%n", "\xe9\u4e2d"),
]

REQUESTS = [None, b"", b"x", b"a\0b", bytes(range(256)), b"y" * 5000]

FUTURES = ["later", "done", "task", "fails", "wrong", "coroutine", "foreign"]


def cases() -> Iterator[tuple[str, list[Case]]]:
    """By cfg."""
    for name in ("seen", "echo", "view_seen", "view_echo", "view_async"):
        yield f"bodies,{name}", [("any", request) for request in REQUESTS]
    for name in ("give", "give_async", "give_pooled"):
        yield f"bodies,{name}", [("any", n.encode()) for n in RETURNED]
    raised = [source.encode() for source in RAISED]
    for name in ("raises", "raises_async", "raises_later", "raises_pooled"):
        yield f"errors,{name}", [("any", source) for source in raised]
    yield "errors,Raises", list(itertools.product(["plain", "slow"], raised))
    for name in ("Cache", 'Cache,{"size": 1}', "Cache,", "Plain", "upper"):
        yield f"kinds,{name}", [(method, b"k=v") for method in METHODS]
    for name in (
        "method_name",
        "at_once",
        "instance",
        "async_instance",
        "partial",
    ):
        yield f"kinds,{name}", [(method, b"x") for method in METHODS]
    for name in ("Mixed", "Pooled"):
        methods = ["", "slow", "beside", "raises", "nope"]
        yield f"kinds,{name}", [(method, b"x") for method in methods]
    methods = ["swap", "raises", "swap", "told"]
    yield "contexts,one_thread", [(method, b"u") for method in methods]
    methods += ["a_swap", "swap", "task", "a_swap", "a_told"]
    yield "contexts,Loop", [(method, b"u") for method in methods]
    yield "contexts,Precise,2", [("third", b"")]
    yield "kinds,Futures", [(method, b"x") for method in FUTURES]


def of_nginx(nginx: Nginx, cfg: str, case: Case) -> list[Any]:
    method, request = case
    answer = call(nginx, cfg, request, method=method)
    return [
        part.encode("latin-1") if isinstance(part, str) and n < 3 else part
        for n, part in enumerate(answer)
    ]


def without_addresses(answer: list[Any]) -> list[Any]:
    return [
        re.sub(rb"0x[0-9a-f]+", b"0x", part)
        if isinstance(part, bytes)
        else part
        for part in answer
    ]


@pytest.mark.parametrize(("cfg", "its_cases"), [*cases()])
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
def test_the_same(
    nginx: Nginx,
    cfg: str,
    its_cases: list[Case],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(APPS)
    module, name, *config = cfg.split(",", 2)
    target = getattr(importlib.import_module(module), name)
    differ = []
    with Runtime(target, config="".join(config)) as rt:
        for case in its_cases:
            inside = without_addresses(of_nginx(nginx, cfg, case))
            outside = without_addresses(list(rt.call(*case)))
            # Lua sees no third value where there is none
            if outside[-1] is None and len(outside) == 3:
                outside.pop()
            if inside != outside:
                differ.append((case, inside, outside))
    assert not differ
