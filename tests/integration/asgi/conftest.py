# SPDX-License-Identifier: BSD-2-Clause
"""One nginx a file, with the cases of apps/cases.py; see site.py."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .site import Site


@pytest.fixture(
    scope="module",
    params=["uvloop", pytest.param("asyncio", marks=pytest.mark.asan)],
)
def server(request: pytest.FixtureRequest) -> Iterator[Site]:
    with Site(uvloop=request.param == "uvloop") as site:
        yield site


@pytest.fixture
def site(server: Site) -> Iterator[Site]:
    """The file's; its worker must outlive each test, and tasks must not."""
    with server.watch():
        yield server
        server.wait_idle()
