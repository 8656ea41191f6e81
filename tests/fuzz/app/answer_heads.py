# SPDX-License-Identifier: BSD-2-Clause
"""Heads of answers: a good one, a bad one, or one of which nobody knows.

The application in nginx makes the same ones as the fuzzer outside.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# A bad one is refused, a good one arrives as it is, an odd one is either.
GOOD, BAD, ODD = "good", "bad", "odd"

TOKEN = (
    b"!#$%&'*+-.^_`|~0123456789"
    b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
)
VALUE = bytes([*range(32, 127), *range(128, 256)])
NAMES = (
    *(b"Cache-Control", b"Link", b"WWW-Authenticate", b"Set-Cookie"),
    *(b"ETag", b"Expires", b"Last-Modified", b"Location", b"Vary"),
    *(b"Accept-Ranges", b"Content-Encoding", b"Content-Type", b"Server"),
    *(b"Date", b"X-A", b"x-a", b"Content-Language", b"Age", b"Warning"),
)
HOP_BY_HOP = (
    *(b"Connection", b"Keep-Alive", b"Proxy-Connection", b"TE", b"Trailer"),
    *(b"Transfer-Encoding", b"Upgrade"),
)
SPLIT = b"\r\nInjected: yes"

Field = tuple[bytes, bytes]


@dataclass
class Case:
    """fields: what they are as bytes, where that is known.

    status and headers are for the application to send.
    """

    kind: str
    status: Any
    headers: Any
    body: bytes
    code: int
    fields: list[Field]


def make(seed: int, number: int, wsgi: bool) -> Case:
    pick = random.Random(f"{seed}/{number}/{wsgi}")
    code = pick.choice([200, 201, 299, 301, 404, 418, 500, 599, 999])
    code = pick.choice([code, pick.randrange(200, 1000), 204, 304])
    fields = [_field(pick) for _ in range(pick.randrange(7))]
    if pick.random() < 0.02:
        fields = [(b"X-%d" % i, b"v") for i in range(1000)]
    if pick.random() < 0.02:
        fields.append((b"X-Large", b"v" * pick.randrange(1, 70_000)))
    # nginx adds to each of them, or answers another one by itself
    body = b"" if code in (204, 304) else pick.randbytes(pick.randrange(100))
    case = Case(GOOD, code, None, body, code, fields)
    if wsgi:
        case.status = f"{code} {pick.choice(['OK', 'A b', 'x'])}"
        case.headers = [(_text(n), _text(v)) for n, v in fields]
    else:
        case.headers = list(fields)
    case.kind = pick.choice([GOOD, BAD, ODD])
    if case.kind != GOOD:
        change = pick.choice(BADS if case.kind == BAD else ODDS)
        change(pick, case, wsgi)
    return case


def _text(data: bytes) -> str:
    return data.decode("latin-1")


def _field(pick: random.Random) -> Field:
    name = pick.choice(NAMES)
    if pick.random() < 0.5:
        name = bytes(pick.choices(TOKEN, k=pick.randrange(1, 12)))
        # which nginx, or an upstream's answer, takes for itself
        name = b"Y-" + name
    value = bytes(pick.choices(VALUE, k=pick.randrange(0, 20)))
    return name, value.strip()


def _put(pick: random.Random, case: Case, name: Any, value: Any) -> None:
    place = pick.randrange(len(case.headers) + 1)
    case.headers.insert(place, (name, value))


# ---- what must be refused


def _bad_value(pick: random.Random, case: Case, wsgi: bool) -> None:
    bad = pick.choice([b"\r", b"\n", b"\0", SPLIT, b"\n\n", b"\r\n x: y"])
    value = b"a" * pick.randrange(3) + bad + b"b" * pick.randrange(3)
    _put_text(pick, case, pick.choice(NAMES), value, wsgi)


def _bad_name(pick: random.Random, case: Case, wsgi: bool) -> None:
    bad = pick.choice([b" ", b":", b"\r\n", b"\0", b"\x80", b"(", b"\t", b'"'])
    name = pick.choice([b"", b"a" + bad, bad + b"b", b"a" + bad + b"b"])
    _put_text(pick, case, name, b"v", wsgi)


def _put_text(
    pick: random.Random, case: Case, name: bytes, value: bytes, wsgi: bool
) -> None:
    if wsgi:
        _put(pick, case, _text(name), _text(value))
    else:
        _put(pick, case, name, value)


def _bad_status(pick: random.Random, case: Case, wsgi: bool) -> None:
    number = pick.choice([0, 1, 99, 100, 199, 1000, 9999, -200, 2**31, 2**64])
    case.status = number
    if wsgi:
        words = ["OK", "", "\r\nInjected: yes", "20", "200\r\n"]
        case.status = f"{number} {pick.choice(words)}"


def _bad_type(pick: random.Random, case: Case, wsgi: bool) -> None:
    name, value = ("N", "v") if wsgi else (b"N", b"v")
    for_name = pick.random() < 0.5
    odd = pick.choice([None, 1, 1.5, [], {}, object(), "\u20ac"])
    _put(pick, case, odd if for_name else name, value if for_name else odd)


def _bad_pair(pick: random.Random, case: Case, wsgi: bool) -> None:
    odd = pick.choice([None, 1, (), ("a",), ("a", "b", "c"), (b"a",), b"", ""])
    case.headers.insert(pick.randrange(len(case.headers) + 1), odd)


def _bad_list(pick: random.Random, case: Case, wsgi: bool) -> None:
    case.headers = pick.choice([None, 1, object(), 2.5, True])


def _too_large(pick: random.Random, case: Case, wsgi: bool) -> None:
    _put_text(pick, case, b"X-Large", b"v" * 1_100_000, wsgi)


BADS: list[Callable[[random.Random, Case, bool], None]] = [
    *(_bad_value, _bad_name, _bad_value, _bad_name, _bad_value, _bad_name),
    *(_bad_status, _bad_type, _bad_pair, _bad_list),
    _too_large,
]


# ---- what may be refused


def _odd_strings(pick: random.Random, case: Case, wsgi: bool) -> None:
    """The other one of str and bytes."""
    case.headers = [
        (n, v) if wsgi else (_text(n), _text(v)) for n, v in case.fields
    ]


def _odd_bytes(pick: random.Random, case: Case, wsgi: bool) -> None:
    kind = pick.choice([bytearray, memoryview])
    case.headers = [(kind(n), kind(v)) for n, v in case.fields]


def _odd_pairs(pick: random.Random, case: Case, wsgi: bool) -> None:
    case.headers = [list(pair) for pair in case.headers]


def _odd_iterable(pick: random.Random, case: Case, wsgi: bool) -> None:
    if pick.random() < 0.5:
        case.headers = tuple(case.headers)
    else:
        case.headers = iter(case.headers)


def _odd_subclass(pick: random.Random, case: Case, wsgi: bool) -> None:
    class Shrinks(list):  # type: ignore[type-arg]
        """Others change while they are looked at."""

        def __iter__(self) -> Any:
            while self:
                yield self.pop(0)

    case.headers = Shrinks(case.headers)


def _odd_status(pick: random.Random, case: Case, wsgi: bool) -> None:
    code = case.code
    case.status = pick.choice(
        [str(code), float(code), b"%d" % code, f" {code}"]
    )
    if wsgi:
        case.status = pick.choice([f"{code}", f"{code} ", code, f"{code}\tOK"])


def _odd_length(pick: random.Random, case: Case, wsgi: bool) -> None:
    n = len(case.body)
    value = pick.choice(
        [n, n + 1, n - 1, -1, "", "x", f"{n} ", f"0{n}", 2**64]
    )
    for _ in range(pick.choice([1, 1, 2])):
        _put_text(pick, case, b"Content-Length", str(value).encode(), wsgi)


def _odd_hop(pick: random.Random, case: Case, wsgi: bool) -> None:
    _put_text(
        pick,
        case,
        pick.choice(HOP_BY_HOP),
        pick.choice([b"close", b"chunked", b"x", b""]),
        wsgi,
    )


def _odd_control(pick: random.Random, case: Case, wsgi: bool) -> None:
    value = bytes([pick.choice([*range(1, 10), 11, 12, *range(14, 32), 127])])
    case.fields.append((b"X-Control", value))
    case.headers.append(
        ("X-Control", _text(value)) if wsgi else (b"X-Control", value)
    )


ODDS: list[Callable[[random.Random, Case, bool], None]] = [
    *(_odd_strings, _odd_bytes, _odd_pairs, _odd_iterable, _odd_subclass),
    *(_odd_status, _odd_length, _odd_hop, _odd_control),
]
