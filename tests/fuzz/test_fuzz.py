# SPDX-License-Identifier: BSD-2-Clause
"""Each fuzzer for FUZZ_S seconds, 10 unless told.

What it learns is kept in build/fuzz for the next time, and so is an input
that a fuzzer does not survive. FUZZ_SEED: of its random numbers, 1 unless
told, so that a change of the code alone decides what a new clone finds; 0
for another one each time.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.nginx import BUILD, ROOT

pytestmark = pytest.mark.once

FOLDER = BUILD / "fuzz"
SEEDS = Path(__file__).parent / "seeds"
SECONDS = float(os.environ.get("FUZZ_S") or 10)
SEED = os.environ.get("FUZZ_SEED") or "1"
IN_C = ("handles", "frames")
IN_PYTHON = ("requests", "config", "ledger")
NAMES = (*IN_C, *IN_PYTHON)


def command(name: str) -> list[str]:
    if name in IN_PYTHON:
        return [sys.executable, "-m", "tests.fuzz.kafka", name]
    path = FOLDER / f"fuzz_{name}"
    environ = {k: v for k, v in os.environ.items() if k != "MAKEFLAGS"}
    make = ["make", "-s", str(path.relative_to(ROOT))]
    subprocess.run(make, cwd=ROOT, env=environ, check=True)
    return [str(path)]


@pytest.mark.timeout(SECONDS + 300)
@pytest.mark.parametrize("name", NAMES)
def test_fuzz(name: str) -> None:
    if name in IN_PYTHON and importlib.util.find_spec("atheris") is None:
        pytest.skip("there is no atheris for this Python or machine")
    folder = FOLDER / name
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [
            *command(name),
            f"-max_total_time={SECONDS:.0f}",
            f"-seed={SEED}",
            "-max_len=2000",
            "-timeout=60",
            f"-artifact_prefix={folder}/",
            str(corpus),
            str(SEEDS / name),
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'python'}"},
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    text = done.stdout.decode(errors="replace")
    (folder / "log").write_text(text)
    if done.returncode != 0:
        kept = re.findall("Test unit written to (.*)", text)
        lines = [
            line
            for line in text.splitlines()
            if not re.match(r"#\d+\s+(NEW|REDUCE|pulse)", line)
        ]
        pytest.fail(
            "\n".join([*lines[-60:], f"the input: {kept}"]), pytrace=False
        )
    runs = re.search(r"^Done (\d+) runs", text, re.M)
    assert runs
    assert int(runs[1]) > len(list((SEEDS / name).iterdir()))
    print(f"{runs[1]} runs")
