# SPDX-License-Identifier: BSD-2-Clause
"""python_threads: who holds a thread, and who does not."""

from __future__ import annotations

import contextlib
import resource
import socket
from collections.abc import Callable, Iterator

import pytest

from .. import checker
from ..client import eventually, until_end
from ..web import parse
from .site import Site, request

SITE = {"app": "answers:application", "threads": 4}

MANY = 10_000

Holding = Callable[[str], socket.socket]


@pytest.fixture
def alone() -> Iterator[Site]:
    with Site("answers:application", threads=4) as site:
        yield site


def hold(site: Site, name: str) -> socket.socket:
    """Has a thread held until release."""
    sock = site.connect()
    sock.sendall(request(f"/hold?name={name}"))
    eventually((site.prefix / f"in-{name}").exists, "it is held")
    return sock


def release(site: Site, name: str) -> None:
    (site.prefix / name).touch()


@pytest.mark.valgrind
def test_more_requests_than_threads_wait(alone: Site) -> None:
    held = [hold(alone, f"h{n}") for n in range(4)]
    waiting = alone.connect()
    waiting.sendall(request("/list"))
    assert alone.ask("/ping").status == 200
    waiting.setblocking(False)
    with pytest.raises(BlockingIOError):
        waiting.recv(1)
    waiting.setblocking(True)
    for n, sock in enumerate(held):
        release(alone, f"h{n}")
        assert parse(until_end(sock)).text == "held"
        sock.close()
    assert parse(until_end(waiting)).text == "hello"
    waiting.close()


def test_those_that_come_with_some_that_block(alone: Site) -> None:
    held = [alone.connect() for _ in range(3)]
    for n, sock in enumerate(held):
        sock.sendall(request(f"/hold?name=b{n}"))
    for _ in range(3):
        assert alone.ask("/list").text == "hello"
    for n, sock in enumerate(held):
        release(alone, f"b{n}")
        assert parse(until_end(sock)).text == "held"
        sock.close()


def test_an_answer_does_not_wait_for_the_next() -> None:
    with Site("answers:application", threads=2) as site:
        held = [hold(site, "first"), hold(site, "second")]
        # one thread has both in turn, and nginx is told of the first answers
        # together
        waiting = [site.connect() for _ in range(2)]
        for sock in waiting:
            sock.sendall(request("/list"))
        assert site.ask("/ping").status == 200
        held.append(site.connect())
        held[-1].sendall(request("/hold?name=third"))
        assert site.ask("/ping").status == 200
        release(site, "first")
        for sock in waiting:
            assert parse(until_end(sock)).text == "hello"
            sock.close()
        eventually((site.prefix / "in-third").exists, "it is held")
        for name in ("second", "third"):
            release(site, name)
        for sock in held:
            assert parse(until_end(sock)).text == "held"
            sock.close()


@pytest.mark.parametrize("how", ["", "&write=1"])
def test_a_part_does_not_wait_for_others(how: str) -> None:
    """Of one thread, which has taken all of them at once."""
    with Site("answers:application", threads=1) as site:
        held = hold(site, "one")
        uris = ["/list", f"/waits?name=two{how}", "/list", "/list"]
        socks = [site.connect() for _ in uris]
        for sock, uri in zip(socks, uris, strict=True):
            sock.sendall(request(uri))
        assert site.ask("/ping").status == 200
        release(site, "one")
        assert parse(until_end(held)).text == "held"
        assert parse(until_end(socks[0])).text == "hello"
        data = b""
        while b"first;" not in data:
            data += socks[1].recv(1000)
        release(site, "two")
        assert parse(data + until_end(socks[1])).text == "first;second"
        for sock in socks[2:]:
            assert parse(until_end(sock)).text == "hello"
        for sock in [held, *socks]:
            sock.close()


def test_more_than_the_queue_takes() -> None:
    with Site(
        "answers:application", threads=1, http="python_max_queue 2;"
    ) as site:
        held = hold(site, "one")
        waiting = [site.connect() for _ in range(2)]
        for sock in waiting:
            sock.sendall(request("/list"))
        eventually(lambda: site.ask("/list").status == 503, "a full queue")
        assert site.ask("/ping").status == 200
        site.wait_log("is full \\(2 requests\\)")
        release(site, "one")
        assert parse(until_end(held)).text == "held"
        for sock in waiting:
            assert parse(until_end(sock)).status == 200
            sock.close()
        held.close()
        assert site.ask("/list").text == "hello"


def test_100_slow_readers_hold_no_thread(alone: Site) -> None:
    with contextlib.ExitStack() as stack:
        socks = []
        for n in range(100):
            sock = stack.enter_context(socket.socket(socket.AF_UNIX))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.connect(str(alone.socket))
            path = ["/endless?name=e", f"/big?size={2**22}&list="][n % 2]
            sock.sendall(request(path))
            socks.append(sock)
        for sock in socks:
            assert sock.recv(1024).startswith(b"HTTP/1.1 200 OK")
        for _ in range(50):
            assert alone.ask("/list").text == "hello"
            assert alone.ask("/generator?n=100").status == 200
        # each goes on where it was, on its thread and in its context
        for sock in socks[::2]:
            for _ in range(100):
                assert sock.recv(1024)
    eventually(lambda: "e" in alone.ask("/closed").text)
    assert "moved" not in alone.ask("/closed").text


@pytest.mark.once
@pytest.mark.skipif(checker.CHECKED, reason="takes too long")
def test_10_000_slow_clients() -> None:
    """Some read nothing, most have not sent all of it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if min(soft, hard) < MANY + 1000:
        pytest.skip("too few descriptors")
    with (
        Site(
            "answers:application", threads=4, connections=MANY + 1000
        ) as site,
        contextlib.ExitStack() as stack,
    ):
        for n in range(MANY):
            if n % 500 == 0:  # no more of them than wait to be accepted
                assert site.ask("/ping").status == 200
            sock = stack.enter_context(site.connect())
            if n % 10:
                sock.sendall(b"POST /list HTTP/1.1\r\nHost: x\r\n")
                sock.sendall(b"Content-Length: 10\r\n\r\n")
            else:
                sock.sendall(request("/endless?name=e"))
        for _ in range(100):
            assert site.ask("/list").text == "hello"
        stack.close()
        eventually(lambda: site.ask("/closed").text.count("e") > 0)
        assert site.ask("/list").text == "hello"


def test_a_parked_answer_is_complete(alone: Site) -> None:
    """More than the mark, read by a client that takes its time."""
    size = 2**23
    with alone.connect() as sock:
        sock.sendall(request(f"/big?size={size}"))
        first = sock.recv(1000)
        for _ in range(20):
            assert alone.ask("/list").text == "hello"
        answer = parse(first + until_end(sock))
    assert answer.body == b"0123456789abcdef" * (size // 8)


def test_many_clients_get_their_own(alone: Site) -> None:
    socks = [alone.connect() for _ in range(200)]
    for n, sock in enumerate(socks):
        sock.sendall(request(f"/generator?n={n}"))
    for n, sock in enumerate(socks):
        text = parse(until_end(sock)).text
        assert text == "".join(f"{i};" for i in range(n))
        sock.close()


def test_contexts_are_requests_and_locals_are_threads(site: Site) -> None:
    seen = [site.ask("/context").text.split() for _ in range(100)]
    assert {before for before, _ in seen} == {"nothing"}
    # four threads have had 100 of them
    assert max(int(count) for _, count in seen) >= 25


def test_keep_alive(site: Site) -> None:
    with site.connect() as sock:
        for path, body in [("list", b"hello"), ("empty", b"")] * 50:
            sock.sendall(f"GET /{path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            data = b""
            while not data.endswith(b"\r\n\r\n" + body):
                piece = sock.recv(1000)
                assert piece, data
                data += piece


def test_another_thread_of_the_applications(site: Site) -> None:
    answer = site.ask("/thread", method="POST", body=b"sent")
    assert answer.text == "from another: sent"


# -- wsgi.errors ------------------------------------------------------------


@pytest.mark.valgrind
def test_errors_come_line_by_line(site: Site) -> None:
    since = len(site.log())
    assert site.ask("/errors").text == "x"
    name = "ffi_python3: answers:application: "
    for line in [
        "first line",
        "second line",
        "third line",
        "begun",
        "not ended",
    ]:
        site.wait_log(f"{name}{line}[,\n]", since)


def test_a_long_line_is_cut(site: Site) -> None:
    since = len(site.log())
    assert site.ask("/errors_long").text == "x"
    site.wait_log(r"y\.\.\. \(\d+ more characters\)", since)
    assert 8000 < site.log(since).count("y") < 9000


def test_errors_of_an_iteration(site: Site) -> None:
    since = len(site.log())
    assert site.ask("/errors_late").text == "x"
    site.wait_log("application: from the iteration[,\n]", since)
