# SPDX-License-Identifier: BSD-2-Clause
"""Starlette, where its clients go, and where nginx compresses, too."""

from __future__ import annotations

import gzip
from collections.abc import Iterator

import pytest

from ..client import eventually
from .site import APPS, Site

SERVER = """
gzip on;
gzip_types text/plain;
location /passed/ {
    rewrite ^/passed(.*) $1 break;
    python_pass frames:passed;
}
location /zipped/ {
    rewrite ^/zipped(.*) $1 break;
    python_pass frames:zipped;
}
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Site]:
    with Site("frames:app", server=SERVER) as site:
        yield site


@pytest.mark.parametrize("where", ["", "/passed"])
def test_client_goes_amid_a_stream(site: Site, where: str) -> None:
    since = len(site.log())
    with site.open(f"{where}/stream") as sock:
        sock.recv(1000)
    site.wait_access(f"200 {where}/stream")
    assert site.ask("/words").status == 200
    assert "[error]" not in site.log(since)
    assert "Traceback" not in site.log(since)


@pytest.mark.parametrize("where", ["", "/passed"])
def test_client_goes_amid_its_upload(site: Site, where: str) -> None:
    # before it has started, nginx reads a body itself
    assert site.ask(f"{where}/words").status == 200
    since = len(site.log())
    fields = {"Content-Length": "1000000"}
    with site.open(f"{where}/read?{where}", "POST", fields) as sock:
        sock.sendall(b"x" * 100_000)
        eventually(lambda: site.ask(f"/begun?{where}").text == "True")
    name = f"frames:{'passed' if where else 'app'}"
    site.wait_log(rf"\[info\] .*{name}: (ClientDisconnect|GoneError)", since)
    assert "[error]" not in site.log(since)


def test_compressed_once(site: Site) -> None:
    text = b"word " * 2000
    zipped = {"Accept-Encoding": "gzip"}
    for where in ("", "/zipped"):
        answer = site.ask(f"{where}/words", headers=zipped)
        assert answer.headers["content-encoding"] == "gzip"
        assert gzip.decompress(answer.body) == text
        answer = site.ask(f"{where}/words")
        assert "content-encoding" not in answer.headers
        assert answer.body == text


def test_files(site: Site) -> None:
    data = (APPS / "frames.py").read_bytes()
    answer = site.ask("/file")
    assert answer.body == data
    assert answer.headers["content-length"] == str(len(data))
    assert "etag" in answer.headers
    answer = site.ask("/file", headers={"Range": "bytes=10-19"})
    assert answer.status == 206
    assert answer.body == data[10:20]
