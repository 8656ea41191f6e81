# SPDX-License-Identifier: BSD-2-Clause
"""What the repository says twice agrees."""

from __future__ import annotations

import re
import subprocess

import pytest

from scripts.test import suites
from tests.integration.nginx import ROOT

SOURCES = (".c", ".h", ".lua", ".py", ".pyi", ".sh")
LICENCE = b"SPDX-License-Identifier: BSD-2-Clause"
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
BUILT_FROM = (
    *("Makefile", "config", "include", "lua", "pyproject.toml", "python"),
    *("scripts", "src"),
)


def tracked(*patterns: str) -> list[str]:
    if not (ROOT / ".git").exists():
        pytest.skip("this is no clone")
    command = ["git", "ls-files", "--", *patterns]
    listed = subprocess.run(
        command, cwd=ROOT, check=True, capture_output=True, text=True
    )
    return listed.stdout.splitlines()


def test_the_version_stands_in_one_file() -> None:
    version = (ROOT / "VERSION").read_text().strip()
    stands = re.compile(rf"(?<![\d.]){re.escape(version)}(?![\d.])")
    files = [name for name in tracked(*BUILT_FROM) if (ROOT / name).exists()]
    assert [
        name
        for name in files
        if not (ROOT / name).is_symlink()
        and stands.search((ROOT / name).read_text())
    ] == []


def test_make_help_names_each_target() -> None:
    text = (ROOT / "Makefile").read_text()
    phony = re.findall(r"^\.PHONY:(.*)", text, re.MULTILINE)
    targets = {name for line in phony for name in line.split()}
    told = subprocess.run(
        ["make", "help"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    named = re.findall(r"^make ([\w-]+)", told.stdout, re.MULTILINE)
    # make itself, what forces a recipe, and what others need
    assert targets - {"all", "FORCE", "venv"} == set(named)


def test_the_suites_are_those_of_the_readme() -> None:
    text = (ROOT / "tests/README.md").read_text()
    table, _, _ = text.partition("## One test")
    rows = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    names = {name for row in rows for name in re.findall(r"`(\w[\w-]*)`", row)}
    assert names == {*suites(), "unit"}


def prose(text: str) -> str:
    """Without what stands in fences."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    """As GitHub makes them of headings."""
    titles = re.findall(r"^#+ (.*)$", prose(text), re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        for title in titles
    }


def test_links_lead_somewhere() -> None:
    broken = []
    for name in tracked("*.md"):
        page = ROOT / name
        for link in LINK.findall(prose(page.read_text())):
            if re.match(r"[a-z]+:", link):
                continue
            path, _, anchor = link.partition("#")
            target = page.parent / path if path else page
            if not target.exists() or (
                anchor and anchor not in anchors(target.read_text())
            ):
                broken.append(f"{name}: {link}")
    assert broken == []


def test_each_source_says_its_licence() -> None:
    without = []
    for name in tracked():
        path = ROOT / name
        if name.startswith("tests/fuzz/seeds/") or not path.is_file():
            continue
        head = path.read_bytes()[:200]
        source = path.suffix in SOURCES or path.name in ("Makefile", "config")
        if (source and head) or head.startswith(b"#!"):
            lines = head.splitlines()[:2]
            if not any(LICENCE in line for line in lines):
                without.append(name)
    assert without == []
