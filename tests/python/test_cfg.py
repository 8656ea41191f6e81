# SPDX-License-Identifier: BSD-2-Clause
"""The grammar of a cfg; tests/integration/test_python_cfg.py has its texts."""

from __future__ import annotations

import itertools
import re

import pytest

from resty_ffi._loader.cfg import Cfg, parse
from resty_ffi._loader.errors import LoadError

# Otherwise stated than in the parser.
GRAMMAR = re.compile(
    rb"(?:([^,]*?)(/)[/]*(?=[^/,]*,))?(?![?],)([^/,]+?)([?]?),([^,]+)(?:,(.*))?",
    re.DOTALL,
)

SEEDS = [
    b"m,f",
    b"m,f,",
    b"m,f,a,b,,c,",
    b"ffi.echo?,init,",
    b"m??,f",
    b"p.m,f,/x",
    b'/srv/a b/p.m?,start,{"a":1,"b":"x,y"}',
    b"/m,f",
    b"./a//b??,f,c",
    b"//m,f,,",
    b"\xc3\xa9,f,\xff\n",
]


def stated(text: bytes) -> Cfg | None:
    match = GRAMMAR.fullmatch(text)
    if match is None:
        return None
    directory, slash, module, fresh, function, config = match.groups()
    return Cfg(
        (directory.decode() or "/") if slash else None,
        module.decode(),
        bool(fresh),
        function.decode(),
        config,
    )


def parsed(text: bytes) -> Cfg | None:
    try:
        return parse(text)
    except LoadError as error:
        if error.__cause__ is not None:
            raise
        return None


@pytest.mark.parametrize("text", SEEDS)
def test_seeds(text: bytes) -> None:
    assert parse(text) == stated(text)


def test_every_short_text() -> None:
    valid = 0
    for length in range(9):
        for letters in itertools.product(b"m/?,", repeat=length):
            text = bytes(letters)
            cfg = parsed(text)
            assert cfg == stated(text), text
            valid += cfg is not None
    assert valid > 10_000
