# SPDX-License-Identifier: BSD-2-Clause
"""The broker with two more listeners: TLS, and SCRAM over TLS."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from .broker import PROPERTIES, KafkaBroker, free_ports

USER = "alice"
PASSWORD = "correct-horse"

SECURE = {
    "listeners": f"{PROPERTIES['listeners']},"
    "TLS://127.0.0.1:{tls_port},SCRAM://127.0.0.1:{scram_port}",
    "advertised.listeners": f"{PROPERTIES['advertised.listeners']},"
    "TLS://127.0.0.1:{tls_port},SCRAM://127.0.0.1:{scram_port}",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,"
    "CONTROLLER:PLAINTEXT,TLS:SSL,SCRAM:SASL_SSL",
    "ssl.keystore.type": "PEM",
    "ssl.keystore.location": "{home}/server.pem",
    "sasl.enabled.mechanisms": "SCRAM-SHA-256",
    "listener.name.scram.scram-sha-256.sasl.jaas.config": "org.apache.kafka"
    ".common.security.scram.ScramLoginModule required;",
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer"
    ".StandardAuthorizer",
    "allow.everyone.if.no.acl.found": "true",
    "super.users": "User:ANONYMOUS",
}


def make_ca(folder: Path, name: str) -> Path:
    """NAME.pem, and its key in NAME.key."""
    return _certificate(folder, name, "-addext", "keyUsage=keyCertSign")


def _certificate(folder: Path, name: str, *arguments: str | Path) -> Path:
    made = folder / f"{name}.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-nodes"),
            *("-pkeyopt", "ec_paramgen_curve:P-256", "-days", "2"),
            *("-subj", f"/CN={name}", "-out", made),
            *("-keyout", folder / f"{name}.key", *arguments),
        ],
        check=True,
        stdin=subprocess.DEVNULL,
        capture_output=True,
    )
    return made


class SecureBroker(KafkaBroker):
    """USER with PASSWORD may use the SCRAM listener; anybody the others.

    USER may do what no rule forbids; anybody else all.
    """

    def __init__(self, properties: Mapping[str, str] | None = None) -> None:
        super().__init__({**SECURE, **(properties or {})})
        self.ca = make_ca(self.home, "ca")
        server = _certificate(
            *(self.home, "server", "-CA", self.ca),
            *("-CAkey", self.home / "ca.key"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
        )
        key = (self.home / "server.key").read_text()
        server.write_text(key + server.read_text())

    @property
    def tls_address(self) -> str:
        return f"127.0.0.1:{self._tls_port}"

    @property
    def scram_address(self) -> str:
        return f"127.0.0.1:{self._scram_port}"

    def _choose_ports(self) -> None:
        super()._choose_ports()
        self._tls_port, self._scram_port = free_ports(2)

    def _names(self) -> dict[str, object]:
        return {
            **super()._names(),
            "tls_port": self._tls_port,
            "scram_port": self._scram_port,
        }

    def _format_options(self) -> list[str]:
        user = f"SCRAM-SHA-256=[name={USER},password={PASSWORD}]"
        return ["--add-scram", user]
