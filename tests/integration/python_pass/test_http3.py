# SPDX-License-Identifier: BSD-2-Clause
"""HTTP/3, where nginx has it (NGINX_BIN, NGINX_SRC) and aioquic is there."""

from __future__ import annotations

import asyncio
import hashlib
import socket
from collections.abc import Iterator

import pytest

from ..asgi.certificates import make
from ..client import eventually
from ..http3 import Heads, connected
from ..nginx import NGINX_SAYS
from .site import Site

pytestmark = pytest.mark.skipif(
    "http_v3_module" not in NGINX_SAYS, reason="this nginx has no HTTP/3"
)

APP = """
import asyncio
import hashlib

gone = False


async def asgi(scope, receive, send):
    global gone
    if scope["type"] == "lifespan":
        raise RuntimeError("there is none")
    path, body, more = scope["path"], b"", True
    while more:
        message = await receive()
        body += message["body"]
        more = message["more_body"]
    if path == "/scope":
        body = repr((scope["http_version"], scope["scheme"],
                     scope["headers"], scope["extensions"]["tls"]
                     ["tls_version"])).encode()
    elif path == "/gone":
        body = repr(gone).encode()
    if path == "/hints":
        await send({"type": "http.response.early_hint",
                    "links": [b"</a.css>; rel=preload", b"</b>"]})
    await send({"type": "http.response.start", "status": 200,
                "headers": [(b"x-a", b"b")], "trailers": path == "/parts"})
    if path == "/parts":
        for n in range(200):
            await send({"type": "http.response.body", "body": b"x" * 10000,
                        "more_body": True})
    elif path == "/endless":
        try:
            while True:
                await send({"type": "http.response.body", "body": b"x" * 1000,
                            "more_body": True})
                await asyncio.sleep(0.001)
        except OSError:
            gone = True
            raise
    await send({"type": "http.response.body", "body": body})
    if path == "/parts":
        await send({"type": "http.response.trailers",
                    "headers": [(b"x-behind", b"z")]})


def wsgi(environ, start_response):
    body = environ["wsgi.input"].read()
    start_response("200 OK", [])
    said = environ["SERVER_PROTOCOL"], environ["HTTP_HOST"]
    return [repr(said).encode() + hashlib.md5(body).hexdigest().encode()]
"""


@pytest.fixture(scope="module")
def port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.fixture(scope="module")
def site(
    port: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("certificates")
    make(folder, "server", "/CN=h.example")
    server = f"""
        listen 127.0.0.1:{port} quic;
        ssl_certificate {folder}/server.pem;
        ssl_certificate_key {folder}/server.key;
        client_max_body_size 0;
        early_hints 1;
        location / {{ python_pass app:asgi; }}
        location /wsgi {{ python_pass app:wsgi; }}
    """
    with Site(server, apps={"app.py": APP}) as site:
        site.wait_log("start worker process")
        yield site


def ask(
    port: int, path: str, body: bytes = b"", enough: int = -1
) -> tuple[Heads, bytes]:
    async def run() -> tuple[Heads, bytes]:
        async with connected(port) as client:
            answer: tuple[Heads, bytes] = await client.ask(path, body, enough)
            return answer

    return asyncio.run(asyncio.wait_for(run(), 30))


def test_scope(site: Site, port: int) -> None:
    """nginx makes no field of :authority; ASGI wants it as the first."""
    _, data = ask(port, "/scope")
    headers = [(b"host", b"h.example:8443")]
    assert data.decode() == repr(("3", "https", headers, 0x304))


def test_environ(site: Site, port: int) -> None:
    body = b"z" * 1_000_000
    _, data = ask(port, "/wsgi", body)
    digest = hashlib.md5(body).hexdigest()
    assert data.decode() == f"('HTTP/3.0', 'h.example:8443'){digest}"


def test_echo(site: Site, port: int) -> None:
    body = b"".join(n.to_bytes(4, "big") for n in range(500_000))
    heads, data = ask(port, "/echo", body)
    assert dict(heads[0])[b":status"] == b"200"
    assert data == body


def test_parts_and_trailers(site: Site, port: int) -> None:
    heads, data = ask(port, "/parts")
    assert len(data) == 2_000_000
    assert heads[-1] == [(b"x-behind", b"z")]


def test_early_hints(site: Site, port: int) -> None:
    heads, _ = ask(port, "/hints")
    assert [dict(head).get(b":status") for head in heads] == [b"103", b"200"]
    links = [b"</a.css>; rel=preload", b"</b>"]
    assert heads[0][1:] == [(b"link", link) for link in links]
    assert b"link" not in dict(heads[1])


def test_a_stream_that_is_cancelled(site: Site, port: int) -> None:
    ask(port, "/endless", enough=5000)
    eventually(lambda: site.text("/gone") == "True", "that it has gone")


def test_many_at_once(site: Site, port: int) -> None:
    async def run() -> list[bytes]:
        async with connected(port) as client:
            answers = await asyncio.gather(
                *(client.ask("/echo", b"%d" % n * 100) for n in range(100))
            )
            return [data for _, data in answers]

    assert asyncio.run(run()) == [b"%d" % n * 100 for n in range(100)]
