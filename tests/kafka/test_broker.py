# SPDX-License-Identifier: BSD-2-Clause
"""A broker that cannot be fetched is said in few lines, and once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.nginx import ROOT

from . import broker
from .broker import FetchError, fetch

FAILS = """#!/bin/sh
seq 6000
echo '[ERROR] Failed to execute goal: Could not resolve dependencies'
echo '[ERROR] '
echo '[ERROR] Re-run Maven using the -X switch to enable full debug logging.'
seq 6000
exit 1
"""
TELLING = "[ERROR] Failed to execute goal: Could not resolve dependencies"


def write_mvn(folder: Path, script: str) -> str:
    """What PATH is to be."""
    program = folder / "mvn"
    program.write_text(script)
    program.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (FAILS, [TELLING]),
        ("#!/bin/sh\nseq 100\nexit 1", [f"{i}" for i in range(91, 101)]),
        ("#!/bin/sh\nprintf '[ERROR] %05000d'; exit 1", [f"{'0' * 192}"]),
        ("#!/bin/sh\nexit 1", ["mvn", "exit status 1"]),
        ("#!/bin/sh\nexec sleep 100", ["timed out"]),
        ("#!/bin/sh\nexit 0", ["no Kafka broker in what Maven brings"]),
    ],
)
def test_what_is_said(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    script: str,
    said: list[str],
) -> None:
    (tmp_path / "kafka").mkdir()
    monkeypatch.setattr(broker, "BUILD", tmp_path)
    monkeypatch.setattr(broker, "FETCH_PATIENCE", 2)
    monkeypatch.setenv("PATH", write_mvn(tmp_path, script))
    with pytest.raises(FetchError) as error:
        fetch(None, tmp_path / "jars")
    text = str(error.value)
    assert "no Kafka broker" in text
    assert all(line in text for line in said)
    assert len(text.splitlines()) <= 11
    assert len(text) < 1000


def test_no_maven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "kafka").mkdir()
    monkeypatch.setattr(broker, "BUILD", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FetchError, match="No such file or directory: 'mvn'"):
        fetch(None, tmp_path / "jars")


def test_one_error_for_all(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-ra"),
            *("tests/kafka/test_messages.py", "tests/kafka/test_outage.py"),
        ],
        cwd=ROOT,
        env={
            **os.environ,
            "PATH": write_mvn(tmp_path, FAILS),
            "BUILD_DIR": str(tmp_path),
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 2
    assert done.stdout.count(TELLING) == 1
    assert len(done.stdout.splitlines()) < 20, done.stdout
