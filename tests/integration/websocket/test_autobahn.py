# SPDX-License-Identifier: BSD-2-Clause
"""The cases of Autobahn's testsuite, and that docs/web.md lists them."""

from __future__ import annotations

import pytest

from ..nginx import ROOT
from .case import Case
from .cases import BY_NUMBER, CASES, TITLES, table
from .site import Site


def test_the_table() -> None:
    """Has each case once, with its result."""
    assert len(BY_NUMBER) == len(CASES) == 517
    groups = [group for some in TITLES.values() for group in some]
    assert len(groups) == len(set(groups))
    assert set(groups) == {case.group for case in CASES}
    assert table() in (ROOT / "docs" / "web.md").read_text()


@pytest.mark.parametrize("case", CASES, ids=list(BY_NUMBER))
def test_case(site: Site, case: Case) -> None:
    with site.peer("/echo?cases", case.offer) as peer:
        result = case.run(peer)
    assert result == case.result
