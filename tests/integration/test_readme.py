# SPDX-License-Identifier: BSD-2-Clause
"""The README's first example, as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

from .conftest import NewNginx
from .nginx import ROOT


def fence(language: str) -> str:
    """What the first block in that language says."""
    text = (ROOT / "README.md").read_text()
    found = re.search(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)
    assert found
    return found[1]


def test_the_first_example(new_nginx: NewNginx, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(fence("python"))
    server = re.search(r"location / \{.*\n        \}\n", fence("nginx"), re.S)
    assert server
    location = server[0].replace("location / ", "location = /readme ")
    with new_nginx(python_path=[tmp_path], server=location) as nginx:
        assert nginx.get("/readme?q=world").text == "WORLD\n"
        assert nginx.get("/readme").text == "HELLO\n"
