# SPDX-License-Identifier: BSD-2-Clause
"""Reloads under load, while the application imports."""

from __future__ import annotations

import pytest

from bench import reload

from ..nginx import BUILD, ROOT


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
