# SPDX-License-Identifier: BSD-2-Clause

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ..conftest import NewNginx
from ..nginx import Nginx
from .calls import SETTINGS


@pytest.fixture(scope="module")
def server(new_nginx: NewNginx) -> Iterator[Nginx]:
    with new_nginx(**SETTINGS) as nginx:
        yield nginx
