# SPDX-License-Identifier: BSD-2-Clause
"""scripts/quietly: what `make run` says of what takes long."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from tests.integration.nginx import ROOT


def quietly(
    command: str, log: Path | None
) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "LOG": str(log or "")}
    script = ROOT / "scripts" / "quietly"
    return subprocess.run(
        [script, "doing it", "sh", "-c", command],
        env=environ,
        capture_output=True,
        text=True,
    )


def said(done: subprocess.CompletedProcess[str]) -> str:
    return done.stdout + done.stderr


def test_what_is_done_at_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    for word in ("first", "second"):
        done = quietly(f"echo {word}; echo {word} >&2", log)
        assert (done.returncode, said(done)) == (0, "")
    lines = log.read_text().splitlines()
    assert lines.count("first") == lines.count("second") == 2


def test_what_takes_longer(tmp_path: Path) -> None:
    log = tmp_path / "log"
    done = quietly("echo noise; sleep 2.5", log)
    assert done.returncode == 0
    title = re.escape(f"doing it ({log}) ")
    assert re.fullmatch(title + r"\.+ \d+ s\n", said(done))


def test_what_fails(tmp_path: Path) -> None:
    log = tmp_path / "log"
    quietly("echo before", log)
    done = quietly("seq 100; exit 7", log)
    assert done.returncode == 7
    head, *tail = said(done).splitlines()
    assert head == f"doing it: this failed; the last lines of {log}:"
    assert tail == [f"    {n}" for n in range(81, 101)]
    assert "before" not in said(quietly("exit 1", log))


def test_without_a_log() -> None:
    done = quietly("echo text; exit 3", None)
    assert (done.returncode, done.stdout) == (3, "text\n")
