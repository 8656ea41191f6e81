# SPDX-License-Identifier: BSD-2-Clause
"""One nginx a file, with the cases of asgi/apps/sockets.py; see site.py."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ..asgi.conftest import site
from .site import Site

__all__ = ["server", "site"]


@pytest.fixture(scope="module")
def server() -> Iterator[Site]:
    with Site() as site:
        yield site
