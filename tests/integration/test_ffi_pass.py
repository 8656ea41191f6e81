# SPDX-License-Identifier: BSD-2-Clause
"""ffi_pass: requests' and answers' heads, and what nginx makes of them."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import pytest

from .web import Web, head

pytestmark = pytest.mark.valgrind

SERVER = """
location /rewritten { rewrite ^/rewritten(.*) /new$1; }
location /new { ffi_pass webprobe; }
location /kept// { ffi_pass webprobe; }
location /inside { error_page 418 = /app/inner; return 418; }
location /named { error_page 418 = @app; return 418; }
location @app { ffi_pass webprobe; }
location /app/ { ffi_pass webprobe; }
location /expires { expires 1h; ffi_pass webprobe; }
location /added { add_header X-Added yes always; ffi_pass webprobe; }
location /errors {
    error_page 502 504 = /fallback;
    ffi_read_timeout 100ms;
    ffi_pass webprobe;
}
location /fallback { return 200 "fallback"; }
location /if {
    if ($arg_a) { set $b 1; }
    ffi_pass webprobe;
}
location /except {
    limit_except GET { deny all; }
    ffi_pass webprobe;
}
location /inif {
    if ($arg_a) { ffi_pass webprobe; }
}
"""


@pytest.fixture
def web(shared: Web) -> Iterator[Web]:
    with shared.watch():
        yield shared


def dumped(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines())


# -- the request's head ----------------------------------------------------


def test_the_head(web: Web) -> None:
    text = web.text(
        "head=200;dump",
        "/a/b?c=d&e",
        headers={"X-Mixed-Case": "Value", "X-Empty": ""},
    )
    assert text == (
        "method=GET\npath=/a/b\nraw_path=/a/b\nquery=c=d&e\n"
        "protocol=1.1\nscheme=http\nclient=unix:\n"
        f"server=unix:{web.socket}\nclient_port=0\nserver_port=0\n"
        "has_parts=0\n- host=x\n- do=head=200;dump\n"
        "- connection=close\n- x-mixed-case=Value\n"
        "- x-empty=\n"
    )


@pytest.mark.parametrize(
    ("uri", "path", "raw", "query"),
    [
        ("/a%2Fb", "/a/b", "/a%2Fb", ""),
        ("/a%20b%C3%A9?x=%20y", "/a b\xc3\xa9", "/a%20b%C3%A9", "x=%20y"),
        ("/%ff", "/\xff", "/%ff", ""),
        ("//a///b", "/a/b", "//a///b", ""),
        ("/a/../b/./c", "/b/c", "/a/../b/./c", ""),
        ("/a?", "/a", "/a", ""),
        ("/a?b?c", "/a", "/a", "b?c"),
        ("/a%3Fb?c", "/a?b", "/a%3Fb", "c"),
        ("/a#b?c", "/a", "/a", ""),
        ("http://host/a?b", "/a", "/a", "b"),
        ("http://host", "/", "/", ""),
        ("/rewritten/%20a%3F?b", "/new/ a?", "/new/%20a%3F", "b"),
        ("/inside?b", "/app/inner", "/app/inner", ""),
        ("/named/%2Fx?b", "/named/x", "/named/%2Fx", "b"),
        ("/app", "", "", ""),
    ],
)
def test_paths(web: Web, uri: str, path: str, raw: str, query: str) -> None:
    answer = web.raw(
        head("head=200;dump", "Connection: close", f"GET {uri} HTTP/1.1")
    )
    lines = answer.decode("latin-1").splitlines()
    if not path:
        assert lines[0].startswith("HTTP/1.1 301"), lines
        return
    assert f"path={path}" in lines
    assert f"raw_path={raw}" in lines
    assert f"query={query}" in lines


def test_a_nul_in_the_path_is_refused(web: Web) -> None:
    line = "GET /a%00b HTTP/1.1"
    assert b" 400 " in web.raw(head("dump", line=line)).splitlines()[0]


def test_fields_of_one_name(web: Web) -> None:
    more = "A: 1\r\na: 2\r\nX_Under: no\r\nConnection: close"
    text = web.raw(head("head=200;dump", more)).decode()
    assert "- a=1\r\n- a=2\r\n" in text.replace("\n", "\r\n")
    assert "under" not in text


def test_http_1_0(web: Web) -> None:
    text = web.raw(head("head=200;dump", line="GET / HTTP/1.0")).decode()
    assert "protocol=1.0" in text
    assert "chunked" not in text


def test_http_0_9(web: Web) -> None:
    assert web.raw(b"GET /\r\n") == b"hello"


def test_many_and_large_fields(libs: Path) -> None:
    buffers = "large_client_header_buffers 8 64k;"
    with Web(libs, http=buffers) as web:
        headers = {f"x-{n}": str(n) for n in range(90)}
        headers["x-large"] = "v" * 60_000
        text = web.text("head=200;dump", headers=headers)
        fields = dumped(text)
        assert fields["- x-large"] == "v" * 60_000
        assert all(fields[f"- x-{n}"] == str(n) for n in range(90))


# -- the answer's head -----------------------------------------------------


def test_an_answer(web: Web) -> None:
    answer = web.do("head=201,Content-Type:text/x,X-a:b;part=he;end=0,llo")
    assert (answer.status, answer.body) == (201, b"hello")
    assert answer.headers["Content-Type"] == "text/x"
    assert answer.headers["X-a"] == "b"
    assert answer.headers["Server"].startswith("nginx")
    assert answer.headers["Transfer-Encoding"] == "chunked"


def test_fields_that_are_nginxs(web: Web) -> None:
    raw = web.raw(
        head(
            "head=299,server:mine,date:today,set-cookie:a=1,set-cookie:b=2"
            ",connection:upgrade,upgrade:x,keep-alive:9,te:x"
            ",transfer-encoding:gzip,proxy-connection:x,content-length:2"
            ",location:/there,content-type:text/x%3b charset=koi8-r"
            ",cache-control:a,cache-control:b;part=ok",
            "Connection: close",
        )
    )
    lines = raw.decode().split("\r\n")
    assert lines[0] == "HTTP/1.1 299 "
    assert sorted(line.lower() for line in lines[1:]) == sorted(
        [
            "server: mine",
            "date: today",
            "set-cookie: a=1",
            "set-cookie: b=2",
            "content-length: 2",
            "connection: close",
            "location: /there",
            "content-type: text/x; charset=koi8-r",
            "cache-control: a",
            "cache-control: b",
            "",
            "ok",
        ]
    )


def test_expires_replaces_what_the_application_says(web: Web) -> None:
    answer = web.do("head=200,Cache-Control:no-store;part=x", "/expires")
    assert answer.headers["Cache-Control"] == "max-age=3600"


def test_add_header(web: Web) -> None:
    answer = web.do("head=500;part=x", "/added")
    assert (answer.status, answer.headers["X-Added"]) == (500, "yes")
    assert answer.body == b"x"


def test_not_modified(web: Web) -> None:
    date = formatdate(1_700_000_000, usegmt=True).replace(",", "%2c")
    do = f'head=200,ETag:"e",Last-Modified:{date};part=body'
    assert web.do(do).status == 200
    answer = web.do(do, headers={"If-None-Match": '"e"'})
    assert (answer.status, answer.body) == (304, b"")
    since = formatdate(1_700_000_000, usegmt=True)
    assert web.do(do, headers={"If-Modified-Since": since}).status == 304


@pytest.mark.parametrize("method", ["GET", "PUT"])
@pytest.mark.parametrize(
    ("condition", "answer"),
    [
        ({"If-Match": '"e"'}, ""),
        ({"If-Unmodified-Since": "Sat, 01 Jan 2000 00:00:00 GMT"}, ""),
        (
            {"If-Match": '"e"'},
            ",Last-Modified:Sat%2c 01 Jan 2000 00:00:00 GMT",
        ),
    ],
)
def test_conditions_on_what_the_answer_does_not_tell(
    web: Web, method: str, condition: dict[str, str], answer: str
) -> None:
    """The application has compared them, and done what it does."""
    do = f"head=200{answer};part=done"
    said = web.do(do, method=method, headers=condition)
    assert (said.status, said.text) == (200, "done")


def test_conditions_on_what_it_was_before(web: Web) -> None:
    do = 'head=200,ETag:"new";part=done'
    for condition in ({"If-Match": '"old"'}, {"If-None-Match": "*"}):
        said = web.do(do, method="PUT", headers=condition)
        assert (said.status, said.text) == (200, "done")
    assert web.do(do, headers={"If-Match": '"old"'}).status == 412


def test_a_large_head(web: Web) -> None:
    value = "v" * 6_000
    names = ",".join(f"x-{n}:{value}" for n in range(1))
    assert web.do(f"head=200,{names};part=x").headers["x-0"] == value


BAD = [
    "head=199",
    "head=1000",
    "head=0",
    "head=200,a:b%0d",
    "head=200,a:b%0ac: d",
    "head=200,a:%00",
    "head=200,a%0d%0ab:c",
    "head=200,a%20:c",
    "head=200,a%3a:c",
    "head=200,%e9:c",
    "head=200,:c",
    "part=early",
]


@pytest.mark.parametrize("bad", BAD)
def test_bad_heads(web: Web, bad: str) -> None:
    """They are refused, and a good one may follow."""
    assert web.results(f"{bad};head=200") == [errno.EINVAL, 0]


def test_two_heads(web: Web) -> None:
    done = web.results("head=200;head=200;part= ;head=200")
    assert done == [0, errno.EINVAL, 0, errno.EINVAL]


@pytest.mark.parametrize(
    ("length", "why"),
    [
        ("x", "a Content-Length that is no number"),
        ("-1", "a Content-Length that is no number"),
        ("", "a Content-Length that is no number"),
        ("1,Content-Length:2", "two Content-Lengths that differ"),
    ],
)
def test_bad_lengths(web: Web, length: str, why: str) -> None:
    since = len(web.log())
    answer = web.do(f"head=200,X-a:b,Content-Length:{length};part=x")
    assert answer.status == 502
    assert "X-a" not in answer.headers
    web.wait_log(f'"webprobe" has answered with {why}', since)


def test_the_same_length_twice(web: Web) -> None:
    do = "head=200,Content-Length:2,Content-Length:2;part=ok"
    assert web.do(do).body == b"ok"


@pytest.mark.parametrize(
    ("parts", "sent"),
    [
        ("part=abc", 3),
        ("part=abc;end=0,d", 4),
        ("end=0", 0),
        ("part=abcdef", 6),
        ("part=abcde;end=0,f", 6),
        ("part=abcde;sleep=50;part=f", 6),
        ("part=abc;sleep=50;part=defg;sleep=50;part=h", 7),
    ],
)
def test_wrong_lengths(web: Web, parts: str, sent: int) -> None:
    """The connection ends, and nothing is behind what was announced."""
    since = len(web.log())
    ask = head(f"head=200,Content-Length:5;{parts}")
    answer = web.raw(ask, head("head=200;part=second"))
    body = answer.partition(b"\r\n\r\n")[2]
    assert b"abcde".startswith(body)
    web.wait_log(f'"webprobe" has sent {sent} bytes', since)


@pytest.mark.parametrize(
    ("method", "do"),
    [
        ("HEAD", "head=200;part=body;end=0,more"),
        ("HEAD", "head=200,Content-Length:5;end=0"),
        ("HEAD", "head=200,Content-Length:5;fill=200000"),
        ("GET", "head=204;part=body;end=0,more"),
        ("GET", "head=304;part=body;sleep=20;part=more"),
        ("HEAD", "head=200;end=7,text"),
    ],
)
def test_answers_without_a_body(web: Web, method: str, do: str) -> None:
    """The next answer on the connection is not mixed up with it."""
    if "end=7" in do:
        web.allow_log("has failed with status 7")
    answer = web.raw(
        head(do, line=f"{method} / HTTP/1.1"),
        head("head=200;part=second", "Connection: close"),
    )
    _, _, rest = answer.partition(b"\r\n\r\n")
    assert rest.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"second" in rest
    assert b"body" not in answer
    assert b"more" not in answer
    web.settle()


# -- errors ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("do", "said"),
    [
        ("end=3,no%0aidea", 'has failed with status 3: no"?,'),
        ("end=3", "has failed with status 3,"),
        ("end=0,text", "has answered without a head"),
        ("end=0", "has answered without a head"),
    ],
)
def test_errors_before_the_head(web: Web, do: str, said: str) -> None:
    since = len(web.log())
    answer = web.do(do)
    assert answer.status == 502
    assert b"idea" not in answer.body
    web.wait_log(f'"webprobe" {said}', since)
    assert web.do(do, "/errors").body == b"fallback"


@pytest.mark.parametrize("line", ["GET / HTTP/1.1", "GET / HTTP/1.0"])
@pytest.mark.parametrize("sleep", ["", "sleep=50;"])
def test_errors_after_the_head(web: Web, line: str, sleep: str) -> None:
    """What came is no complete response."""
    since = len(web.log())
    data = web.raw(head(f"head=200;part=some;{sleep}end=3,oops", line=line))
    assert b"\r\n0\r\n\r\n" not in data
    if "1.1" in line and sleep:
        assert data.endswith(b"\r\nsome\r\n")
    web.wait_log("has failed with status 3: oops", since)


def test_no_head_in_time(web: Web) -> None:
    since = len(web.log())
    assert web.do("sleep=300", "/errors").body == b"fallback"
    web.wait_log('"webprobe" has sent no head in time', since)
    web.settle()


# -- where the directive may be ---------------------------------------------


def test_if_and_limit_except(web: Web) -> None:
    assert web.text("head=200;part=x", "/if?a=1") == "x"
    assert web.text("head=200;part=x", "/inif?a=1") == "x"
    assert web.do("head=200", "/inif").status == 404
    assert web.text("head=200;part=x", "/except") == "x"
    assert web.do("head=200", "/except", method="POST").status == 403


@pytest.mark.asan
@pytest.mark.parametrize(
    ("server", "said"),
    [
        ("location /x { ffi_pass $arg_lib; }", "takes no variables"),
        ("location /x { ffi_pass a $b; }", "takes no variables"),
        ("location /x { ffi_pass a; ffi_pass b; }", "is duplicate"),
        ("location /x { ffi_pass; }", "invalid number of arguments"),
        ("location /x { ffi_pass a b c; }", "invalid number of arguments"),
        ("ffi_pass a;", "is not allowed here"),
        ("location /x { ffi_stream_buffer 0; }", "must not be 0"),
        ("location /x { python_stream_buffer 0; }", "must not be 0"),
        (
            "python_stream_buffer 8k; ffi_stream_buffer 8k;",
            '"ffi_stream_buffer" directive is duplicate',
        ),
        (
            "ffi_read_timeout 1s; python_read_timeout 1s;",
            '"python_read_timeout" directive is duplicate',
        ),
        ("ffi_request_buffering maybe;", 'must be "on" or "off"'),
    ],
)
def test_bad_configurations(libs: Path, server: str, said: str) -> None:
    passed, output = Web(libs, server=server).test_configuration()
    assert not passed
    assert said in output
