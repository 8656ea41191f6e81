# SPDX-License-Identifier: BSD-2-Clause
"""ffi.kafka where its packages are not installed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.integration.nginx import ROOT


@pytest.mark.parametrize("name", ["confluent_kafka", "orjson"])
def test_what_is_missing(name: str) -> None:
    code = f"import sys; sys.modules[{name!r}] = None; import ffi.kafka"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT / "python",
        capture_output=True,
        text=True,
    )
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"ImportError: ffi.kafka needs {name}: pip install")
