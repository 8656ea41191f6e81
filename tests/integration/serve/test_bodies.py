# SPDX-License-Identifier: BSD-2-Clause
"""Requests and answers, of every type and size."""

from __future__ import annotations

import hashlib

import pytest

from ..client import eventually
from ..nginx import Nginx
from .calls import call, loaded, unload

KINDS = ["give", "give_async", "give_pooled"]


@pytest.mark.valgrind
@pytest.mark.parametrize(
    ("request_", "seen"),
    [
        (None, "bytes 0 b''"),
        ("", "bytes 0 b''"),
        ("x", "bytes 1 b'x'"),
        ("a\0b", "bytes 3 b'a\\x00b'"),
        (bytes(range(256)), f"bytes 256 {bytes(range(20))!r}"),
        ("y" * 5000, f"bytes 5000 {b'y' * 20!r}"),
    ],
)
def test_a_request_is_bytes(
    nginx: Nginx, request_: str | bytes | None, seen: str
) -> None:
    assert call(nginx, "bodies,seen", request_) == [True, seen]


@pytest.mark.valgrind
@pytest.mark.parametrize("request_", [None, "", "x", "y" * 5000])
def test_a_view_is_a_memoryview(nginx: Nginx, request_: str | None) -> None:
    length = len(request_ or "")
    assert call(nginx, "bodies,view_seen", request_) == [
        True,
        f"memoryview True {length} B",
    ]


@pytest.mark.parametrize("name", ["digest", "view_digest"])
def test_64_mib(nginx: Nginx, name: str) -> None:
    size = 64 << 20
    assert nginx.lua(
        f'return {loaded(f"bodies,{name}")}:any(("0123456789abcde\\0"):rep('
        f"{size // 16}))"
    ) == [
        True,
        f"{size} "
        + hashlib.sha1(b"0123456789abcde\0" * (size // 16)).hexdigest(),
    ]


@pytest.mark.valgrind
@pytest.mark.parametrize("name", ["echo", "view_echo", "view_async"])
@pytest.mark.parametrize("size", [0, 1, 23, 24, 150, 151, 4096, 1 << 24])
def test_echo(nginx: Nginx, name: str, size: int) -> None:
    assert nginx.lua(
        f"""
        local req = ("x\\0\\255z"):rep({size // 4 + 1}):sub(1, {size})
        local ok, res = {loaded(f"bodies,{name}")}:any(req)
        return ok, res == req
        """
    ) == [True, True]


@pytest.mark.valgrind
def test_slices_that_are_kept(nginx: Nginx) -> None:
    """They outlive the request, its release and its answer."""
    cfg = "bodies,Keeper"
    words = [f"word{i:04}" for i in range(30)]
    for word in words:
        for pad in (0, 2000):
            request = "." * pad + word + "." * pad
            assert call(nginx, cfg, request, method="keep") == [True, None]
    seen = "|".join(word for word in words for _ in range(2))
    nginx.python("import gc; gc.collect(); result = 1")
    assert call(nginx, cfg, method="read") == [True, seen]
    assert call(nginx, cfg, method="forget") == [True, "60"]


def test_slices_outlive_the_runtime(nginx: Nginx) -> None:
    cfg = "bodies,Keeper,second"
    assert call(nginx, cfg, "..a slice.", method="keep") == [True, None]
    nginx.python(
        """
        import bodies, gc
        (keeper,) = (o for o in gc.get_objects()
                     if isinstance(o, bodies.Keeper) and o.slices)
        bodies.kept = keeper.slices[0]
        """
    )
    unload(nginx, cfg)
    assert (
        nginx.python(
            "import bodies, gc; gc.collect(); result = bytes(bodies.kept)"
        )
        == "b'.a slice'"
    )


def test_a_view_cannot_be_written_to(nginx: Nginx) -> None:
    ok, rc, text = call(nginx, "bodies,view_write", "x")
    assert (ok, rc) == (False, 1)
    assert text.startswith("TypeError: ")
    assert call(nginx, "bodies,view_release", "abcdef") == [True, "cd"]


@pytest.mark.valgrind
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("bytes", b"by\0tes"),
        ("empty", b""),
        ("bytes subclass", b"exact"),
        ("str", "t\xe9xt \u4e2d".encode()),
        ("empty str", b""),
        ("str subclass", b"text"),
        ("bytearray", b"bytearray"),
        ("memoryview", b"view"),
        ("slice", b"slice"),
        ("empty view", b""),
        ("array", b"BADC"),
        ("empty array", b""),
        ("ctypes", b"abc"),
        ("mmap", b"mapped"),
        ("BytesIO", b"in memory"),
    ],
)
def test_answers(nginx: Nginx, kind: str, name: str, answer: bytes) -> None:
    assert call(nginx, f"bodies,{kind}", name) == [
        True,
        answer.decode("latin-1"),
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_none_is_no_body(nginx: Nginx, kind: str) -> None:
    assert nginx.lua(f'return {loaded(f"bodies,{kind}")}:any("None")') == [
        True,
        None,
    ]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("name", "type_"),
    [
        ("int", "int"),
        ("bool", "bool"),
        ("list", "list"),
        ("tuple", "tuple"),
        ("dict", "dict"),
        ("object", "object"),
        ("class", "type"),
        ("coroutine", "coroutine"),
        ("exception", "ValueError"),
    ],
)
def test_wrong_types(nginx: Nginx, kind: str, name: str, type_: str) -> None:
    since = len(nginx.log())
    text = (
        f"TypeError: bodies.{kind}: returned {type_}, not bytes, str,"
        " a buffer or None"
    )
    if name in ("list", "dict"):
        text += "; json.dumps makes a str of it"
    line = rf"\[error\].*bodies\.{kind}: TypeError: "
    for _ in range(2):
        assert call(nginx, f"bodies,{kind}", name) == [False, 1, text]
        nginx.wait_log(line, since)
    # what is told of at all is told before the answer
    assert nginx.count_log(line, since) == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("surrogate", "UnicodeEncodeError"),
        ("scattered", "BufferError"),
        ("released", "ValueError"),
    ],
)
def test_answers_without_bytes(
    nginx: Nginx, kind: str, name: str, error: str
) -> None:
    ok, rc, text = call(nginx, f"bodies,{kind}", name)
    assert (ok, rc) == (False, 1)
    assert text.startswith(f"{error}: "), text


@pytest.mark.parametrize("name", ["big", "big_async"])
def test_big_answers_are_given_back(nginx: Nginx, name: str) -> None:
    """100 of a MiB, ten at a time; none stays with Python."""
    assert nginx.lua(
        f"""
        local rt = {loaded(f"bodies,{name}")}
        local right = 0
        local function loop(char)
            local whole = char:rep({1 << 20})
            for _ = 1, 10 do
                local ok, res = rt:any(char)
                if ok and res == whole then
                    right = right + 1
                end
            end
        end
        local threads = {{}}
        for i = 1, 10 do
            threads[i] = ngx.thread.spawn(loop, string.char(64 + i))
        end
        for i = 1, 10 do
            ngx.thread.wait(threads[i])
        end
        return right
        """
    ) == [100]
    eventually(
        lambda: (
            nginx.python("import bodies; result = len(bodies.alive)") == "0"
        ),
        "all answers are given back",
    )


def test_answers_of_cancelled_calls_are_given_back(nginx: Nginx) -> None:
    assert nginx.lua(
        f"""
        local rt = {loaded("bodies,big")}
        for _ = 1, 20 do
            ngx.thread.kill(ngx.thread.spawn(rt.any, rt, "x"))
        end
        return rt:any("x"), nil
        """
    )[0]
    eventually(
        lambda: (
            nginx.python("import bodies; result = len(bodies.alive)") == "0"
        ),
        "all answers are given back",
    )
