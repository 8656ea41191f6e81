# SPDX-License-Identifier: BSD-2-Clause

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .site import Site


@pytest.fixture(scope="module")
def shared(request: pytest.FixtureRequest) -> Iterator[Site]:
    """One for a file, of what the file calls SITE."""
    with Site(**request.module.SITE) as site:
        yield site


@pytest.fixture
def site(shared: Site) -> Iterator[Site]:
    """The file's; its worker must outlive each test."""
    with shared.watch():
        yield shared
