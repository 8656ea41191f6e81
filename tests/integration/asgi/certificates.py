# SPDX-License-Identifier: BSD-2-Clause
"""Certificates for TLS, made by openssl."""

from __future__ import annotations

import subprocess
from pathlib import Path


def make(folder: Path, name: str, subject: str, ca: str = "") -> Path:
    """NAME.pem and NAME.key; signed by itself where there is no ca."""
    made = folder / f"{name}.pem"
    signer: list[str | Path] = []
    if ca:
        signer = ["-CA", folder / f"{ca}.pem", "-CAkey", folder / f"{ca}.key"]
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-nodes"),
            *("-pkeyopt", "ec_paramgen_curve:P-256", "-days", "2"),
            *("-subj", subject, "-utf8", "-out", made),
            *("-keyout", folder / f"{name}.key", *signer),
        ],
        check=True,
        stdin=subprocess.DEVNULL,
        capture_output=True,
    )
    return made
