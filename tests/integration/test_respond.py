# SPDX-License-Identifier: BSD-2-Clause
"""ffi.respond: a whole HTTP response of one call."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator

import pytest

from .client import PATIENCE, Response, eventually
from .conftest import NewNginx
from .nginx import LuaError, Nginx

pytestmark = pytest.mark.valgrind

SERVER = """
location ~ ^/(?<kind>json|sse|stream|plain|text)/(?<method>.*)$ {
    client_body_buffer_size 16k;
    content_by_lua_block { require("answers").respond() }
}
location ~ ^/(?<kind>given)/(?<method>.*)$ {
    content_by_lua_block { require("answers").respond() }
}
location ~ ^/(?<kind>impatient)/(?<method>.*)$ {
    content_by_lua_block { require("answers").respond() }
}
location ~ ^/(?<kind>impatient-sse)/(?<method>.*)$ {
    content_by_lua_block { require("answers").respond() }
}
location ~ ^/(?<kind>small)/(?<method>.*)$ {
    content_by_lua_block { require("answers").respond() }
}
location ~ ^/limited/(?<method>.*)$ {
    set $kind json;
    client_max_body_size 1k;
    content_by_lua_block { require("answers").respond() }
}
location ~ ^/access/(?<method>.*)$ {
    set $kind json;
    access_by_lua_block { require("answers").respond() }
    content_by_lua_block { ngx.say("not reached") }
}
location = /captured {
    content_by_lua_block { require("answers").capture() }
}
location ~ ^/paged/(?<method>.*)$ {
    set $kind plain;
    error_page 503 500 /page;
    content_by_lua_block { require("answers").respond() }
}
location = /page { return 200 "a page"; }
"""
JSON = "application/json"


@pytest.fixture(scope="module")
def server(new_nginx: NewNginx) -> Iterator[Nginx]:
    with new_nginx(server=SERVER) as nginx:
        yield nginx


def answer(response: Response) -> tuple[int, str, bytes]:
    kind = response.headers.get("Content-Type", "")
    return response.status, kind, response.body


def error(response: Response) -> tuple[int, str]:
    """Status and text, which are those of the body."""
    assert response.headers["Content-Type"] == JSON
    assert int(response.headers["Content-Length"]) == len(response.body)
    said = json.loads(response.body.decode())
    assert set(said) == {"error", "status"}
    assert said["status"] == response.status
    return response.status, said["error"]


# -- one answer ---------------------------------------------------------


def test_json(nginx: Nginx) -> None:
    response = nginx.post("/json/echo", '{"a": "\N{SNOWMAN}"}')
    assert answer(response) == (200, JSON, '{"a": "\N{SNOWMAN}"}'.encode())
    assert response.headers["Content-Length"] == "12"


def test_an_answer_is_not_read(nginx: Nginx) -> None:
    """Whether it is JSON is the handler's to see to."""
    body = b"\xff\0 no JSON"
    assert answer(nginx.post("/json/echo", body)) == (200, JSON, body)


def test_no_body(nginx: Nginx) -> None:
    assert nginx.get("/json/size").body == b'{"size": 0}'
    assert nginx.post("/json/size", "").body == b'{"size": 0}'
    assert answer(nginx.get("/json/echo")) == (200, JSON, b"")


@pytest.mark.parametrize("size", [16 << 10, (16 << 10) + 1, 5 << 20])
def test_a_body_in_memory_and_in_a_file(nginx: Nginx, size: int) -> None:
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    assert nginx.post("/json/echo", body).body == body


def test_a_file_that_cannot_be_read(nginx: Nginx) -> None:
    since = len(nginx.log())
    status, body = nginx.lua(
        """
        local data, file = ngx.req.get_body_data, ngx.req.get_body_file
        ngx.req.get_body_data = function() end
        ngx.req.get_body_file = function() return "/no/such/file" end
        local res = ngx.location.capture("/json/size")
        ngx.req.get_body_data, ngx.req.get_body_file = data, file
        return res.status, res.body
        """
    )
    assert status == 500
    assert json.loads(body)["error"] == "Internal Server Error"
    nginx.wait_log("ffi.respond: size: /no/such/file: No such file", since)


def test_nothing_to_say(nginx: Nginx) -> None:
    response = nginx.get("/json/none")
    assert (response.status, response.body) == (204, b"")
    assert "Content-Type" not in response.headers


def test_other_types(nginx: Nginx) -> None:
    assert answer(nginx.post("/text/echo", "a")) == (200, "text/css", b"a")
    assert answer(nginx.post("/plain/echo", "a"))[::2] == (200, b"a")


def test_a_request_of_its_own(nginx: Nginx) -> None:
    assert nginx.post("/given/echo", "body").body == b"given"


def test_without_a_method(nginx: Nginx) -> None:
    assert error(nginx.get("/json/"))[0] == 404


def test_head(nginx: Nginx) -> None:
    response = nginx.request("HEAD", "/json/size")
    assert answer(response) == (200, JSON, b"")
    assert response.headers["Content-Length"] == "11"
    response = nginx.request("HEAD", "/json/raises")
    assert (response.status, response.body) == (500, b"")
    for kind in ("sse", "stream"):
        response = nginx.request("HEAD", f"/{kind}/endless")
        assert (response.status, response.body) == (200, b"")
    eventually(lambda: balanced(nginx), "those that were begun are ended")


def test_it_ends_the_request(nginx: Nginx) -> None:
    assert nginx.get("/access/size").body == b'{"size": 0}'
    assert error(nginx.post("/access/chosen", "400"))[0] == 400


def test_a_subrequest(nginx: Nginx) -> None:
    got = nginx.get("/captured?/json/size")
    assert got.text == '200 application/json {"size": 4}'
    got = nginx.get("/captured?/json/raises")
    assert got.text.startswith("500 application/json {")
    got = nginx.get("/captured?/sse/parts")
    assert got.text == (
        "200 text/event-stream data: body\n\nevent: end\ndata: \n\n"
    )
    got = nginx.get("/captured?/stream/parts")
    assert got.text == "200 text/plain body"


# -- what goes wrong ----------------------------------------------------


@pytest.mark.parametrize("kind", ["json", "sse"])
@pytest.mark.parametrize(
    ("request_", "status", "text"),
    [
        (b"404", 404, "Not Found"),
        (b"400 no name given", 400, "no name given"),
        (b"599 x", 599, "x"),
        (b"418", 418, "HTTP 418"),
        (b"500 told", 500, "told"),
        (b"399 secret", 500, "Internal Server Error"),
        (b"600 secret", 500, "Internal Server Error"),
        (b"1 secret", 500, "Internal Server Error"),
        (b"-404 secret", 500, "Internal Server Error"),
    ],
)
def test_errors(
    nginx: Nginx, kind: str, request_: bytes, status: int, text: str
) -> None:
    assert error(nginx.post(f"/{kind}/chosen", request_)) == (status, text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b'"\\\n\r\t\0\x1f\x7f', '"\\\n\r\t\0\x1f\x7f'),
        ("é\N{SNOWMAN}\N{GRINNING FACE}\uffff".encode(), None),
        (b"a\xffb", "a\N{REPLACEMENT CHARACTER}b"),
        (b"\xc3", "\N{REPLACEMENT CHARACTER}"),
        (b"\xc3(", "\N{REPLACEMENT CHARACTER}("),
        (b"\xc0\x80", "\N{REPLACEMENT CHARACTER}"),
        (b"\xed\xa0\x80", "\N{REPLACEMENT CHARACTER}"),
        (b"\xf4\x90\x80\x80", "\N{REPLACEMENT CHARACTER}"),
        (b"\xe0\x80\x80", "\N{REPLACEMENT CHARACTER}"),
        (b"\xc3\xa9\xa9", "\N{REPLACEMENT CHARACTER}"),
        (b"x" * 100_000, None),
    ],
)
def test_texts_of_errors(nginx: Nginx, text: bytes, said: str | None) -> None:
    """They are JSON, whatever bytes they have."""
    expected = text.decode() if said is None else said
    response = nginx.post("/json/chosen", b"400 " + text)
    assert error(response) == (400, expected)


def test_what_a_client_is_not_told(nginx: Nginx) -> None:
    since = len(nginx.log())
    assert error(nginx.get("/json/raises")) == (500, "Internal Server Error")
    nginx.wait_log(r"ffi\.respond: raises: 1: ValueError: a secret", since)
    since = len(nginx.log())
    assert error(nginx.post("/json/chosen", "404 x")) == (404, "x")
    assert nginx.count_log(r"ffi\.respond", since) == 0


def test_plain_errors(nginx: Nginx) -> None:
    """nginx's own pages, which error_page replaces."""
    response = nginx.post("/plain/chosen", "404")
    assert response.status == 404
    assert b"<html>" in response.body
    response = nginx.post("/plain/chosen", "404 no such item")
    assert answer(response) == (404, "text/plain", b"no such item")
    response = nginx.get("/paged/raises")
    assert (response.status, response.body) == (500, b"a page")


def test_timeout(nginx: Nginx) -> None:
    assert error(nginx.get("/impatient/slow")) == (504, "Gateway Timeout")
    response = nginx.post("/impatient-sse/parts", "slow")
    assert error(response) == (504, "Gateway Timeout")


def test_limits(nginx: Nginx) -> None:
    assert nginx.post("/limited/size", "x" * 1025).status == 413
    assert error(nginx.post("/small/size", "x" * 101))[0] == 413
    assert error(nginx.post("/small/echo", "x" * 51))[0] == 502
    assert nginx.post("/small/echo", "x" * 50).status == 200


def test_a_runtime_that_is_no_more(nginx: Nginx) -> None:
    nginx.lua('require("answers").runtime():__unload()')
    assert nginx.get("/json/size").status == 200
    text = nginx.lua(
        """
        local answers = require("answers")
        local rt = answers.load("gone")
        rt:__unload()
        answers.kept = rt
        """
    )
    assert text == []
    assert error(nginx.get("/json/size?kept")) == (503, "Service Unavailable")
    assert nginx.get("/plain/size?kept").status == 503
    assert error(nginx.get("/sse/parts?kept"))[0] == 503


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ("nil", "bad argument #1 to 'respond' (runtime expected, got nil)"),
        ("{}", "bad argument #1 to 'respond' (runtime expected, got table)"),
        ("rt, 1", "bad argument #2 to 'respond' (string or nil expected"),
        ("rt, nil, 1", "bad argument #3 to 'respond' (table or nil expected"),
        ('rt, "__unload"', "names that begin with __ are reserved"),
        ("rt, nil, {request = 1}", "string or nil expected, got number"),
    ],
)
def test_arguments(nginx: Nginx, arguments: str, text: str) -> None:
    with pytest.raises(LuaError) as raised:
        nginx.lua(
            'local rt = require("answers").runtime()'
            f'require("resty.ffi").respond({arguments})'
        )
    assert text in str(raised.value)


def test_where_it_cannot_wait(nginx: Nginx) -> None:
    since = len(nginx.log())
    nginx.lua(
        """
        assert(ngx.timer.at(0, function()
            require("resty.ffi").respond(require("answers").runtime(), "size")
        end))
        """
    )
    nginx.wait_log("API disabled in the context of ngx.timer", since)


# -- server-sent events -------------------------------------------------

END = b"event: end\ndata: \n\n"


@pytest.mark.parametrize(
    ("parts", "events"),
    [
        (b"a|b", b"data: a\n\ndata: b\n\n"),
        (b" a", b"data:  a\n\n"),
        (b"a\nb\n", b"data: a\ndata: b\ndata: \n\n"),
        (b"a\r\nb\rc", b"data: a\ndata: b\ndata: c\n\n"),
        (b"\n\r", b"data: \ndata: \ndata: \n\n"),
        (b"event: x\n\ndata: y", b"data: event: x\ndata: \ndata: data: y\n\n"),
        (b"\xff\0", b"data: \xff\0\n\n"),
    ],
)
def test_events(nginx: Nginx, parts: bytes, events: bytes) -> None:
    response = nginx.post("/sse/parts", parts)
    assert answer(response) == (200, "text/event-stream", events + END)
    assert response.headers["Cache-Control"] == "no-store"


def test_an_answer_in_one_piece(nginx: Nginx) -> None:
    assert nginx.post("/sse/echo", "a").body == b"data: a\n\n" + END
    assert nginx.get("/sse/none").body == END


def test_an_error_before_the_first(nginx: Nginx) -> None:
    assert error(nginx.post("/sse/parts", "fail")) == (418, "\N{SNOWMAN}\n")
    response = nginx.post("/sse/parts", "raise")
    assert error(response) == (500, "Internal Server Error")


@pytest.mark.parametrize(
    ("part", "status", "text"),
    [
        (b"fail", 418, "\N{SNOWMAN}\n"),
        (b"raise", 500, "Internal Server Error"),
    ],
)
def test_an_error_behind_others(
    nginx: Nginx, part: bytes, status: int, text: str
) -> None:
    """There is no status any more: the last event has it."""
    body = nginx.post("/sse/parts", b"a|" + part).body
    head, _, data = body.partition(b"event: error\ndata: ")
    assert head == b"data: a\n\n"
    assert data.endswith(b"\n\n")
    assert json.loads(data) == {"status": status, "error": text}


def test_a_deadline_behind_others(nginx: Nginx) -> None:
    body = nginx.post("/impatient-sse/parts", "a|slow").body
    assert body.startswith(b"data: a\n\nevent: error\n")
    assert b'"status":504' in body


def balanced(nginx: Nginx) -> bool:
    begun, ended = nginx.get("/plain/counts").text.split()
    return begun == ended


def open_endless(nginx: Nginx, kind: str, version: str) -> socket.socket:
    sock = nginx.connect()
    sock.sendall(
        f"GET /{kind}/endless HTTP/{version}\r\nHost: here\r\n\r\n".encode()
    )
    answer = http.client.HTTPResponse(sock)
    answer.begin()
    assert answer.status == 200
    assert answer.read(1000)
    assert not balanced(nginx)
    return sock


@pytest.mark.parametrize("kind", ["sse", "stream"])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_client_that_leaves(nginx: Nginx, kind: str, version: str) -> None:
    """They come as they are made; and are made for nobody else."""
    with open_endless(nginx, kind, version):
        pass
    eventually(lambda: balanced(nginx), "it is closed", PATIENCE)


# -- parts as they are --------------------------------------------------


def test_a_stream(nginx: Nginx) -> None:
    response = nginx.post("/stream/parts", "a|b|c")
    assert answer(response) == (200, "text/plain", b"abc")
    assert nginx.post("/text/parts", "a|b").body == b"ab"


def test_a_stream_that_fails(nginx: Nginx) -> None:
    response = nginx.post("/stream/parts", "fail")
    assert answer(response) == (418, "text/plain", "\N{SNOWMAN}\n".encode())
    since = len(nginx.log())
    with pytest.raises(http.client.IncompleteRead):
        nginx.post("/stream/parts", "a|raise")
    nginx.wait_log(r"ffi\.respond: parts: 1: ValueError: a secret", since)
