# SPDX-License-Identifier: BSD-2-Clause
"""The README's examples, as they stand there."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from .conftest import NewNginx
from .nginx import ROOT
from .python_pass.site import Site

APP = """
from fastapi import FastAPI

app = FastAPI()


@app.get("/")
def root() -> str:
    return "hello"
"""


def fence(language: str, part: str, file: str = "README.md") -> str:
    """The first block in that language that has some part."""
    text = (ROOT / file).read_text()
    blocks: list[str] = re.findall(
        rf"^```{language}\n(.*?)^```$", text, re.M | re.S
    )
    return next(block for block in blocks if part in block)


def test_a_call_from_lua(new_nginx: NewNginx, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(fence("python", "def upper"))
    location = fence("nginx", "load_ffi").replace(
        "location / ", "location = /readme "
    )
    with new_nginx(python_path=[tmp_path], server=location) as nginx:
        assert nginx.get("/readme?q=world").text == "WORLD\n"
        assert nginx.get("/readme").text == "HELLO\n"


SHOP = """
import json
from resty_ffi import Error, serve

ITEMS = {7: {"name": "seven"}}

"""


def test_a_json_endpoint(new_nginx: NewNginx, tmp_path: Path) -> None:
    shop = fence("python", "class Shop", "docs/lua.md")
    (tmp_path / "shop.py").write_text(SHOP + shop)
    location = fence("nginx", "ffi.respond")
    assert location == fence("nginx", "ffi.respond", "docs/lua.md")
    with new_nginx(python_path=[tmp_path], server=location) as nginx:
        answer = nginx.post("/item", '{"id": 7}')
        assert answer.text == '{"name": "seven"}'
        assert answer.headers["Content-Type"] == "application/json"
        answer = nginx.post("/item", '{"id": 8}')
        assert answer.status == 404
        assert answer.text == '{"error":"no such item","status":404}'
        assert nginx.post("/item", "").status == 500


def test_a_web_application(tmp_path: Path) -> None:
    """The lines of its configuration that say something about us."""
    lines = fence("nginx", "python_pass").replace("/srv/app", str(tmp_path))
    path, *locations = re.findall(
        r"^ *((?:python_path|location) .*)$", lines, re.M
    )
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "static").mkdir()
    (tmp_path / "static" / "a.txt").write_text("static")
    path += f" python_venv {sys.prefix};"
    with Site("\n".join(locations), path=path) as site:
        assert site.text("/") == '"hello"'
        assert site.text("/static/a.txt") == "static"
