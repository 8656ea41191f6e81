# SPDX-License-Identifier: BSD-2-Clause
"""What handlers are told of the fate of their parts."""

from __future__ import annotations

import socket
import time

import pytest

from ..client import eventually
from ..nginx import Nginx
from .calls import call, loaded

KINDS = ["one", "Threads", "Mixed", "Pooled"]
EACH = [(kind, "") for kind in KINDS]
EACH += [(kind, "a_") for kind in ("Mixed", "Pooled")]

each = pytest.mark.parametrize(
    ("kind", "a"),
    [pytest.param(*one, marks=pytest.mark.valgrind) for one in EACH],
)

# Parts that go as a copy, but for their callbacks; and by reference.
sizes = pytest.mark.parametrize("size", [1, 3000])


@pytest.fixture(autouse=True)
def fresh(nginx: Nginx) -> None:
    for kind in KINDS:
        assert call(nginx, f"fates,{kind}", method="forget") == [True, None]


def told(nginx: Nginx, kind: str, text: str, method: str = "fates") -> None:
    seen = []

    def look() -> bool:
        seen.append(call(nginx, f"fates,{kind}", method=method))
        return seen[-1] == [True, text]

    try:
        eventually(look)
    except AssertionError:
        raise AssertionError(f"{seen[-1]}, not {text}") from None


def opened(kind: str, method: str, request: str) -> str:
    return f"""
        local ffi = require "resty.ffi"
        local s = assert(ffi.stream({loaded(f"fates,{kind}")}, "{method}",
                                    "{request}"))
    """


@each
@sizes
def test_parts_that_are_read(
    nginx: Nginx, kind: str, a: str, size: int
) -> None:
    code = f"""
        {opened(kind, f"{a}all", f"100 {size}")}
        local n = 0
        while s:read() do
            n = n + 1
        end
        return n
    """
    assert nginx.lua(code) == [100]
    told(nginx, kind, "100 0 True")


@each
def test_parts_of_a_call(nginx: Nginx, kind: str, a: str) -> None:
    ok, _ = call(nginx, f"fates,{kind}", "1000 10", method=f"{a}all")
    assert ok
    told(nginx, kind, "1000 0 True")


@each
@sizes
@pytest.mark.parametrize("number", [0, 3])
def test_a_caller_that_goes(
    nginx: Nginx, kind: str, a: str, size: int, number: int
) -> None:
    """What it has not read it has not had: on its way, or parked."""
    code = f"""
        {opened(kind, f"{a}all", f"100000 {size}")}
        ngx.sleep(0.1)
        for _ = 1, {number} do
            s:read()
        end
        ngx.sleep(0.05)
        s:close()
    """
    nginx.lua(code)
    cfg = f"fates,{kind}"

    def is_told() -> bool:
        ok, text = call(nginx, cfg, method="fates")
        assert ok
        read, unread, once = text.split()
        return (read, once) == (str(number), "True") and int(unread) > 5

    eventually(is_told)


@each
def test_several(nginx: Nginx, kind: str, a: str) -> None:
    code = f"""
        {opened(kind, f"{a}several", "")}
        local parts = {{ s:read(), s:read() }}
        return parts
    """
    assert nginx.lua(code) == [["part", "unwatched"]]
    told(nginx, kind, "a:True b:True end:False", "last")


@each
def test_the_answer_s_own(nginx: Nginx, kind: str, a: str) -> None:
    assert call(nginx, f"fates,{kind}", method=f"{a}several") == [
        True,
        "partunwatched",
    ]
    told(nginx, kind, "a:True b:True end:True", "last")


@each
def test_what_is_no_part(nginx: Nginx, kind: str, a: str) -> None:
    """The caller gets an error, so it has what comes with the answer."""
    assert not call(nginx, f"fates,{kind}", method=f"{a}wrong")[0]
    told(nginx, kind, "1 1 True")
    assert not call(nginx, f"fates,{kind}", method=f"{a}raises")[0]
    told(nginx, kind, "3 1 True")


@pytest.mark.parametrize("kind", ["one", "Threads", "Pooled"])
def test_parts_that_are_sent(nginx: Nginx, kind: str) -> None:
    ok, _ = call(nginx, f"fates,{kind}", "1000 100", method="sends")
    assert ok
    told(nginx, kind, "1000 0 True")
    code = f"""
        {opened(kind, "sends", "1000 1000")}
        s:read()
        ngx.sleep(0.05)
        s:close()
    """
    nginx.lua(code)

    def is_told() -> bool:
        _, text = call(nginx, f"fates,{kind}", method="fates")
        read, unread, once = text.split()
        return (read, once) == ("1001", "True") and int(unread) > 5

    eventually(is_told)


def piped(nginx: Nginx, kind: str, method: str, request: str) -> socket.socket:
    """A client that has the head of the response."""
    code = (
        f"{opened(kind, method, request)} ngx.send_headers() s:pipe()".encode()
    )
    client = nginx.connect()
    client.sendall(
        b"POST /raw HTTP/1.0\r\nContent-Length: %d\r\n\r\n%b"
        % (len(code), code)
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += client.recv(1)
    return client


@each
@sizes
def test_parts_that_are_piped(
    nginx: Nginx, kind: str, a: str, size: int
) -> None:
    with piped(nginx, kind, f"{a}all", f"100 {size}") as client:
        body = b"".join(iter(lambda: client.recv(65536), b""))
    assert body == b"".join(b"%d" % n * size for n in range(100))
    told(nginx, kind, "100 0 True")


@each
def test_a_client_that_goes(nginx: Nginx, kind: str, a: str) -> None:
    """What the kernel has not taken has not arrived."""
    cfg = f"fates,{kind}"
    with piped(nginx, kind, f"{a}all", "100000 300") as client:
        client.recv(10)
        before: list[str] = []

        def stalls() -> bool:
            before.append(call(nginx, cfg, method="fates")[1])
            time.sleep(0.1)
            return before[-5:] == before[-1:] * 5

        eventually(stalls)
        told_true, told_false, _ = before[-1].split()
        assert int(told_true) > 0
        assert told_false == "0"

    def is_told() -> bool:
        _, text = call(nginx, cfg, method="fates")
        arrived, lost, once = text.split()
        return arrived == told_true and int(lost) > 5 and once == "True"

    eventually(is_told)


def test_no_call_runs_in_a_callback(nginx: Nginx) -> None:
    """Also where a send that waits is what calls it."""
    code = f"""
        {opened("one", "nobody", "")}
        local part, last
        ngx.sleep(0.1)
        repeat
            part = s:read()
            last = part or last
        until not part
        return last
    """
    assert nginx.lua(code) == ["True False True"]
