# SPDX-License-Identifier: BSD-2-Clause
"""Two trees of this repository, in turns: what a change costs.

usage: python -m bench.compare OLD NEW [PAIRS]

Runs each tree's own `bench/run`, which BENCH_ROWS and BENCH_CELLS narrow, one
after the other, PAIRS times (15), and compares what ran side by side. OLD
beside a copy of itself shows what chance alone does.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median, quantiles

Key = tuple[str, str]
# CPU µs of a request, in nginx and Python; requests a second
Figures = tuple[float, float]


def measure(tree: Path) -> dict[Key, Figures]:
    environ = {"BENCH_SECONDS": "2", **os.environ, "BENCH_ROUNDS": "1"}
    subprocess.run(
        [tree / "bench" / "run"],
        cwd=tree,
        env=environ,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    report = json.loads((tree / "build/bench/bench.json").read_text())
    return {
        (row["cell"], row["row"]): (
            row["nginx"] + (row["python"] or 0.0),
            row["rate"],
        )
        for row in report["table"]
    }


def spread(ratios: list[float]) -> str:
    low, _, high = quantiles(ratios, n=4)
    return f"{median(ratios):.3f} ({low:.3f} to {high:.3f})"


def main(old: Path, new: Path, pairs: int) -> None:
    found: dict[Key, list[tuple[Figures, Figures]]] = {}
    for turn in range(pairs):
        trees = (old, new) if turn % 2 else (new, old)
        figures = {tree: measure(tree) for tree in trees}
        for key in figures[old].keys() & figures[new].keys():
            pair = figures[old][key], figures[new][key]
            found.setdefault(key, []).append(pair)
        print(f"{turn + 1}/{pairs}", file=sys.stderr, flush=True)
    print(f"{'':24} new : old, medians and quartiles of {pairs} pairs")
    print(f"{'':24} {'CPU a request':26} requests/s")
    for (cell, row), both in sorted(found.items()):
        cpu = [b[0] / a[0] for a, b in both]
        rate = [b[1] / a[1] for a, b in both]
        print(f"{cell:10} {row:12}  {spread(cpu):26} {spread(rate)}")


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    main(
        Path(sys.argv[1]).resolve(),
        Path(sys.argv[2]).resolve(),
        int(sys.argv[3]) if len(sys.argv) > 3 else 15,
    )
