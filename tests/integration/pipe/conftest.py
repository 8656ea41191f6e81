# SPDX-License-Identifier: BSD-2-Clause
"""One nginx a file, whose requests pipe; see ../pipes.py."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ..conftest import NewNginx
from ..nginx import Nginx
from ..pipes import HTTP, SERVER, settle, undelivered, watch


@pytest.fixture(scope="module")
def server(new_nginx: NewNginx) -> Iterator[Nginx]:
    with new_nginx(server=SERVER, http=HTTP) as nginx:
        yield nginx


@pytest.fixture
def nginx(server: Nginx) -> Iterator[Nginx]:
    with watch(server):
        yield server


@pytest.fixture
def whole(nginx: Nginx) -> Iterator[Nginx]:
    """All parts are delivered."""
    before = undelivered(nginx)
    yield nginx
    settle(nginx)
    assert undelivered(nginx) == before
