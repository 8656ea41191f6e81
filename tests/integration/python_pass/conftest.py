# SPDX-License-Identifier: BSD-2-Clause

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .site import Site


@pytest.fixture
def nginx(server: Site) -> Iterator[Site]:
    """The file's server, which is a fixture there; its worker must live."""
    with server.watch():
        yield server
