# SPDX-License-Identifier: BSD-2-Clause
"""ffi_pass: answers that have nginx send another one, and hidden fields."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .client import eventually
from .web import Web, head

pytestmark = pytest.mark.valgrind

HTTP = "ffi_hide_header X-Secret; python_hide_header x-other;"

SERVER = """
location /inside/ { internal; root {prefix}; }
location @named { return 200 "named $request_method $uri $args"; }
location /args { return 200 "args=$args uri=$uri method=$request_method"; }
location /koi { charset koi8-r; ffi_pass webprobe; }
location /again { ffi_pass webprobe; }
location /proxied { proxy_pass http://unix:{prefix}/http.sock:/args; }
location /with_ssi { ssi on; ssi_types *; ffi_pass webprobe; }
location /reading { ffi_read_timeout 300ms; ffi_pass webprobe; }
location /buffered { ffi_request_buffering on; ffi_pass webprobe; }

location /intercepted {
    ffi_intercept_errors on;
    error_page 404 /page;
    error_page 401 500 =200 /page;
    error_page 302 @named;
    ffi_pass webprobe;
    location /intercepted/not { python_intercept_errors off;
                                ffi_pass webprobe; }
}
location /unlisted { ffi_intercept_errors on; ffi_pass webprobe; }
location = /page { return 200 "page"; }

location /hiding {
    ffi_hide_header X-Mine;
    ffi_hide_header content-type;
    ffi_hide_header Content-Length;
    ffi_hide_header Set-Cookie;
    ffi_pass webprobe;
}
"""


@pytest.fixture(scope="module")
def shared(libs: Path) -> Iterator[Web]:
    web = Web(libs, http=HTTP, server=SERVER)
    inside = web.prefix / "inside"
    inside.mkdir()
    inside.chmod(0o755)
    (inside / "file.txt").write_text("the file")
    (inside / "a b?c.txt").write_text("odd name")
    with web:
        yield web


def to(uri: str, rest: str = "") -> str:
    return f"head=200,X-Accel-Redirect:{uri}{rest}"


# -- X-Accel-Redirect -------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "text"),
    [
        ("/inside/file.txt", "the file"),
        ("/inside/a%2520b%253Fc.txt", "odd name"),
        ("/args?a=b&c", "args=a=b&c uri=/args method=GET"),
        ("/args", "args= uri=/args method=GET"),
        ("/proxied", "args= uri=/args method=GET"),
        ("@named", "named POST /here x=y"),
    ],
)
@pytest.mark.parametrize("body", ["", ";part=never seen", ";fill=100000"])
def test_redirects(web: Web, uri: str, text: str, body: str) -> None:
    before = web.counts()
    answer = web.do(to(uri) + body, "/here?x=y", method="POST", body="")
    assert (answer.status, answer.text) == (200, text)
    eventually(lambda: web.counts()["live"] == 0, "it ends")
    assert web.counts()["gone"] == before["gone"]


@pytest.mark.parametrize(
    "uri", ["", "/../x", "/inside/../../etc", "?a", "/a/%252e%252e/%252e%252e"]
)
def test_unsafe_uris(web: Web, uri: str) -> None:
    web.allow_log("unsafe URI")
    assert web.do(to(uri)).status == 404


def test_a_name_that_there_is_not(web: Web) -> None:
    web.allow_log("could not find named location")
    assert web.do(to("@nowhere")).status == 500


def test_a_file_that_there_is_not(web: Web) -> None:
    web.allow_log("No such file")
    assert web.do(to("/inside/none")).status == 404


def test_a_loop(web: Web) -> None:
    web.allow_log("redirect cycle|rewrite or internal redirection cycle")
    assert web.do(to("/again")).status == 500


def test_which_fields_are_kept(web: Web) -> None:
    answer = web.do(
        "head=404,X-Accel-Redirect:/inside/file.txt,Content-Type:text/x"
        ',Content-Length:1000,ETag:"mine",X-Mine:1'
        ",Cache-Control:no-store,Set-Cookie:a=b"
        ",Content-Disposition:attachment,X-Secret:1;part=x",
        headers={"Range": "bytes=4-"},
    )
    assert (answer.status, answer.body) == (206, b"file")
    fields = answer.headers
    assert fields["Content-Type"] == "text/x"
    assert fields["Content-Length"] == "4"
    assert fields["Cache-Control"] == "no-store"
    assert fields["Set-Cookie"] == "a=b"
    assert fields["Content-Disposition"] == "attachment"
    assert fields["ETag"] != '"mine"'
    assert not {"X-Mine", "X-Secret", "X-Accel-Redirect"} & set(fields)


def test_head(web: Web) -> None:
    raw = web.raw(
        head(to("/inside/file.txt", ";part=x"), line="HEAD / HTTP/1.1"),
        head(to("/inside/file.txt"), "Connection: close"),
    )
    assert raw.count(b"Content-Length: 8") == 2
    assert raw.count(b"the file") == 1


def test_in_a_pipeline(web: Web) -> None:
    ask = head(to("/inside/file.txt", ";fill=5000"))
    last = head("head=200;part=last", "Connection: close")
    raw = web.raw(*[ask] * 10, last)
    assert raw.count(b"the file") == 10
    assert b"last" in raw


def test_of_an_include(web: Web) -> None:
    tag = '<!--# include virtual="/inner" -->'.replace('"', "%22")
    # the inner one is asked the same, and goes the same way
    do = to("/inside/file.txt", f";part={tag}")
    assert web.text(do, "/with_ssi") == "the file"


@pytest.mark.parametrize("uri", ["/", "/buffered"])
@pytest.mark.parametrize("size", [10, 1_000_000])
def test_with_a_body(web: Web, uri: str, size: int) -> None:
    """It is discarded, whether or not the application has read it."""
    web.allow_log("is buffered to a temporary file")
    for do in (to("/inside/file.txt"), "read;" + to("/inside/file.txt")):
        answer = web.do(do, uri, method="POST", body=b"x" * size)
        assert answer.body == b"the file"


def test_a_body_for_the_next_application(web: Web) -> None:
    """As nginx's own: one that is complete is there for the target."""
    do = to("/next", ";part=no")
    ask = web.do(do, "/buffered", method="POST", body=b"the body")
    # webprobe at /next does the same, and leads to itself until nginx ends it
    web.allow_log("redirect cycle|rewrite or internal redirection cycle")
    assert ask.status == 500


@pytest.mark.parametrize("do", ["endless", "fill=5000;gone"])
def test_a_body_that_nobody_wants_and_does_not_end(web: Web, do: str) -> None:
    """The application is told, sooner or later."""
    before = web.counts()["gone"]
    answer = web.do(to("/inside/file.txt", f";{do}"), "/reading")
    assert answer.body == b"the file"
    eventually(lambda: web.counts()["gone"] == before + 1, "it is told")


def test_a_failure_after_a_redirect(web: Web) -> None:
    since = len(web.log())
    do = to("/inside/file.txt", ";sleep=50;end=3,oops")
    assert web.do(do).body == b"the file"
    web.wait_log('"webprobe" has failed with status 3 when its', since)


# -- the other ones ---------------------------------------------------------


def test_limit_rate(web: Web) -> None:
    start = time.monotonic()
    do = "head=200,X-Accel-Limit-Rate:100000;fill=150000"
    assert len(web.do(do).body) == 150_000
    assert time.monotonic() - start > 0.4


@pytest.mark.parametrize("rate", ["off", "0", "-1", ""])
def test_no_limit_rate(web: Web, rate: str) -> None:
    do = f"head=200,X-Accel-Limit-Rate:{rate};fill=150000"
    answer = web.do(do)
    assert len(answer.body) == 150_000
    assert "X-Accel-Limit-Rate" not in answer.headers


def test_charset(web: Web) -> None:
    do = "head=200,Content-Type:text/html,X-Accel-Charset:koi8-r;part=x"
    answer = web.do(do)
    assert answer.headers["Content-Type"] == "text/html; charset=koi8-r"


def test_what_is_taken_out(web: Web) -> None:
    do = "head=200,X-Accel-Expires:60,X-Accel-Buffering:no,X-Accel-Else:1"
    answer = web.do(f"{do};part=x")
    accel = [name for name in answer.headers if name.startswith("X-Accel")]
    assert accel == ["X-Accel-Else"]


# -- intercept_errors -------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "status", "got", "text"),
    [
        ("/intercepted", 404, 404, "page"),
        ("/intercepted", 500, 200, "page"),
        ("/intercepted", 302, 302, "named GET /intercepted "),
        ("/intercepted", 403, 403, "mine"),
        ("/intercepted", 200, 200, "mine"),
        ("/intercepted/not", 404, 404, "mine"),
        ("/unlisted", 404, 404, "mine"),
        ("/", 404, 404, "mine"),
    ],
)
def test_errors(web: Web, uri: str, status: int, got: int, text: str) -> None:
    answer = web.do(f"head={status},X-Mine:1;part=mine", uri)
    assert (answer.status, answer.text) == (got, text)
    assert ("X-Mine" in answer.headers) == (text == "mine")


def test_who_may_not_is_told_how(web: Web) -> None:
    do = "head=401,WWW-Authenticate:Basic;part=mine"
    answer = web.do(do, "/intercepted")
    assert (answer.status, answer.text) == (200, "page")
    assert answer.headers["WWW-Authenticate"] == "Basic"


def test_an_error_has_its_page_before_a_redirect(web: Web) -> None:
    do = "head=404,X-Accel-Redirect:/inside/file.txt"
    assert web.do(do, "/intercepted").text == "page"


def test_an_error_with_a_body_that_does_not_end(web: Web) -> None:
    before = web.counts()["gone"]
    assert web.do("head=404;endless", "/intercepted").text == "page"
    eventually(lambda: web.counts()["gone"] == before + 1, "it is told")


# -- hide_header ------------------------------------------------------------


def test_hidden_fields(web: Web) -> None:
    do = (
        "head=200,X-SECRET:1,X-Other:2,X-Mine:3,Content-Type:text/x"
        ",Content-Length:4,Set-Cookie:a=1,Set-Cookie:b=2;part=body"
    )
    answer = web.do(do)
    assert not {"X-SECRET", "X-Other"} & set(answer.headers)
    assert {"X-Mine", "Content-Type", "Set-Cookie"} <= set(answer.headers)

    answer = web.do(do, "/hiding")
    fields = {name.lower() for name in answer.headers}
    assert not {"x-mine", "set-cookie", "content-type"} & fields
    # an inner level has its own ones, and the body's length is no secret
    assert {"x-secret", "x-other", "content-length"} <= fields
    assert answer.body == b"body"
