# SPDX-License-Identifier: BSD-2-Clause
"""The extension "tls"."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .certificates import make
from .site import Site, head, parse

SERVER = """
listen unix:{prefix}/tls.sock ssl;
ssl_certificate FOLDER/server.pem;
ssl_certificate_key FOLDER/server.key;
ssl_client_certificate FOLDER/ca.pem;
ssl_verify_client optional_no_ca;
ssl_protocols TLSv1.2 TLSv1.3;
"""

NAMES = {0x1301, 0x1302, 0x1303}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    make(folder, "ca", "/CN=ca")
    make(folder, "server", "/CN=localhost", "ca")
    make(folder, "client", "/C=DE/O=Caf\u00e9, Inc/CN=alice", "ca")
    make(folder, "stranger", "/CN=mallory")
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Site]:
    text = SERVER.replace("FOLDER", str(folder))
    with Site("scopes:app", server=text) as site:
        yield site


def scope_of(
    site: Site,
    folder: Path,
    client: str = "",
    version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
) -> dict[str, Any]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(folder / "ca.pem")
    context.minimum_version = context.maximum_version = version
    context.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
    if client:
        context.load_cert_chain(
            folder / f"{client}.pem", folder / f"{client}.key"
        )
    with socket.socket(socket.AF_UNIX) as plain:
        plain.connect(str(site.prefix / "tls.sock"))
        with context.wrap_socket(plain) as sock:
            sock.sendall(head("/"))
            data = b""
            while piece := sock.recv(65536):
                data += piece
    found = json.loads(parse(data).body)
    assert isinstance(found, dict)
    return found


@pytest.mark.valgrind
def test_no_client_certificate(site: Site, folder: Path) -> None:
    scope = scope_of(site, folder)
    assert scope["scheme"] == "https"
    tls = scope["extensions"]["tls"]
    assert tls.pop("cipher_suite") in NAMES
    assert tls == {
        "server_cert": None,
        "client_cert_chain": [],
        "client_cert_name": None,
        "client_cert_error": None,
        "tls_version": 0x0304,
    }


def test_an_older_version(site: Site, folder: Path) -> None:
    scope = scope_of(site, folder, version=ssl.TLSVersion.TLSv1_2)
    tls = scope["extensions"]["tls"]
    assert tls["tls_version"] == 0x0303
    assert tls["cipher_suite"] == 0xC02B


@pytest.mark.valgrind
def test_client_certificate(site: Site, folder: Path) -> None:
    tls = scope_of(site, folder, "client")["extensions"]["tls"]
    (chain,) = tls["client_cert_chain"]
    assert ssl.PEM_cert_to_DER_cert(chain) == ssl.PEM_cert_to_DER_cert(
        (folder / "client.pem").read_text()
    )
    assert tls["client_cert_name"] == r"CN=alice,O=Caf\C3\A9\, Inc,C=DE"
    assert tls["client_cert_error"] is None


def test_client_certificate_of_a_stranger(site: Site, folder: Path) -> None:
    tls = scope_of(site, folder, "stranger")["extensions"]["tls"]
    assert tls["client_cert_name"] == "CN=mallory"
    assert "self" in tls["client_cert_error"]
    assert len(tls["client_cert_chain"]) == 1


def test_none_without_tls(site: Site) -> None:
    assert "tls" not in site.ask("/").json()["extensions"]
