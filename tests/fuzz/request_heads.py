# SPDX-License-Identifier: BSD-2-Clause
"""Heads of requests: valid ones, and what becomes of them by accident."""

from __future__ import annotations

import random

METHODS = (
    *(b"GET", b"POST", b"HEAD", b"PUT", b"OPTIONS", b"DELETE", b"PATCH"),
    *(b"get", b"FOO", b"A_B", b"A-B", b"M" * 40, b"TRACE", b"CONNECT", b""),
)
TARGETS = (
    *(b"/", b"a", b"b/", b"//", b"/../", b"/./", b"..", b".", b"%2F", b"%2e"),
    *(b"%00", b"%ff", b"\xff", b"\xc3\xa9", b"%C3%A9", b"%e2%82", b"%", b"%4"),
    *(b"%zz", b"?", b"??", b"?a=b", b"&c=%00", b"#", b"+", b";", b":", b"\\"),
    *(b"*", b"%3F", b"%23", b"\x01", b"\x7f", b"~", b"'", b'"', b"<", b"{"),
)
PREFIXES = (b"/", b"/", b"/", b"", b"http://h/", b"http://h", b"HTTP://H:8/")
VERSIONS = (
    *(b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/1.9"),
    *(b"HTTP/1.01", b"HTTP/1.", b"HTTP/2.0", b"HTTP/0.9", b"http/1.1", b""),
)
FIELDS = (
    *(b"X-Test", b"x-test", b"X-TEST", b"X_Test", b"Cookie", b"cookie"),
    *(b"Host", b"User-Agent", b"Content-Type", b"content-type", b"Accept"),
    *(b"X.Dot", b"X Space", b"X\x80", b"X\0", b"", b"-", b"X" * 300, b"Range"),
    *(b"If-Match", b"Expect", b"Connection", b"X-Forwarded-For", b"Upgrade"),
    *(b"Content_Length", b"Http-Host", b"Proxy", b"Remote-Addr", b"Via"),
    *(b"Content-Length-", b"Authorization", b"Referer", b"F-Id", b"TE"),
)
VALUES = (
    *(b"", b"a", b"b, c", b" a ", b"\t", b"\xff\xfe", b"\xc3\xa9", b"\x01"),
    *(b"a\0b", b"a\rb", b"v" * 3000, b'"', b"k=v; l=w", b"close", b"1"),
    *(b"keep-alive", b"100-continue", b"h2c", b"0", b"bytes=0-"),
)
LENGTHS = (
    *(b"0", b"3", b"3", b"5", b"+3", b"-1", b"03", b"3 ", b"0x3", b"3,3"),
    *(b"18446744073709551616", b"", b"3\t", b"999"),
)
ENCODINGS = (
    *(b"chunked", b"chunked", b"Chunked", b"identity", b"gzip, chunked"),
    *(b"chunked, chunked", b"x", b"", b"\x0bchunked", b"chunked;q=1"),
)
BODIES = (
    *(
        b"",
        b"abc",
        b"abcde",
        b"3\r\nabc\r\n0\r\n\r\n",
        b"3;x=y\r\nabc\r\n0\r\n",
    ),
    *(
        b"0\r\n\r\n",
        b"0\r\nX: y\r\n\r\n",
        b"3\nabc\n0\n\n",
        b"ffffffffffffffff",
    ),
    *(
        b"3\r\nabcde\r\n0\r\n\r\n",
        b"-3\r\nabc\r\n0\r\n\r\n",
        b"GET / HTTP/1.1",
    ),
)
END = b"GET /end HTTP/1.1\r\nHost: end\r\nConnection: close\r\n\r\n"


def make(pick: random.Random, number: int) -> bytes:
    """A request, or what was one; and one that ends the connection.

    number: what a valid one has as X-Number, twice: no accident makes one of
    another.
    """
    data = _valid(pick, number) if pick.random() < 0.3 else _odd(pick)
    if pick.random() < 0.3:
        data = _broken(pick, data)
    return data + END


def _target(pick: random.Random) -> bytes:
    pieces = pick.choices(TARGETS, k=pick.randrange(6))
    if pick.random() < 0.01:
        pieces.append(b"l" * pick.choice([1000, 9000]))
    return pick.choice(PREFIXES) + b"".join(pieces)


def _valid(pick: random.Random, number: int) -> bytes:
    """Except for its target."""
    lines = [
        pick.choice(METHODS[:7]) + b" /" + _target(pick) + b" HTTP/1.1",
        b"Host: " + pick.choice([b"h", b"h:8", b"[::1]:8", b"H.example"]),
        b"X-Number: %d/%d" % (number, number),
    ]
    for _ in range(pick.randrange(5)):
        name = pick.choice(FIELDS[:2] + FIELDS[4:5] + FIELDS[7:9])
        lines.append(name + b": " + pick.choice(VALUES[:7]).strip())
    body = pick.choice([b"", b"abc", b"a\0\xff"])
    if body:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join([*lines, b"", b""]) + body


def _odd(pick: random.Random) -> bytes:
    line = b" ".join(
        [pick.choice(METHODS), _target(pick), pick.choice(VERSIONS)]
    )
    lines = [line]
    if pick.random() < 0.9:
        lines.append(b"Host: h")
    for _ in range(pick.randrange(6)):
        colon = pick.choice([b": ", b": ", b":", b" : ", b":\t", b""])
        lines.append(pick.choice(FIELDS) + colon + pick.choice(VALUES))
    if pick.random() < 0.02:
        lines += [b"X-Many: %d" % i for i in range(1000)]
    for name, values in (
        (b"Content-Length", LENGTHS),
        (b"Transfer-Encoding", ENCODINGS),
    ):
        while pick.random() < 0.3:
            place = pick.randrange(1, len(lines) + 1)
            lines.insert(place, name + b": " + pick.choice(values))
    end = pick.choice([b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r"])
    return end.join([*lines, b"", b""]) + pick.choice(BODIES)


def _broken(pick: random.Random, data: bytes) -> bytes:
    for _ in range(pick.randrange(1, 4)):
        at = pick.randrange(len(data) + 1)
        to = min(len(data), at + pick.randrange(8))
        piece = pick.choice([b"", pick.randbytes(1), data[at:to] * 2, b"\r\n"])
        data = data[:at] + piece + data[to:]
    return data
