# SPDX-License-Identifier: BSD-2-Clause
"""Status, headers and bodies; each application is in apps/answers.py."""

from __future__ import annotations

from http.client import IncompleteRead
from urllib.parse import quote

import pytest

from ..client import Response
from .site import Site, request

SITE = {"app": "answers:application"}


def said(answer: Response) -> tuple[int, str]:
    return answer.status, answer.text


def fails(site: Site, uri: str, text: str) -> None:
    """The client gets 500, and error.log the reason."""
    since = len(site.log())
    assert site.ask(uri).status == 500
    site.wait_log(text, since)


@pytest.mark.valgrind
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("list", "hello"),
        ("two", "hello"),
        ("tuple", "hello"),
        ("generator?n=3", "0;1;2;"),
        ("empty", ""),
        ("empties", "xy"),
        ("nothing_but_empties", ""),
        ("subclass", "sub"),
        ("subclass?list=1", "sub"),
        ("generator?n=10000", "".join(f"{n};" for n in range(10000))),
    ],
)
def test_bodies(site: Site, path: str, body: str) -> None:
    assert said(site.ask(f"/{path}")) == (200, body)


@pytest.mark.parametrize("how", ["", "&list=1"])
def test_big_parts(site: Site, how: str) -> None:
    size = 20_000_000
    answer = site.ask(f"/big?size={size}{how}")
    assert answer.body == b"0123456789abcdef" * (size // 16) * (2 - bool(how))


def test_start_response_in_the_first_step(site: Site) -> None:
    assert said(site.ask("/late")) == (201, "late")


@pytest.mark.parametrize(
    ("path", "length"),
    [
        ("list", "5"),
        ("tuple", "5"),
        ("two", None),
        ("generator?n=1", None),
        ("empty", "0"),
        ("nothing_but_empties", "0"),
        ("len?len=1", "3"),
        ("len?len=2", None),
        ("write?list=1", None),
    ],
)
def test_content_length_where_it_is_known(
    site: Site, path: str, length: str | None
) -> None:
    headers = site.ask(f"/{path}").headers
    assert headers.get("Content-Length") == length
    assert ("Transfer-Encoding" in headers) == (length is None)


@pytest.mark.valgrind
@pytest.mark.parametrize("how", ["", "&list=1"])
@pytest.mark.parametrize(
    ("n", "parts", "body"),
    [
        (3, "abc", "abc"),
        (3, "abcdef", "abc"),
        (4, "abc,def", "abcd"),
        (3, "abc,,", "abc"),
        (0, "", ""),
        (0, "abc", ""),
        (0, ",", ""),
    ],
)
def test_no_more_than_content_length(
    site: Site, n: int, parts: str, body: str, how: str
) -> None:
    answer = site.ask(f"/length?n={n}&parts={parts}{how}")
    assert answer.text == body
    assert answer.headers["Content-Length"] == str(n)


@pytest.mark.parametrize("how", ["", "&list=1"])
def test_less_than_content_length(site: Site, how: str) -> None:
    with pytest.raises(IncompleteRead):
        site.ask(f"/length?n=5&parts=ab,c{how}")
    site.wait_log("has sent 3 bytes after a Content-Length of 5")


def test_a_generator_gets_to_its_end(site: Site) -> None:
    site.ask("/closed")
    assert site.ask("/more").text == "abc"
    assert site.ask("/closed").text == "more"


@pytest.mark.parametrize("path", ["list", "two", "generator", "empty"])
def test_head(site: Site, path: str) -> None:
    got = site.ask(f"/{path}", method="HEAD")
    assert (got.status, got.body) == (200, b"")
    length = got.headers.get("Content-Length")
    assert length == ("5" if path == "list" else None)


def test_head_of_what_never_ends(site: Site) -> None:
    site.ask("/closed")
    with site.connect() as sock:
        sock.sendall(b"HEAD /endless HTTP/1.1\r\nHost: x\r\n\r\n")
        sock.sendall(b"GET /closed HTTP/1.1\r\nHost: x\r\n\r\n")
        data = b""
        while not data.endswith(b"\r\nendless\r\n0\r\n\r\n") and (
            not data.endswith(b"\r\n\r\nendless")
        ):
            piece = sock.recv(4096)
            assert piece, data
            data += piece


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
@pytest.mark.parametrize("body", ["", "body"])
def test_no_body(site: Site, status: str, body: str) -> None:
    got = site.ask(f"/status?is={quote(status)}&body={body}")
    assert (got.status, got.body) == (int(status[:3]), b"")
    if not body:
        assert "Content-Length" not in got.headers
    assert "Transfer-Encoding" not in got.headers


@pytest.mark.parametrize(
    "status",
    [
        "200 ",
        "299 Odd",
        "404 Not Found",
        "418 I'm a teapot",
        "599 \xe9",
        "999 Z",
    ],
)
def test_statuses(site: Site, status: str) -> None:
    path = f"/status?is={quote(status, encoding='latin-1')}&body=x"
    got = site.raw(request(path))
    assert got.startswith(f"HTTP/1.1 {status[:3]} ".encode())
    assert b"\r\nX-A: b\r\n" in got


def test_many_cookies_and_a_list_that_is_changed(site: Site) -> None:
    raw = site.raw(request("/cookies"))
    head = raw.partition(b"\r\n\r\n")[0]
    for n in range(100):
        assert f"\r\nSet-Cookie: c{n}=\xe9\r\n".encode("latin-1") in (
            head + b"\r\n"
        )


REFUSED = {
    "status int": "TypeError: start_response: the status is int, not str",
    "status bytes": "TypeError: start_response: the status is bytes, not str",
    "status code": "ValueError: start_response: the status is no",
    "status short": "ValueError: start_response: the status is no",
    "status word": "ValueError: start_response: the status is no",
    "status hundred": "ValueError: start_response: the status is no",
    "status newline": "ValueError: start_response: the status has a control",
    "status snowman": "ValueError: start_response: the status has a character",
    "status empty": "ValueError: start_response: the status is no",
    "headers tuple": "TypeError: start_response: the headers are tuple",
    "headers none": "TypeError: start_response: the headers are NoneType",
    "headers dict": "TypeError: start_response: the headers are dict",
    "header list": "TypeError: start_response: a header is no tuple",
    "header one": "TypeError: start_response: a header is no tuple",
    "header three": "TypeError: start_response: a header is no tuple",
    "header str": "TypeError: start_response: a header is no tuple",
    "name bytes": "TypeError: start_response: the name of a header is bytes",
    "name none": "TypeError: start_response: the name of a header is NoneType",
    "name empty": "ValueError: start_response: '' is no name",
    "name space": "ValueError: start_response: 'A b' is no name",
    "name colon": "ValueError: start_response: 'A:' is no name",
    "name newline": "ValueError: start_response: the name of a header has a c",
    "name nul": "ValueError: start_response: the name of a header has a c",
    "name latin": "ValueError: start_response: '\xe9' is no name",
    "name snowman": "ValueError: start_response: the name of a header has a c",
    "value bytes": "TypeError: start_response: the value of a header is bytes",
    "value int": "TypeError: start_response: the value of a header is int",
    "value newline": "ValueError: start_response: the value of a header has a",
    "value return": "ValueError: start_response: the value of a header has a",
    "value nul": "ValueError: start_response: the value of a header has a",
    "value tab": "ValueError: start_response: the value of a header has a",
    "value delete": "ValueError: start_response: the value of a header has a",
    "value snowman": "ValueError: start_response: the value of a header has a",
    "hop connection": "ValueError: start_response: the header 'Connection' is",
    "hop encoding": "ValueError: start_response: the header 'TRANSFER-encodin",
    "hop upgrade": "ValueError: start_response: the header 'Upgrade' is the s",
    "length word": "ValueError: start_response: Content-Length is no number",
    "length empty": "ValueError: start_response: Content-Length is no number",
    "length minus": "ValueError: start_response: Content-Length is no number",
    "length huge": "ValueError: start_response: Content-Length is no number",
    "length twice": "ValueError: start_response: Content-Length is there twic",
}


@pytest.mark.valgrind
def test_heads_that_are_refused(site: Site) -> None:
    for name, text in REFUSED.items():
        got = site.ask(f"/head?is={quote(name)}")
        assert got.status == 200, name
        assert got.body.decode().startswith(text), name


def test_a_head_that_is_too_large(site: Site) -> None:
    fails(site, "/head?is=large", "ValueError: .* more than 1 MiB")


@pytest.mark.parametrize("path", ["never", "never_empty", "never_list"])
def test_start_response_is_never_called(site: Site, path: str) -> None:
    fails(site, f"/{path}", "has not called start_response")


def test_start_response_is_called_twice(site: Site) -> None:
    fails(site, "/twice", "start_response was called before")


def test_exc_info_before_the_head(site: Site) -> None:
    got = site.ask("/replace")
    assert said(got) == (503, "sorry")
    assert "X-First" not in got.headers
    assert got.headers["Content-Length"] == "5"


def test_exc_info_after_the_head(site: Site) -> None:
    since = len(site.log())
    with pytest.raises(IncompleteRead) as caught:
        site.ask("/replace_late")
    assert caught.value.partial == b"begun"
    site.wait_log("RuntimeError: too late", since)


def test_exc_info_after_a_write_of_nothing(site: Site) -> None:
    assert said(site.ask("/replace_after_write")) == (200, "too late")


@pytest.mark.valgrind
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("write", "one,two,three"),
        ("write?list=1", "one,two,three"),
        ("write_only?n=3", "0;1;2;"),
        ("write_only?n=0", ""),
        ("write_beyond", "abcd"),
    ],
)
def test_write(site: Site, path: str, body: str) -> None:
    assert said(site.ask(f"/{path}")) == (200, body)


def test_write_much(site: Site) -> None:
    assert site.ask("/write_big?n=200").body == b"x" * 65536 * 200


def test_write_no_bytes(site: Site) -> None:
    fails(site, "/write_str", "TypeError: .* is str, not bytes")


def test_wsgiref_is_content() -> None:
    with Site("answers:valid") as site:
        for path, body in [
            ("generator?n=3", "0;1;2;"),
            ("list", "hello"),
            ("two", "hello"),
            ("empty", ""),
            ("write", "one,two,three"),
            ("replace", "sorry"),
            ("late", "late"),
        ]:
            got = site.ask(f"/{path}")
            assert got.text == body, path
            assert got.status in (200, 201, 503), path
        assert site.count_log("AssertionError") == 0
