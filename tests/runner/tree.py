# SPDX-License-Identifier: BSD-2-Clause
"""scripts/test.py in a tree of its own, with tests that do as they are told.

What it takes of make is there, and does nothing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

from tests.integration.nginx import ROOT

COPIED = ("scripts/test.py", "tests/conftest.py", "pyproject.toml", ".ci/run")
MAKEFILE = f"""
.PHONY: all asan lint build/venv/test test
all asan lint build/venv/test:

# a shell script by the name of a C source
build/unit/%:
\t@install -D tests/unit/$(notdir $@).c $@

test:
\t@{sys.executable} scripts/test.py $(SUITES)
"""


class Outcome:
    def __init__(self, status: int, output: str) -> None:
        self.status = status
        self.output = output
        self.lines = output.splitlines()

    def of(self, word: str) -> list[str]:
        """What the last lines that begin with that word say."""
        return [
            line.removeprefix(f"{word}: ")
            for line in self.lines
            if line.startswith(f"{word}: ")
        ]


class Tree:
    def __init__(self, root: Path) -> None:
        self.root = root
        for name in COPIED:
            (root / name).parent.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, root / name)
        (root / "build").mkdir()
        (root / "build" / "venv").symlink_to(sys.prefix)
        (root / "Makefile").write_text(MAKEFILE)

    def write(self, suite: str, source: str, name: str = "test_it.py") -> None:
        """In these tests words(text) returns how often it has been called."""
        folder = self.root / "tests" / suite
        folder.mkdir(exist_ok=True)
        text = PRELUDE if name.endswith(".py") else ""
        (folder / name).write_text(text + textwrap.dedent(source))

    def popen(self, *command: str, **environ: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command,
            cwd=self.root,
            env={**os.environ, **environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *suites: str) -> Outcome:
        process = self.popen(sys.executable, "scripts/test.py", *suites)
        output, _ = process.communicate()
        return Outcome(process.returncode, output)

    def said(self) -> list[str]:
        """By the tests, in order."""
        path = self.root / "said"
        return path.read_text().splitlines() if path.exists() else []


PRELUDE = '''
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest


def say(word):
    """How often it has been said."""
    with Path("said").open("a") as file:
        file.write(word + "\\n")
    print(f"{word} is said")
    return Path("said").read_text().split().count(word)


'''
