# SPDX-License-Identifier: BSD-2-Clause
"""Applications that refuse, fail, or send what is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ..checker import SLOWNESS
from .frames import BINARY, CLOSE, TEXT, Frame, Peer, RefusalError, handshake
from .site import Site

GONE = [1006, ""]
SERVER = f"""
location /impatient/ {{
    rewrite ^/impatient(/.*) $1 break;
    python_pass sockets:app;
    python_read_timeout {SLOWNESS}s;
}}
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Site]:
    with Site(server=SERVER) as site:
        yield site


def refused(site: Site, path: str) -> Any:
    with pytest.raises(RefusalError) as caught:
        site.peer(path)
    return caught.value


# ---- before it accepts


@pytest.mark.valgrind
def test_it_refuses(site: Site) -> None:
    found = refused(site, "/refuses?refused")
    assert found.status == 403
    assert found.fields.keys().isdisjoint({"upgrade", "sec-websocket-accept"})
    # as ASGI has it, for one that has not been accepted
    site.wait_notes("refused", GONE)


@pytest.mark.valgrind
def test_it_denies(site: Site) -> None:
    with Peer(site.connect()) as peer:
        request, key = handshake("/denies")
        peer.send_bytes(request)
        with pytest.raises(RefusalError) as caught:
            peer.answer(key)
        found = caught.value
        assert found.status == 402
        assert found.fields["x-price"] == "7"
        # a client may go on with the connection
        body = found.body or peer.chunks()
        assert body == b"pay first"
    site.wait_access("402 /denies")


@pytest.mark.valgrind
def test_it_raises_before_it_accepts(site: Site) -> None:
    since = len(site.log())
    assert refused(site, "/raises-early").status == 500
    site.wait_log("ValueError: before it accepts", since)
    assert site.count_log("Traceback", since) == 1


def test_it_returns_before_it_accepts(site: Site) -> None:
    since = len(site.log())
    assert refused(site, "/returns-early").status == 500
    site.wait_log("has returned without", since)


def test_it_never_accepts(site: Site) -> None:
    assert refused(site, "/impatient/never?impatient").status == 504
    site.wait_notes("impatient", "begun", GONE)


# ---- later


@pytest.mark.valgrind
@pytest.mark.parametrize(
    ("path", "text"),
    [("/raises", "on purpose"), ("/raises-at", "at a message")],
)
def test_it_raises(site: Site, path: str, text: str) -> None:
    since = len(site.log())
    with site.peer(path) as peer:
        if path == "/raises":
            assert peer.event() == Frame(TEXT, b"begun")
        else:
            peer.send(Frame(TEXT, b"go"))
        peer.closed(1011)
    site.wait_log(f"ValueError: {text}", since)
    assert site.count_log("Traceback", since) == 1
    site.wait_access(f"101 {path}")


def test_it_raises_behind_its_close(site: Site) -> None:
    since = len(site.log())
    with site.peer("/raises-behind") as peer:
        peer.closed(1000)
    site.wait_log("ValueError: behind its close", since)


def test_it_returns(site: Site) -> None:
    with site.peer("/returns") as peer:
        assert peer.event() == Frame(TEXT, b"bye")
        peer.closed(1000)


@pytest.mark.parametrize("code", [1000, 1001, 1008, 1012, 3000, 4999])
def test_it_closes(site: Site, code: int) -> None:
    key = f"{code},because"
    with site.peer(f"/closes?{key}") as peer:
        assert peer.closed(code).reason == "because"
    site.wait_notes(key, [code, "because"])


def test_it_closes_and_the_client_says_nothing(site: Site) -> None:
    """Which gets an end, all the same; the application is not kept."""
    with site.peer("/closes?1000,alone") as peer:
        event = peer.event()
        assert event
        assert event.opcode == CLOSE
        peer.ended()
    site.wait_idle()


def test_what_the_client_says_behind_a_close_is_dropped(site: Site) -> None:
    with site.peer("/closes?1000,dropped") as peer:
        event = peer.event()
        assert event
        for _ in range(10):
            peer.send(Frame(BINARY, bytes(60_000)))
        peer.end(event)
    site.wait_notes("1000,dropped", [1000, "dropped"])


# name: what the client gets where the wrong message is refused, as a close
# code, and None where it waits for a handshake
WRONG = {
    "two-accepts": 1000,
    "send-first": None,
    "two-closes": 1000,
    "send-behind": 1000,
    "accept-behind": 403,
    "http": 1000,
    "denial-late": 1000,
    "unknown": 1000,
    "no-type": 1000,
    "nothing": 1000,
    "nones": 1000,
    "text-bytes": 1000,
    "bytes-str": 1000,
    "surrogate": 1000,
    "code-str": 1000,
    "code-999": 1000,
    "code-70000": 1000,
    "protocol-newline": None,
    "header-newline": None,
}
BEHIND = ("two-closes", "send-behind", "accept-behind")


@pytest.mark.valgrind
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_message_raises(site: Site, name: str) -> None:
    """And nothing of it goes out; the application may go on."""
    key = f"{name},{name}"
    request, accept = handshake(f"/wrong?{key}")
    with Peer(site.connect()) as peer:
        peer.send_bytes(request)
        site.wait_notes(key, "OSError" if name in BEHIND else "bug")
        if WRONG[name] is None:
            assert peer.silent(0.1)
        elif WRONG[name] == 403:
            with pytest.raises(RefusalError) as caught:
                peer.answer(accept)
            assert caught.value.status == 403
        else:
            peer.answer(accept)
            if name in BEHIND:
                peer.closed(1000)
            else:
                peer.close(1000)
    site.wait_idle()


@pytest.mark.parametrize(
    ("reason", "sent"),
    [("r" * 200, "r" * 123), ("%C3%A4" * 100, "\u00e4" * 61)],
)
def test_a_reason_is_cut(site: Site, reason: str, sent: str) -> None:
    """Between two characters."""
    with site.peer(f"/closes?4000,{reason}") as peer:
        assert peer.closed(4000).reason == sent


def test_no_code(site: Site) -> None:
    """One that forwards what it has received; 1005 is none."""
    with site.peer("/closes?1005") as peer:
        peer.closed(1005)


def test_kinds_of_bytes(site: Site) -> None:
    with site.peer("/kinds") as peer:
        assert peer.event() == Frame(BINARY, b"a" * 1000)
        assert peer.event() == Frame(BINARY, b"b")
        assert peer.event() == Frame(TEXT, b"c")
        peer.close()
