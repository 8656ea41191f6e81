# SPDX-License-Identifier: BSD-2-Clause
"""Reloads under load, while the application imports."""

from __future__ import annotations

import pytest

from bench import reload

from ..nginx import BUILD, ROOT
from .site import Site


@pytest.mark.once
@pytest.mark.skipif(
    BUILD != ROOT / "build", reason="it serves what is in build"
)
@pytest.mark.parametrize("workers", [1, 2])
def test_no_request_is_lost(workers: int) -> None:
    result = reload.measure(rate=50, imports=0.5, reloads=2, workers=workers)
    assert result.lost == 0
    assert result.requests > 200
    assert "signal" not in result.log


@pytest.mark.valgrind
def test_a_worker_that_ends_while_python_starts() -> None:
    """It may read the environment, which nginx frees then."""
    app = {"app.py": "def app(environ, start_response): ..."}
    with Site("location / { python_pass app:app wsgi; }", apps=app) as nginx:
        # by the master, which has no patience
        nginx.allow_log("exited on signal 9")
        nginx.reload()
        nginx.stop()
        nginx.wait()
