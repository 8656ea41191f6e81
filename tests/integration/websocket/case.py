# SPDX-License-Identifier: BSD-2-Clause
"""What Autobahn's cases have in common."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence

from .frames import BINARY, CLOSE, CONTINUATION, TEXT, Frame, Peer

OK, NON_STRICT, INFORMATIONAL = "OK", "non-strict", "informational"
HELLO = b"Hello, world!"
NOT_UTF8 = b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff"
PROTOCOL, INVALID = 1002, 1007
KIB, MIB = 1 << 10, 1 << 20
# what a server may take to fail amid a message, where it may also wait
FAST = 0.5

Run = Callable[[Peer], str]


@dataclasses.dataclass(frozen=True)
class Case:
    """offer: Sec-WebSocket-Extensions. result: what ours has, and run()
    returns, where it does not fail."""

    number: str
    run: Run
    offer: str | None = None
    result: str = "OK"

    @property
    def group(self) -> str:
        return self.number.rpartition(".")[0]


Cases = Iterator[Case]


def text(payload: bytes, fin: bool = True, rsv: int = 0) -> Frame:
    return Frame(TEXT, payload, fin, rsv)


def more(payload: bytes, fin: bool = True) -> Frame:
    return Frame(CONTINUATION, payload, fin)


def answered(
    *frames: Frame,
    by: Sequence[Frame],
    chop: int = 0,
    sync: bool = False,
) -> Run:
    """All is well, and the client closes."""

    def run(peer: Peer) -> str:
        peer.send(*frames, chop=chop, sync=sync)
        for expected in by:
            assert peer.event() == expected
        peer.close()
        return OK

    return run


def echoed(*frames: Frame, chop: int = 0, sync: bool = False) -> Run:
    data = [f for f in frames if f.opcode in (CONTINUATION, TEXT, BINARY)]
    whole = b"".join(frame.payload for frame in data)
    by = [Frame(data[0].opcode, whole)]
    return answered(*frames, by=by, chop=chop, sync=sync)


def failed(
    *frames: Frame,
    codes: Sequence[int] = (PROTOCOL,),
    first: Frame | None = None,
    chop: int = 0,
    sync: bool = False,
) -> Run:
    """The server closes; first: what comes before that, if it is strict."""

    def run(peer: Peer) -> str:
        with contextlib.suppress(BrokenPipeError):  # it has seen enough
            peer.send(*frames, chop=chop, sync=sync)
        event = peer.event()
        strict = event == first
        if first and strict:
            event = peer.event()
        assert event
        assert event.opcode == CLOSE, event
        assert event.code in codes, event
        peer.end(event)
        return OK if strict or not first else NON_STRICT

    return run


def closed(*frames: Frame, codes: Sequence[int] = (1000,)) -> Run:
    """The last thing that the client says is of no interest any more."""

    def run(peer: Peer) -> str:
        peer.send(*frames)
        peer.closed(*codes)
        return OK

    return run
