# SPDX-License-Identifier: BSD-2-Clause
"""Requests of HTTP/2."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest

from ..client import eventually
from ..http2 import Http2, Http2Upload
from .site import Site

SITE = {
    "app": "environs:valid",
    "server": """
        listen unix:{prefix}/h2.sock http2;
        location /either { python_pass either:wsgi wsgi; }
        location ~ ^/answers(/.*) {
            rewrite ^/answers(/.*) $1 break;
            python_pass answers:application wsgi;
        }
    """,
}


@pytest.fixture
def path(site: Site) -> Path:
    return site.prefix / "h2.sock"


@pytest.mark.valgrind
def test_environ(path: Path) -> None:
    with contextlib.closing(Http2(path)) as client:
        stream = client.get("/x?y")
        client.read_all()
    found = json.loads(stream.body)
    assert found["SERVER_PROTOCOL"] == "HTTP/2.0"
    assert found["REQUEST_URI"] == "/x?y"
    assert found["HTTP_HOST"]


def test_a_body_without_a_length(path: Path) -> None:
    with Http2Upload(path) as client:
        client.request("POST", "/either", None)
        client.send(b"x" * 50_000)
        client.send(b"y" * 50_000, end=True)
        status, body = client.answer()
    assert (status, body) == (200, b"100000 None 100000")


def test_close_where_a_stream_is_reset(site: Site, path: Path) -> None:
    with contextlib.closing(Http2(path)) as client:
        stream = client.get("/answers/endless?name=reset")
        while not stream.parts:
            client.read()
        client.reset()
        eventually(lambda: "reset" in site.ask("/answers/closed").text.split())
