# SPDX-License-Identifier: BSD-2-Clause
"""What serve, Error and current do, and refuse, in plain Python."""

from __future__ import annotations

import dataclasses
import functools
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import resty_ffi
from resty_ffi import Error, current, serve

ROOT = Path(__file__).resolve().parents[2]


def test_version() -> None:
    assert resty_ffi.__version__ == (ROOT / "VERSION").read_text().strip()


def test_a_function_stays_what_it_was() -> None:
    def upper(request: bytes) -> bytes:
        return request.upper()

    served = serve(upper)
    assert served is upper
    assert upper(b"x") == b"X"


def test_a_class_stays_what_it_was() -> None:
    @serve(threads=2)
    class Cache:
        def get(self, request: bytes) -> bytes:
            return request

    assert isinstance(Cache, type)
    assert Cache().get(b"x") == b"x"


def test_options() -> None:
    @serve(threads=8, view=True)
    def lookup(request: memoryview) -> None: ...

    options: Any = lookup.__resty_ffi__  # type: ignore[attr-defined]
    assert (options.threads, options.view) == (8, True)
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.threads = 9


def test_defaults() -> None:
    served: Any = serve(lambda request: request)
    options = served.__resty_ffi__
    assert (options.threads, options.view) == (1, False)


@pytest.mark.parametrize(
    ("options", "raised", "text"),
    [
        ({"threads": 0}, ValueError, "threads must be at least 1, got 0"),
        ({"threads": -1}, ValueError, "threads must be at least 1, got -1"),
        ({"threads": True}, TypeError, "threads must be an integer, got True"),
        ({"threads": "8"}, TypeError, "threads must be an integer, got '8'"),
        ({"threads": 1.0}, TypeError, "threads must be an integer, got 1.0"),
        ({"view": 1}, TypeError, "view must be True or False, got 1"),
    ],
)
def test_wrong_options(
    options: dict[str, Any], raised: type[Exception], text: str
) -> None:
    with pytest.raises(raised, match=f"^{text}$"):
        serve(**options)


@pytest.mark.parametrize("target", [8, "app", b"", object()])
def test_what_cannot_be_called(target: Any) -> None:
    text = f"^serve takes a function or a class, got {re.escape(repr(target))}"
    with pytest.raises(TypeError, match=text):
        serve(target)


@pytest.mark.parametrize("target", [len, int, "".join])
def test_what_cannot_be_marked(target: Any) -> None:
    with pytest.raises(TypeError, match=r"cannot mark .*: wrap it"):
        serve(target)


def test_threads_of_an_async_function() -> None:
    async def fetch(request: bytes) -> bytes:
        return request

    async def parts(request: bytes) -> Any:
        yield request

    for target in (fetch, parts):
        with pytest.raises(ValueError, match="threads=2 is for plain"):
            serve(threads=2)(target)
    serve(threads=1)(fetch)


def test_below_another_decorator() -> None:
    @serve
    def upper(request: bytes) -> bytes:
        return request.upper()

    @functools.wraps(upper)
    def wrapper(request: bytes) -> bytes:
        return upper(request)

    assert hasattr(wrapper, "__resty_ffi__")


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        (None, None),
        (b"x", b"x"),
        ("caf\xe9", b"caf\xc3\xa9"),
        (bytearray(b"x"), b"x"),
        (memoryview(b"abcd")[::2], b"ac"),
    ],
)
def test_error(body: Any, sent: bytes | None) -> None:
    error = Error(404, body)
    assert (error.rc, error.body) == (404, sent)


@pytest.mark.parametrize("rc", [1, -1, 2**31 - 1, -(2**31)])
def test_status_of_an_error(rc: int) -> None:
    assert Error(rc).rc == rc


@pytest.mark.parametrize("rc", [0, 2**31, -(2**31) - 1, True, 1.0, "1", None])
def test_wrong_status_of_an_error(rc: Any) -> None:
    with pytest.raises(ValueError, match=r"^rc must be a"):
        Error(rc)


@pytest.mark.parametrize("body", [1, ["x"], object])
def test_wrong_body_of_an_error(body: Any) -> None:
    with pytest.raises(TypeError, match=r"^body must be bytes, str, a buffer"):
        Error(1, body)


def test_text_of_an_error() -> None:
    assert str(Error(5)) == "5"
    assert str(Error(5, b"gone\xff")) == "5: gone\\xff"


def test_error_pickles() -> None:
    error = pickle.loads(pickle.dumps(Error(5, "gone")))
    assert (error.rc, error.body) == (5, b"gone")


def test_current_outside_of_a_call() -> None:
    with pytest.raises(LookupError, match="no call runs here"):
        current()


def test_import_needs_nothing_else() -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'python')!r})\n"
        "import sys, resty_ffi\n"
        "loaded = set(sys.modules)\n"
        "assert '_resty_ffi' not in loaded\n"
        "assert 'asyncio' not in loaded\n"
        "assert 'resty_ffi._serve' not in loaded\n"
    )
    subprocess.run(
        [sys.executable, "-I", "-c", code],
        check=True,
    )
