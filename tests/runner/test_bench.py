# SPDX-License-Identifier: BSD-2-Clause
"""The benchmark of web applications runs; how fast they are is not tested."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from bench.web.cells import CELLS, HELLO_CELL
from bench.web.results import Results, shares
from bench.web.rows import NGINX, OURS, RIVALS, UVICORN

ROOT = Path(__file__).resolve().parents[2]
# those that need nothing but what the tests have
RUN = (
    *("hello", "echo", "wsgi", "streams", "workers", "stalled"),
    *("ws64", "ws16k", "wsidle"),
)


def bench(out: Path, cells: str) -> subprocess.CompletedProcess[str]:
    environ = {
        **os.environ,
        "BENCH_OUT": str(out),
        "BENCH_CELLS": cells,
        "BENCH_ROWS": f"{OURS.key} {NGINX.key}",
        "BENCH_ROUNDS": "1",
        "BENCH_SECONDS": "1",
        "BENCH_IDLE": "500",
    }
    return subprocess.run(
        [sys.executable, "-m", "bench.web"],
        cwd=ROOT,
        env=environ,
        check=False,
        capture_output=True,
        text=True,
        timeout=240,
    )


def test_each_kind_of_cell_is_measured(tmp_path: Path) -> None:
    done = bench(tmp_path, " ".join(RUN))
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "web.json").read_text())
    rows = {(one["cell"], one["row"]) for one in found["samples"]}
    assert rows == {(cell, OURS.key) for cell in RUN} | {("hello", NGINX.key)}
    assert [one for one in found["samples"] if one.get("errors")] == []
    assert [note for note in found["notes"] if "idle" not in note] == []
    verdicts = {goal["what"]: goal["reached"] for goal in found["goals"]}
    assert verdicts["ASGI hello: CPU / nginx's own return 200"] is not None
    assert verdicts["ASGI hello: CPU / uvicorn"] is None
    assert (tmp_path / "web.txt").read_text() == done.stdout


def test_a_cell_that_is_none(tmp_path: Path) -> None:
    done = bench(tmp_path, "hallo")
    assert done.returncode == 1
    assert done.stderr.startswith("bench: BENCH_CELLS: no hallo among hello ")


def test_ratios_are_of_the_same_round() -> None:
    results = Results(CELLS, RIVALS)
    for turn, (ours, theirs) in enumerate([(10.0, 40.0), (30.0, 40.0)]):
        results.add(HELLO_CELL, OURS, turn, {"cpu": ours})
        results.add(HELLO_CELL, UVICORN, turn, {"cpu": theirs})
    results.add(HELLO_CELL, UVICORN, 2, {"cpu": 1.0})
    assert results.part(HELLO_CELL, UVICORN, "cpu") == 0.5
    first = results.goals()[0]
    assert (first.what, first.goal) == ("ASGI hello: CPU / uvicorn", 0.4)
    assert first.reached is False


def test_a_worker_without_requests_has_a_share() -> None:
    even = {"fewest": 1.0, "most": 1.0, "uneven": 0.0}
    assert shares([5, 5, 5, 5], 4) == even
    assert shares([10, 5, 5], 4) == {"fewest": 0.0, "most": 2.0, "uneven": 1.0}
