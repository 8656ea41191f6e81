# SPDX-License-Identifier: BSD-2-Clause
"""What a request is to an application."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .site import Site

SITE: dict[str, Any] = {
    "app": "environs:valid",
    "server": """
        location /api { python_pass environs:valid wsgi root_path=/api; }
        location /params {
            python_param GREETING "hello $arg_name";
            python_param REMOTE_USER bob;
            python_param LATIN "é";
            python_param EMPTY "";
            python_pass environs:valid wsgi;
        }
        location /https {
            python_param HTTPS $arg_https;
            python_pass environs:valid wsgi;
        }
        location /override {
            python_param SCRIPT_NAME /other;
            python_param HTTP_X_FROM nginx;
            python_pass environs:valid wsgi;
        }
        location /rewritten { rewrite ^ /new?x=1? ; }
    """,
    "http": "large_client_header_buffers 8 128k;",
}


def environ(site: Site, uri: str, **more: Any) -> dict[str, Any]:
    answer = site.ask(uri, **more)
    assert answer.status == 200, answer
    found = json.loads(answer.body)
    assert isinstance(found, dict)
    return found


@pytest.mark.valgrind
def test_a_plain_request(site: Site) -> None:
    found = environ(site, "/a/b?c=d&e")
    wanted = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/a/b",
        "QUERY_STRING": "c=d&e",
        "REQUEST_URI": "/a/b?c=d&e",
        "SERVER_NAME": "site",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": "nginx",
        "REMOTE_ADDR": "unix:",
        "HTTP_HOST": "site",
        "HTTP_CONNECTION": "close",
        "wsgi.version": [1, 0],
        "wsgi.url_scheme": "http",
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
    }
    for key in list(found):
        if key in ("wsgi.input", "wsgi.errors", "wsgi.file_wrapper"):
            del found[key]
    assert found == wanted


def test_no_query_is_an_empty_one(site: Site) -> None:
    found = environ(site, "/")
    assert found["QUERY_STRING"] == ""
    assert found["REQUEST_URI"] == "/"


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("/%2F%c3%a9", "//Ã©"),
        ("/%ff%fe", "/\xff\xfe"),
        ("/a/../b", "/b"),
        ("/a//b", "/a/b"),
        ("/a%20b%3Fc", "/a b?c"),
        ("/%E2%82%AC", "/â\x82¬"),
    ],
)
def test_paths_are_bytes_in_latin_1(site: Site, uri: str, path: str) -> None:
    found = environ(site, uri)
    assert found["PATH_INFO"].replace("//", "/") == path.replace("//", "/")
    assert found["REQUEST_URI"] == uri


def test_a_query_of_any_bytes(site: Site) -> None:
    found = environ(site, "/x?\xe9=\xff%41")
    assert found["QUERY_STRING"] == "\xe9=\xff%41"
    assert found["REQUEST_URI"] == "/x?\xe9=\xff%41"


@pytest.mark.parametrize(
    ("uri", "script", "path"),
    [
        ("/api", "/api", ""),
        ("/api/", "/api", "/"),
        ("/api/x%20y?q", "/api", "/x y"),
    ],
)
def test_below_a_root_path(
    site: Site, uri: str, script: str, path: str
) -> None:
    found = environ(site, uri)
    assert (found["SCRIPT_NAME"], found["PATH_INFO"]) == (script, path)
    assert found["REQUEST_URI"] == uri


def test_beside_a_root_path(site: Site) -> None:
    assert site.ask("/apis").status == 404


def test_rewritten(site: Site) -> None:
    found = environ(site, "/rewritten?y")
    assert found["PATH_INFO"] == "/new"
    assert found["QUERY_STRING"] == "x=1"


@pytest.mark.parametrize("method", ["PUT", "PROPFIND", "GETS", "G"])
def test_methods(site: Site, method: str) -> None:
    # the validator only warns of those that it does not know
    found = environ(site, "/", method=method)
    assert found["REQUEST_METHOD"] == method


def test_fields(site: Site) -> None:
    found = environ(
        site,
        "/",
        method="POST",
        body=b"abc",
        headers={
            "Content-Type": "text/plain; x=y",
            "X-Latin": "\xe9\xff",
            "accept-LANGUAGE": "de",
            "X-" + "y" * 200: "long",
            "X-Empty": "",
        },
    )
    assert found["CONTENT_TYPE"] == "text/plain; x=y"
    assert found["CONTENT_LENGTH"] == "3"
    assert found["HTTP_X_LATIN"] == "\xe9\xff"
    assert found["HTTP_ACCEPT_LANGUAGE"] == "de"
    assert found["HTTP_X_" + "Y" * 200] == "long"
    assert found["HTTP_X_EMPTY"] == ""
    assert "HTTP_CONTENT_TYPE" not in found
    assert "HTTP_CONTENT_LENGTH" not in found


def test_no_body_has_no_length(site: Site) -> None:
    found = environ(site, "/")
    assert "CONTENT_LENGTH" not in found
    assert "CONTENT_TYPE" not in found


def test_fields_of_one_name_are_joined(site: Site) -> None:
    found = environ(
        site,
        "/",
        headers={
            "X-A": "1",
            "x-a": "2",
            "X-a": "3",
            "Cookie": "a=1",
            "cookie": "b=2",
            "Accept": "x",
            "ACCEPT": "y",
        },
    )
    assert found["HTTP_X_A"] == "1,2,3"
    assert found["HTTP_COOKIE"] == "a=1; b=2"
    assert found["HTTP_ACCEPT"] == "x,y"


def test_900_fields(site: Site) -> None:
    headers = {f"X-{number}": str(number) for number in range(900)}
    found = environ(site, "/", headers=headers)
    for number in range(900):
        assert found[f"HTTP_X_{number}"] == str(number)


def test_a_field_of_64_kib(site: Site) -> None:
    found = environ(site, "/", headers={"X-Long": "z" * 65536})
    assert found["HTTP_X_LONG"] == "z" * 65536


def test_names_that_others_could_be_taken_for() -> None:
    with Site(
        "environs:valid",
        http="underscores_in_headers on; ignore_invalid_headers off;",
    ) as site:
        found = environ(
            site,
            "/",
            headers={
                "X-Real-User": "good",
                "X_Real_User": "bad",
                "Content_Length": "7",
                "X.Dot": "dot",
            },
        )
        assert found["HTTP_X_REAL_USER"] == "good"
        assert "CONTENT_LENGTH" not in found
        assert found["HTTP_X.DOT"] == "dot"


def test_no_client_sets_a_proxy(site: Site) -> None:
    found = environ(site, "/", headers={"Proxy": "evil:80", "Proxy-X": "y"})
    assert "HTTP_PROXY" not in found
    assert found["HTTP_PROXY_X"] == "y"


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("example.org", "example.org"),
        ("example.org:8080", "example.org"),
        ("[::1]:80", "[::1]"),
        ("[::1]", "[::1]"),
    ],
)
def test_the_servers_name(site: Site, host: str, name: str) -> None:
    found = environ(site, "/", headers={"Host": host})
    assert found["SERVER_NAME"] == name
    assert found["HTTP_HOST"] == host


def test_http_1_0_without_a_host(site: Site) -> None:
    raw = site.raw(b"GET / HTTP/1.0\r\n\r\n")
    found = json.loads(raw.partition(b"\r\n\r\n")[2])
    assert found["SERVER_PROTOCOL"] == "HTTP/1.0"
    assert found["SERVER_NAME"] == "localhost"
    assert found["SERVER_PORT"] == "80"
    assert "HTTP_HOST" not in found


@pytest.mark.valgrind
def test_params(site: Site) -> None:
    found = environ(site, "/params?name=you")
    assert found["GREETING"] == "hello you"
    assert found["REMOTE_USER"] == "bob"
    assert found["LATIN"] == "é".encode().decode("latin-1")
    assert found["EMPTY"] == ""


@pytest.mark.parametrize(
    ("said", "scheme"),
    [("on", "https"), ("1", "https"), ("", "http"), ("off", "http")],
)
def test_a_param_says_that_it_is_https(
    site: Site, said: str, scheme: str
) -> None:
    found = environ(site, f"/https?https={said}")
    assert found["wsgi.url_scheme"] == scheme
    assert found["HTTPS"] == said


def test_params_replace_what_is_not_wsgis_own(site: Site) -> None:
    found = environ(site, "/override", headers={"X-From": "client"})
    assert found["SCRIPT_NAME"] == "/other"
    assert found["HTTP_X_FROM"] == "nginx"


def test_params_do_not_replace_wsgis_own() -> None:
    good, said = Site(
        "environs:valid", http="python_param wsgi.input x;"
    ).test_configuration()
    assert not good
    assert '"python_param" directive has a name that is WSGI\'s own' in said


def test_one_thread_is_said() -> None:
    with Site("environs:valid", threads=1) as site:
        assert environ(site, "/")["wsgi.multithread"] is False


def test_a_request_may_change_its_own() -> None:
    with Site("changes:application", threads=1) as site:
        site.write_python(
            "changes.py",
            "def application(environ, start_response):\n"
            "    seen = environ.get('wsgi.seen')\n"
            "    environ['wsgi.seen'] = 1\n"
            "    environ['wsgi.version'] = None\n"
            "    start_response('200 OK', [])\n"
            "    return [repr(seen).encode()]\n",
        )
        site.expect_other_worker()
        site.reload()
        assert [site.ask("/").body for _ in range(3)] == [b"None"] * 3
