# SPDX-License-Identifier: BSD-2-Clause
"""Applications that raise, and close(), which is always called once."""

from __future__ import annotations

from collections.abc import Iterator
from http.client import IncompleteRead

import pytest

from ..client import eventually
from .site import Site, request

SITE = {"app": "answers:application"}


def closed(site: Site) -> str:
    return site.ask("/closed").text


@pytest.fixture(autouse=True)
def _none_closed(site: Site) -> None:
    closed(site)


@pytest.fixture
def alone() -> Iterator[Site]:
    """Logs all tracebacks, where others have not raised just now."""
    with Site("answers:application") as site:
        yield site


@pytest.mark.valgrind
@pytest.mark.parametrize(
    "path",
    [
        "raise?is=RuntimeError",
        "raise?is=SystemExit",
        "raise?is=KeyboardInterrupt",
        "raise?is=GeneratorExit",
        "raise?is=StopIteration",
        "raise?is=BrokenPipeError",
        "raise_started",
        "raise_iterating?n=0",
        "part?n=0&is=str",
        "part?n=0&is=none",
        "part?n=0&is=int",
        "part?n=0&is=bytearray",
        "part?list=1&is=str",
        "part?list=1&is=none",
        "return?is=none",
        "return?is=int",
        "return?is=object",
        "string",
        "nowhere",
        "errors_bytes",
    ],
)
def test_before_the_head(site: Site, path: str) -> None:
    since = len(site.log())
    assert site.ask(f"/{path}").status == 500
    site.wait_log("has failed with status 500", since)


@pytest.mark.valgrind
@pytest.mark.parametrize(
    ("path", "begun", "what"),
    [
        ("raise_written", b"begun", "after write"),
        ("raise_iterating?n=3", b"part" * 3, "in the middle"),
        ("part?n=2&is=str", b"goodgood", "is str, not bytes"),
        ("part?n=2&is=none", b"goodgood", "is NoneType, not bytes"),
    ],
)
def test_after_the_head(
    site: Site, path: str, begun: bytes, what: str
) -> None:
    since = len(site.log())
    with pytest.raises(IncompleteRead) as caught:
        site.ask(f"/{path}")
    assert caught.value.partial == begun
    site.wait_log(what, since)


def test_what_was_sent_arrives_where_a_failure_comes_with_it(
    alone: Site,
) -> None:
    for _ in range(200):
        with pytest.raises(IncompleteRead) as caught:
            alone.ask("/raise_iterating?n=3")
        assert caught.value.partial == b"part" * 3


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("raise_iterating?n=0", "raised"),
        ("raise_iterating?n=3", "raised"),
        ("part?n=0&is=str", "part"),
        ("part?n=2&is=str", "part"),
        ("never", "never"),
        ("big?size=10000000", "big"),
        ("nothing_but_empties", "nothing"),
        ("length?n=3&parts=abcdef,gh", "length"),
        ("write_big?n=3", "write"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_closed_once(site: Site, path: str, name: str, method: str) -> None:
    site.raw(request(f"/{path}", method))
    got = eventually(lambda: closed(site))
    assert got + closed(site) == name


@pytest.mark.valgrind
def test_close_raises(alone: Site) -> None:
    assert alone.ask("/raise_closing").text == "all"
    alone.wait_log("RuntimeError: in close")
    assert closed(alone) == "closing"
    assert alone.ask("/raise_both").status == 500
    alone.wait_log("RuntimeError: in the middle")
    assert closed(alone) == "both"


@pytest.mark.valgrind
def test_closed_where_the_client_goes_while_it_is_parked(site: Site) -> None:
    with site.connect() as sock:
        sock.sendall(request("/endless?name=gone"))
        assert sock.recv(1000)
    eventually(lambda: closed(site) == "gone", "close")


def test_closed_where_the_client_goes_before_the_first_step() -> None:
    with Site("answers:application", threads=1) as site:
        # The only thread is busy: both wait.
        with site.connect() as held:
            held.sendall(request("/hold?name=go"))
            eventually((site.prefix / "in-go").exists)
            with site.connect() as sock:
                sock.sendall(request("/endless?name=early"))
            site.wait_log("prematurely closed connection")
            (site.prefix / "go").touch()
        # what nobody waits for does not run
        eventually(lambda: site.ask("/list").status == 200)
        assert closed(site) == ""


def test_closed_where_the_client_goes_before_the_head(site: Site) -> None:
    since = len(site.log())
    with site.connect() as sock:
        sock.sendall(request("/hold?name=leave&body=left"))
        eventually((site.prefix / "in-leave").exists)
    site.wait_log("prematurely closed connection", since)
    (site.prefix / "leave").touch()
    eventually(lambda: closed(site) == "left")
    assert "Traceback" not in site.log(since)


def test_closed_where_the_client_goes_while_write_waits(site: Site) -> None:
    with site.connect() as sock:
        sock.sendall(request("/write_big?n=1000"))
        assert sock.recv(1000)
    eventually(lambda: "200 /write_big?n=1000" in site.accesses())
    assert site.ask("/list").text == "hello"


@pytest.mark.parametrize("path", ["endless?name=x", "write_big?n=10000"])
def test_a_client_that_takes_nothing_is_dropped(path: str) -> None:
    with (
        Site(
            "answers:application",
            threads=1,
            location="python_send_timeout 500ms;",
        ) as site,
        site.connect() as sock,
    ):
        sock.sendall(request(f"/{path}"))
        assert sock.recv(1000)
        site.wait_log("client timed out")
        # the only thread is free
        assert site.ask("/list").text == "hello"
        if "endless" in path:
            eventually(lambda: closed(site) == "x")


def test_an_application_that_does_not_answer_in_time() -> None:
    with Site(
        "answers:application", location="python_read_timeout 500ms;"
    ) as site:
        assert site.ask("/hold?name=late").status == 504
        (site.prefix / "late").touch()
        assert site.ask("/list").text == "hello"


def test_closed_where_the_worker_quits() -> None:
    with Site(
        "answers:application", main="worker_shutdown_timeout 1s;"
    ) as site:
        with site.connect() as sock:
            sock.sendall(request("/endless?name=quit"))
            assert sock.recv(1000)
            site.quit()
            site.wait()
        assert (site.prefix / "closed-quit").exists()
        assert "Traceback" not in site.log()


def test_what_does_not_end_does_not_keep_the_worker() -> None:
    with (
        Site(
            "answers:application",
            main="worker_shutdown_timeout 500ms;",
            http="ffi_exit_timeout 500ms;",
        ) as site,
        site.connect() as sock,
    ):
        sock.sendall(request("/hold?name=never"))
        eventually((site.prefix / "in-never").exists)
        site.quit()
        site.wait()


def test_an_answer_under_way_ends_before_the_worker() -> None:
    with Site("answers:application") as site, site.connect() as sock:
        sock.sendall(request("/ticks?n=2"))
        (site.prefix / "tick-0").touch()
        data = b""
        while b"0;" not in data.partition(b"\r\n\r\n")[2]:
            data += sock.recv(1000)
        site.quit()
        site.wait_log("gracefully shutting down")
        (site.prefix / "tick-1").touch()
        while piece := sock.recv(1000):
            data += piece
        assert data.endswith(b"1;\r\n0\r\n\r\n")
        site.wait()


def test_os_exit_ends_the_worker_alone() -> None:
    with Site("answers:application") as site:
        site.allow_log("exited with code 3")
        pid = site.worker()
        assert site.raw(request("/exit")) == b""
        site.wait_successor(pid)
        assert site.ask("/list").text == "hello"
