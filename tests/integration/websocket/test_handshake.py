# SPDX-License-Identifier: BSD-2-Clause
"""The handshake, and what is none."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ResponseReceived, StreamEnded, StreamReset

from ..asgi.certificates import make
from ..client import until_end
from .frames import (
    BINARY,
    PONG,
    TEXT,
    Deflate,
    Frame,
    Peer,
    RefusalError,
    closing,
    encoded,
    handshake,
)
from .site import Site

SERVER = """
location /behind/ {
    proxy_pass http://unix:{prefix}/http.sock:/;
    proxy_http_version 1.1;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection "upgrade";
}
location = /denied { return 401; }
location /guarded/ {
    auth_request /denied;
    python_pass sockets:app;
}
listen unix:{prefix}/tls.sock ssl;
ssl_certificate FOLDER/server.pem;
ssl_certificate_key FOLDER/server.key;
"""

Fields = Mapping[str, "str | None"]
NO_UPGRADE = {"Upgrade": None, "Connection": None}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("tls")
    make(folder, "server", "/CN=localhost")
    with Site(server=SERVER.replace("FOLDER", str(folder))) as site:
        yield site


def refused(site: Site, path: str, fields: Fields | None = None) -> Any:
    with pytest.raises(RefusalError) as caught:
        site.peer(path, fields=fields)
    return caught.value


# ---- what is well


@pytest.mark.parametrize(
    "fields",
    [
        {"Connection": "keep-alive, Upgrade"},
        {"Connection": "UPGRADE"},
        {"Upgrade": "WebSocket"},
        {"Sec-WebSocket-Version": " 13 "},
        {"Origin": "null", "Cookie": "a=b"},
    ],
)
def test_as_browsers_say_it(site: Site, fields: Fields) -> None:
    with site.peer("/echo", fields=fields) as peer:
        peer.echo(b"well")
        peer.close()


@pytest.mark.valgrind
@pytest.mark.parametrize("size", [0, 5, 1000, 60_000, 1_000_000])
def test_bytes_in_the_packet_of_the_handshake(site: Site, size: int) -> None:
    sent = Frame(BINARY, b"f" * size)
    with site.peer("/echo", then=sent.encode()) as peer:
        assert peer.event() == sent
        peer.close()


@pytest.mark.parametrize("cut", [1, 2, 5, 7])
def test_half_a_frame_in_the_packet_of_the_handshake(
    site: Site, cut: int
) -> None:
    frames = encoded([Frame(TEXT, b"half"), Frame(TEXT, b"whole")])
    with site.peer("/echo", then=frames[:cut]) as peer:
        peer.send_bytes(frames[cut:])
        assert peer.event() == Frame(TEXT, b"half")
        assert peer.event() == Frame(TEXT, b"whole")
        peer.close()


def test_all_in_one_packet(site: Site) -> None:
    then = encoded([Frame(TEXT, b"all"), closing(1000)])
    with site.peer("/silent?one-packet", then=then) as peer:
        peer.closed(1000)
    site.wait_notes("one-packet", "begun", [1000, ""])


def test_octet_by_octet(site: Site) -> None:
    request, key = handshake("/echo")
    with Peer(site.connect()) as peer:
        peer.send_bytes(request, 1)
        peer.answer(key)
        peer.echo(b"slow")
        peer.close()


def test_scope(site: Site) -> None:
    fields = {
        "Sec-WebSocket-Protocol": "a, b,c",
        "X-Mine": "1",
        "Cookie": "d=e",
    }
    with site.peer("/scopes?q=%20", fields=fields) as peer:
        event = peer.event()
        assert event
        scope = json.loads(event.payload)
        peer.close()
    assert scope["type"] == "websocket"
    assert scope["scheme"] == "ws"
    assert scope["http_version"] == "1.1"
    assert scope["path"] == "/scopes"
    assert scope["raw_path"] == "/scopes"
    assert scope["query_string"] == "q=%20"
    assert scope["root_path"] == ""
    assert scope["subprotocols"] == ["a", "b", "c"]
    assert scope["extensions"]["websocket.http.response"] == {}
    assert "http.response.pathsend" not in scope["extensions"]
    assert "method" not in scope
    headers = dict(map(tuple, scope["headers"]))
    assert headers["x-mine"] == "1"
    assert headers["cookie"] == "d=e"
    assert headers["sec-websocket-version"] == "13"


def test_no_subprotocols(site: Site) -> None:
    with site.peer("/scopes") as peer:
        event = peer.event()
        assert event
        assert json.loads(event.payload)["subprotocols"] == []
        assert "sec-websocket-protocol" not in peer.fields
        peer.close()


def test_headers_of_the_application(site: Site) -> None:
    with site.peer("/headers") as peer:
        assert peer.fields["x-a"] == "b"
        assert peer.fields["server"].startswith("nginx")
        peer.close()


def test_subprotocol(site: Site) -> None:
    fields = {"Sec-WebSocket-Protocol": "a, b"}
    with site.peer("/last-protocol", fields=fields) as peer:
        assert peer.fields["sec-websocket-protocol"] == "b"
        peer.close()


def test_access_log(site: Site) -> None:
    with site.peer("/echo?logged") as peer:
        peer.close()
    site.wait_access("101 /echo?logged")
    refused(site, "/refuses?logged")
    site.wait_access("403 /refuses?logged")


@pytest.mark.valgrind
def test_over_tls(site: Site) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    plain = socket.socket(socket.AF_UNIX)
    plain.settimeout(15)
    plain.connect(str(site.prefix / "tls.sock"))
    sent = Frame(BINARY, b"t" * 100_000)
    with Peer(context.wrap_socket(plain)) as peer:
        peer.open("/echo?tls", then=sent.encode())
        assert peer.event() == sent
        peer.echo(b"text", TEXT)
        peer.close()
    site.wait_notes("tls", [1000, ""])


def test_scheme_over_tls(site: Site) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    plain = socket.socket(socket.AF_UNIX)
    plain.connect(str(site.prefix / "tls.sock"))
    with Peer(context.wrap_socket(plain)) as peer:
        event = peer.open("/scopes").event()
        assert event
        scope = json.loads(event.payload)
        peer.close()
    assert scope["scheme"] == "wss"
    assert scope["extensions"]["tls"]["tls_version"]


@pytest.mark.valgrind
def test_behind_a_proxy_that_is_ourselves(site: Site) -> None:
    sent = Frame(TEXT, b"in the packet of the handshake")
    with site.peer("/behind/echo?proxied", then=sent.encode()) as peer:
        assert peer.event() == sent
        peer.echo(b"p" * 300_000)
        peer.close()
    site.wait_notes("proxied", [1000, ""])
    with site.peer("/behind/echo?cut") as peer:
        peer.echo(b"x")
    site.wait_notes("cut", [1006, ""])


# ---- what is none


def test_without_upgrade_it_is_a_request(site: Site) -> None:
    found = refused(site, "/hello", NO_UPGRADE)
    assert found.status == 200


@pytest.mark.parametrize(
    "fields",
    [
        {"Connection": "keep-alive"},
        {"Connection": "keep-upgrade, upgrader"},
        {"Upgrade": "h2c"},
    ],
)
def test_an_upgrade_to_something_else_is_a_request(
    site: Site, fields: Fields
) -> None:
    assert refused(site, "/hello", fields).status == 200


@pytest.mark.parametrize("version", ["12", "8", "0", "abc", "13, 12", None])
def test_another_version(site: Site, version: str | None) -> None:
    found = refused(site, "/echo", {"Sec-WebSocket-Version": version})
    assert found.status == 426
    assert found.fields["sec-websocket-version"] == "13"
    site.wait_access("426 /echo")


@pytest.mark.parametrize(
    "key",
    [
        None,
        "short",
        base64.b64encode(b"k" * 15).decode(),
        base64.b64encode(b"k" * 17).decode(),
        "!" * 24,
        "A" * 24,
        "dGhlIHNhbXBsZSBub25jZQ==, x",
        "k" * 5000,
    ],
)
def test_a_bad_key(site: Site, key: str | None) -> None:
    found = refused(site, "/echo", {"Sec-WebSocket-Key": key})
    assert found.status == 400
    site.wait_access("400 /echo")


def test_two_keys(site: Site) -> None:
    request, _ = handshake("/echo")
    line = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    request = request.replace(b"\r\n\r\n", b"\r\n" + line + b"\r\n")
    with Peer(site.connect()) as peer:
        peer.send_bytes(request)
        with pytest.raises(RefusalError) as caught:
            peer.answer(b"")
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("method", "version"), [("POST", "HTTP/1.1"), ("GET", "HTTP/1.0")]
)
def test_not_as_rfc_6455_has_it(site: Site, method: str, version: str) -> None:
    """It is a request, or a bad one."""
    request, _ = handshake("/hello", method=method, version=version)
    answer = site.raw(request.replace(b"Upgrade\r\nUp", b"close\r\nUp"))
    assert b" 200 " in answer.partition(b"\r\n")[0]
    with site.connect() as sock:
        sock.sendall(request)
        sock.shutdown(socket.SHUT_WR)
        assert b" 101 " not in until_end(sock).partition(b"\r\n")[0]


@pytest.mark.parametrize(
    ("offer", "taken"),
    [
        ("permessage-deflate", True),
        ("PERMESSAGE-DEFLATE", None),
        ("permessage-deflate; client_max_window_bits", True),
        ("permessage-deflate; client_max_window_bits=8", None),
        ("permessage-deflate; client_max_window_bits=12", True),
        ('permessage-deflate; server_max_window_bits="10"', True),
        ("permessage-deflate; server_max_window_bits", False),
        ("permessage-deflate; server_max_window_bits=7", False),
        ("permessage-deflate; server_max_window_bits=16", False),
        ("permessage-deflate; server_max_window_bits=010", False),
        ("permessage-deflate; server_no_context_takeover=1", False),
        ("permessage-deflate; unknown", False),
        (
            "permessage-deflate; server_no_context_takeover;"
            " server_no_context_takeover",
            False,
        ),
        ("permessage-deflate; unknown, permessage-deflate", True),
        ("x-webkit-deflate-frame", False),
        ("foo; bar=1, permessage-deflate; client_max_window_bits", True),
        ("permessage-deflate; " + "x" * 3000, False),
    ],
)
def test_offers(site: Site, offer: str, taken: bool | None) -> None:
    """taken: None where either will do."""
    with site.peer("/echo", offer) as peer:
        answer = peer.fields.get("sec-websocket-extensions")
        assert taken is None or taken == (answer is not None)
        payload = b"some bytes " * 1000
        if answer is None:
            peer.echo(payload)
        else:
            deflate = Deflate(answer)
            # which a client may not have that does not say it knows it
            assert offer.count("client_max_window_bits") >= (
                "client_max_window_bits" in deflate.params
            )
            for _ in range(3):
                packed = deflate.compress(payload)
                peer.send(Frame(BINARY, packed, rsv=4))
                event = deflate.decoded(peer.event())
                assert event == Frame(BINARY, payload)
        peer.close()


def test_an_offer_that_is_none(site: Site) -> None:
    """RFC 6455 would have it refused, or it is as if there were none."""
    with contextlib.suppress(RefusalError), site.peer("/echo", ";;,") as peer:
        assert "sec-websocket-extensions" not in peer.fields
        peer.close()


def test_guarded_by_nginx(site: Site) -> None:
    assert refused(site, "/guarded/echo").status == 401


# ---- HTTP/2, which nginx has no WebSocket over


@pytest.mark.parametrize("way", ["connect", "get"])
def test_over_http2(site: Site, way: str) -> None:
    config = H2Configuration(
        client_side=True,
        validate_outbound_headers=False,
        normalize_outbound_headers=False,
    )
    client = H2Connection(config)
    client.initiate_connection()
    common = [(":scheme", "http"), (":authority", "x"), (":path", "/hello")]
    version = ("sec-websocket-version", "13")
    if way == "connect":
        fields = [(":method", "CONNECT"), (":protocol", "websocket")]
        fields += [*common, version]
    else:
        key = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        fields = [(":method", "GET"), *common, version, key]
    client.send_headers(1, fields, end_stream=way == "get")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(15)
        sock.connect(str(site.prefix / "h2.sock"))
        sock.sendall(client.data_to_send())
        status = ended_with(sock, client)
    assert status == ("200" if way == "get" else status)
    assert status in ("200", "400", "405", "reset")


def ended_with(sock: socket.socket, client: H2Connection) -> str:
    status = ""
    while data := sock.recv(65536):
        for event in client.receive_data(data):
            if isinstance(event, ResponseReceived):
                fields = {str(n): str(v) for n, v in text_of(event.headers)}
                status = fields[":status"]
            if isinstance(event, StreamReset):
                return status or "reset"
            if isinstance(event, StreamEnded):
                return status
        sock.sendall(client.data_to_send())
    return status or "reset"


def text_of(headers: Any) -> list[tuple[str, str]]:
    return [
        tuple(  # type: ignore[misc]
            it.decode() if isinstance(it, bytes) else it for it in pair
        )
        for pair in headers
    ]


def test_the_key_of_rfc_6455(site: Site) -> None:
    key = "dGhlIHNhbXBsZSBub25jZQ=="
    request, _ = handshake("/echo", {"Sec-WebSocket-Key": key})
    with Peer(site.connect()) as peer:
        peer.send_bytes(request)
        peer.answer(key.encode())
        said = peer.fields["sec-websocket-accept"]
        assert said == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        peer.send(Frame(9, b"alive"))
        assert peer.event() == Frame(PONG, b"alive")
        peer.close()


def test_no_line_breaks_get_out(site: Site) -> None:
    for name in ("protocol-newline", "header-newline"):
        request, _ = handshake(f"/wrong?{name},{name}")
        with site.connect() as sock:
            sock.sendall(request)
            site.wait_notes(f"{name},{name}", "bug")
        assert not re.search("evil", site.log())
        assert Path(site.prefix).exists()
