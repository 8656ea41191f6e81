# SPDX-License-Identifier: BSD-2-Clause
"""What scripts/test.py finds in pytest's report of a test that fails."""

from __future__ import annotations

import pytest


def pytest_runtest_setup(item: pytest.Item) -> None:
    item.user_properties.append(("nodeid", item.nodeid))
    if item.get_closest_marker("once"):
        item.user_properties.append(("once", "true"))


@pytest.hookimpl(tryfirst=True)
def pytest_report_to_serializable(report: object) -> None:
    """Tests that run beside others: xdist sends what they have logged."""
    if isinstance(report, pytest.TestReport):
        report.sections = [
            (name, text.encode("utf-8", "backslashreplace").decode())
            for name, text in report.sections
        ]
