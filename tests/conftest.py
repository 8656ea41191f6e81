# SPDX-License-Identifier: BSD-2-Clause
"""What scripts/test.py finds in pytest's report of a test that fails."""

from __future__ import annotations

import pytest


def pytest_runtest_setup(item: pytest.Item) -> None:
    item.user_properties.append(("nodeid", item.nodeid))
    if item.get_closest_marker("once"):
        item.user_properties.append(("once", "true"))
