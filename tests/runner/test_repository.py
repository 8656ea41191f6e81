"""What the repository says twice agrees."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.integration.nginx import ROOT

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
