# SPDX-License-Identifier: BSD-2-Clause
"""s:pipe() in what SSI includes, and in what has includes."""

from __future__ import annotations

import http.client

import pytest

from ..nginx import Nginx
from ..pipes import (
    SSI,
    answer_of,
    ask,
    letters,
    take,
    url,
)


@pytest.mark.valgrind
def test_includes_that_pipe(whole: Nginx) -> None:
    """In their order, whatever comes first."""
    code = (
        "ngx.print('[', "
        f"'{SSI.format('/part-slow')}', '|', '{SSI.format('/part')}', ']')"
    )
    assert whole.get(url("/ssi", code)).body == (
        b"[" + letters(5, 10) + b"|" + letters(50, 4000) + b"]"
    )
    assert sorted(take(whole, 2)) == [[50], [200_000]]


@pytest.mark.valgrind
def test_what_is_piped_has_includes(whole: Nginx) -> None:
    body = f"<{SSI.format('/part-slow')}>{SSI.format('/part')}."
    code = f"pipe('plain', '{body}')"
    assert whole.get(url("/ssi", code)).body == (
        b"<" + letters(5, 10) + b">" + letters(50, 4000) + b"."
    )
    assert len(take(whole, 3)) == 3


# ---- includes that fail

SLOW = SSI.format("/part-slow")
WRONG = SSI.format("/part-wrong")
WAIT = WRONG.replace(" -->", ' wait="yes" -->')
SET = WRONG.replace(" -->", ' set="part" -->')


@pytest.mark.valgrind
@pytest.mark.parametrize("maker", ["ngx.print('{}')", "pipe('plain', '{}')"])
@pytest.mark.parametrize(
    ("page", "begins"),
    [
        (f"<{WRONG}>", b"<" + letters(3, 10)),
        (f"<{WAIT}>", b"<" + letters(3, 10)),
        (f"<{WRONG}{SLOW}>", b"<" + letters(3, 10)),
        (f"<{SSI.format('/part-exit')}>", b"<" + letters(1, 10)),
    ],
)
def test_a_page_is_unfinished_where_an_include_fails(
    nginx: Nginx, maker: str, page: str, begins: bytes
) -> None:
    """It may have been complete but for that."""
    answer = answer_of(ask(nginx, "/ssi", maker.format(page)))
    with pytest.raises(http.client.IncompleteRead) as raised:
        answer.read()
    assert raised.value.partial.startswith(begins)


@pytest.mark.valgrind
@pytest.mark.parametrize("page", [f"<{SLOW}{WRONG}>", f"<{SET}>"])
def test_a_page_ends_at_once_where_an_include_fails(
    nginx: Nginx, page: str
) -> None:
    """Though nothing of it has been sent."""
    with pytest.raises(http.client.HTTPException):
        answer_of(ask(nginx, "/ssi", f"ngx.print('{page}')")).read()


def test_a_proxied_page_is_unfinished_where_an_include_fails(
    nginx: Nginx,
) -> None:
    """No Lua code is in the main request."""
    answer = answer_of(ask(nginx, "/proxied-ssi", f"ngx.print('<{WRONG}>')"))
    with pytest.raises(http.client.IncompleteRead):
        answer.read()
