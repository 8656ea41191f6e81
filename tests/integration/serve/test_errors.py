# SPDX-License-Identifier: BSD-2-Clause
"""What is raised, what Lua gets of it and what error.log does."""

from __future__ import annotations

import re
import sys
import time

import pytest

from ..client import eventually
from ..nginx import Nginx
from .calls import call, loaded, unload

KINDS = [
    ("errors,raises", "any"),
    ("errors,raises_async", "any"),
    ("errors,raises_later", "any"),
    ("errors,raises_pooled", "any"),
    ("errors,Raises", "plain"),
    ("errors,Raises", "slow"),
]
kinds = pytest.mark.parametrize(("cfg", "method"), KINDS)


@pytest.fixture(autouse=True)
def _quiet_second(nginx: Nginx) -> None:
    """Tracebacks of earlier tests do not count against this one's."""
    nginx.python(
        """
        import gc
        from resty_ffi import _log
        for log in gc.get_objects():
            if isinstance(log, _log.Log):
                log._shown = 0
        """
    )


@pytest.mark.valgrind
@kinds
@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("raise ValueError('this text')", "ValueError: this text"),
        ("raise ValueError", "ValueError"),
        ("raise KeyError('key')", "KeyError: 'key'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("raise OwnError('mine')", "OwnError: mine"),
        ("raise ValueError('two\\nlines')", "ValueError: two lines"),
        ("raise SystemExit", "SystemExit"),
        ("sys.exit(3)", "SystemExit: 3"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise GeneratorExit('x')", "GeneratorExit: x"),
        ("raise StopIteration", None),
        ("raise asyncio.TimeoutError", "TimeoutError"),
        ("raise concurrent.futures.CancelledError", None),
        ("raise BaseException('base')", "BaseException: base"),
        ("chained()", "ValueError: outer"),
        ("deep()", None),
        pytest.param(
            "group()",
            "ExceptionGroup: group (2 sub-exceptions)",
            marks=pytest.mark.skipif(
                sys.version_info < (3, 11), reason="3.11"
            ),
        ),
        ("raise TextRaisesError", None),
        ("raise TextExitsError", None),
        (
            "raise NothingWorksError",
            "NothingWorksError: (its text cannot be had)",
        ),
        ("raise ValueError('\\udcff')", "ValueError: \\udcff"),
        ("raise 42", "TypeError: exceptions must derive from BaseException"),
    ],
)
def test_exceptions(
    nginx: Nginx, cfg: str, method: str, source: str, text: str | None
) -> None:
    ok, rc, said = call(nginx, cfg, source, method=method)
    assert (ok, rc) == (False, 1)
    assert said
    assert text is None or said == text
    assert call(nginx, cfg, "pass", method=method) == [True, None]


@kinds
def test_the_traceback_is_in_error_log(
    nginx: Nginx, cfg: str, method: str
) -> None:
    time.sleep(1.1)  # those before have had the tracebacks of their second
    since = len(nginx.log())
    call(nginx, cfg, "chained()", method=method)
    name = cfg.replace(",", ".")
    if "Raises" in cfg:
        name = rf"{name}\.{method}"
    nginx.wait_log(rf"\[error\] .*{name}: ValueError: outer\n", since)
    nginx.wait_log(r'File ".*/apps/errors\.py", line \d+, in chained', since)
    log = nginx.log(since)
    assert "KeyError: 'key'" in log
    assert "direct cause of the following exception" in log
    assert "_serve.py" not in log


def test_a_traceback_without_causes(nginx: Nginx) -> None:
    since = len(nginx.log())
    call(nginx, "errors,raises", "raise NothingWorksError")
    nginx.wait_log(r"NothingWorksError: \(its text cannot be had\)\n", since)
    nginx.wait_log(r'File ".*/apps/errors\.py", line \d+, in run', since)


@pytest.mark.valgrind
@kinds
@pytest.mark.parametrize(
    ("source", "answer"),
    [
        ("raise Error(404)", [404]),
        ("raise Error(404, b'')", [404, ""]),
        ("raise Error(7, b'a\\0b')", [7, "a\0b"]),
        ("raise Error(-1, 'text \\xe9')", [-1, "text \xc3\xa9"]),
        ("raise Error(2**31 - 1, bytearray(b'x'))", [2**31 - 1, "x"]),
        ("raise Error(-2**31, memoryview(b'abc')[::2])", [-(2**31), "ac"]),
        ("raise Error(1, b'x' * 5000)", [1, "x" * 5000]),
        ("raise TeapotError", [418, "short and stout"]),
        ("raise BareError", [1]),
    ],
)
def test_error_chooses(
    nginx: Nginx, cfg: str, method: str, source: str, answer: list[object]
) -> None:
    since = len(nginx.log())
    assert call(nginx, cfg, source, method=method) == [False, *answer]
    assert call(nginx, cfg, "pass", method=method) == [True, None]
    assert "Traceback" not in nginx.log(since)


@kinds
@pytest.mark.parametrize(
    "source",
    [
        "raise Error(0)",
        "raise Error(True)",
        "raise Error('x')",
        "raise Error(2**31)",
        "raise Error(1, 42)",
        "raise Error",
        "assign_rc()",
        "assign_body()",
        "assign_zero()",
        "assign_wide()",
    ],
)
def test_error_misused(
    nginx: Nginx, cfg: str, method: str, source: str
) -> None:
    """Never taken for success."""
    ok, rc, *_ = call(nginx, cfg, source, method=method)
    assert ok is False
    assert isinstance(rc, int | float)
    assert rc != 0
    assert call(nginx, cfg, "pass", method=method) == [True, None]


def test_ten_tracebacks_a_second(nginx: Nginx) -> None:
    """The others are counted; each is in one of both numbers."""
    since = len(nginx.log())
    total = 500
    (answers,) = nginx.lua(
        f"""
        local rt, all = {loaded("errors,often")}, {{}}
        for i = 1, {total} do
            local ok, rc, text = rt:any(tostring(i))
            assert(ok == false and rc == 1)
            all[i] = text
        end
        return all
        """
    )
    assert answers == [f"ValueError: number {i + 1}" for i in range(total)]

    shown, hidden = (
        r"often: ValueError: number \d+\n",
        r"(\d+) more exceptions",
    )

    def accounted() -> bool:
        log = nginx.log(since)
        counted = sum(int(n) for n in re.findall(hidden, log))
        first = len(re.findall(shown, log))
        assert first < total / 2
        return first + counted >= total

    eventually(accounted, "the number not shown is told")
    log = nginx.log(since)
    assert re.search(rf"\[error\] .*errors\.often: {hidden}", log)
    assert len(re.findall(shown, log)) >= 10


@pytest.mark.parametrize(
    "source", ["raise SystemExit(3)", "raise KeyboardInterrupt", "1 / 0"]
)
@pytest.mark.parametrize(
    "name",
    [
        "in_the_background",
        "in_a_callback",
        "in_delivered",
        "in_delivered_sync",
    ],
)
def test_what_no_handler_raises(nginx: Nginx, name: str, source: str) -> None:
    """Nobody gets it; the runtime goes on."""
    since = len(nginx.log())
    cfg = f"errors,{name},{source}"
    for _ in range(3):
        assert call(nginx, cfg, source, timeout=2000) == [True, "answered"]
    nginx.wait_log(r"SystemExit|KeyboardInterrupt|ZeroDivisionError", since)
    unload(nginx, cfg)


def test_a_coroutine_that_cancels_itself(nginx: Nginx) -> None:
    for _ in range(3):
        ok, rc, text = call(nginx, "errors,cancels_itself")
        assert (ok, rc, text) == (False, 1, "CancelledError")


def test_a_coroutine_that_cancels_all_others(nginx: Nginx) -> None:
    cfg = "errors,cancels_everybody"
    assert call(nginx, cfg, "cancel", timeout=2000) == [True, "answered"]
    assert call(nginx, cfg, "go on", timeout=2000) == [True, "answered"]


def test_a_coroutine_that_cancels_its_siblings(nginx: Nginx) -> None:
    """Each is answered, begun or not; the end is not held up."""
    cfg = "errors,Siblings"
    (answers,) = nginx.lua(
        f"""
        local rt, threads, all = {loaded(cfg)}, {{}}, {{}}
        for i = 1, 10 do
            local method = i == 5 and rt.cancel or rt.sleep
            threads[i] = ngx.thread.spawn(method, rt, "9",
                                          {{ timeout = 5000 }})
        end
        for i = 1, 10 do
            all[i] = {{ ngx.thread.wait(threads[i]) }}
        end
        return all
        """
    )
    cancelled = [True, False, 1, "CancelledError"]
    assert answers.pop(4) == [True, True, "cancelled"]
    assert answers == [cancelled] * 9
    unload(nginx, cfg)
    eventually(
        lambda: (
            nginx.python("import errors; result = errors.closed")
            == "['closed']"
        ),
        "close is called",
    )
