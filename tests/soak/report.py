# SPDX-License-Identifier: BSD-2-Clause
"""What the soaks have shown, as text and as JSON."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import platform
import subprocess
from pathlib import Path
from statistics import median
from typing import Any

from tests.integration.nginx import NGINX_BIN, ROOT

from .line import Line, fit
from .soak import Result, Sample

# of the time: fragments of the heap settle slowly
WARM_UP = 0.5
MIB = 1024 * 1024
# what a worker or master may have more at the end, for no reason
ALLOWANCE = {
    "heap": MIB,
    "rest": 8 * MIB,
    "lua": MIB,
    "blocks": 10_000,
    # see settle
    "fragments": math.inf,
    "resident": math.inf,
}
FRAGMENTS = 8 * MIB


def after_warm_up(result: Result) -> list[Sample]:
    return [s for s in result.samples if s.seconds > WARM_UP * result.seconds]


def lines(result: Result) -> dict[str, Line]:
    """What may grow, over requests; the master's over seconds."""
    names = ["rest"] if result.hups else list(ALLOWANCE)
    samples = after_warm_up(result)
    found = {}
    for name in names:
        line = fit(
            [
                (s.seconds if result.hups else s.requests, getattr(s, name))
                for s in samples
            ]
        )
        if line:
            found[name] = line
    return found


def levels(result: Result) -> dict[str, tuple[float, float]]:
    """Medians of the first and the last quarter of what is to be flat."""
    samples = after_warm_up(result)
    quarter = max(1, len(samples) // 4)
    names = ["threads", "descriptors", "parted"]
    names += ["processes"] * bool(result.hups)
    return {
        name: (
            median(getattr(s, name) for s in samples[:quarter]),
            median(getattr(s, name) for s in samples[-quarter:]),
        )
        for name in names
        if samples
    }


def thirds(result: Result) -> list[float]:
    """Medians of what malloc keeps, from the start on."""
    size = len(result.samples) // 3
    parts = [result.samples[i * size : (i + 1) * size] for i in range(3)]
    return [median(s.fragments for s in part) for part in parts if part]


def settle(result: Result) -> bool:
    """Whether what malloc keeps grows more slowly the longer it lasts.

    Each of its arenas fills until it has had its worst moment. With an arena
    a thread that takes a minute or two, which no line tells from a leak in a
    run of two minutes. But a leak grows in the last third as in the second.
    """
    medians = thirds(result)
    if len(medians) < 3:
        return True
    before, now = medians[1] - medians[0], medians[2] - medians[1]
    return now <= max(FRAGMENTS, before / 2)


def growths(result: Result) -> list[str]:
    """What has grown that may not."""
    found = [
        f"{name} grows"
        for name, line in lines(result).items()
        if line.grows(ALLOWANCE[name])
    ]
    if not settle(result):
        found.append("fragments grow, and do not settle")
    for name, (first, last) in levels(result).items():
        if last > first + 5:
            found.append(f"{name}: {first:g} at first, {last:g} at last")
    return found


def as_text(result: Result) -> str:
    counts = result.counts
    what = "without HUP" if not result.hups else f"{result.hups} HUPs"
    text = [
        f"soak {result.name}: {result.seconds:.0f} s, {what},"
        f" {result.reloads} hot reloads, {result.refused} of broken files",
        "  requests: "
        + ", ".join(f"{value} {name}" for name, value in counts.items()),
    ]
    if result.parts:
        counts = result.parts
        text.append(
            "  parts of the runtime in C: "
            + ", ".join(f"{value} {name}" for name, value in counts.items())
        )
    per = "s" if result.hups else "request"
    for name, line in lines(result).items():
        unit = "blocks" if name == "blocks" else "bytes"
        text.append(
            f"  {name}: {line.slope:+.5f} ± {line.error:.5f} {unit} a {per},"
            f" {line.slope * line.span:+.0f} in all"
        )
    for name, (first, last) in levels(result).items():
        text.append(f"  {name}: {first:g} at first, {last:g} at last")
    if result.idle:
        text.append(
            "  sockets without clients: {} at first, {} at last".format(
                *result.idle
            )
        )
    if any(thirds(result)):
        mib = ", ".join(f"{size / MIB:.1f}" for size in thirds(result))
        text.append(f"  fragments in each third: {mib} MiB")
    if result.old_workers:
        times = result.old_workers
        text.append(
            f"  old workers: {len(times)}, gone after"
            f" {median(times):.2f} s (median), {max(times):.2f} s (most)"
        )
    common = sorted(result.log.items(), key=lambda item: -item[1])
    text += [f"  {count} x {line}" for line, count in common[:10]]
    text += [f"  FAILED: {it}" for it in result.failures() + growths(result)]
    return "\n".join(text)


def as_json(result: Result) -> dict[str, Any]:
    fields = dataclasses.asdict(result)
    fields["lines"] = {
        name: dataclasses.asdict(line) for name, line in lines(result).items()
    }
    fields["levels"] = levels(result)
    fields["failures"] = result.failures() + growths(result)
    return fields


def versions() -> dict[str, str]:
    def output(*command: str) -> str:
        done = subprocess.run(
            command,
            cwd=ROOT,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return done.stdout.strip()

    return {
        "commit": output("git", "describe", "--always", "--dirty"),
        "nginx": output(NGINX_BIN, "-v"),
        "python": platform.python_version(),
        "libc": " ".join(platform.libc_ver()),
        "kernel": platform.release(),
        "cpus": str(os.cpu_count()),
    }


def write(
    folder: Path, results: list[Result], others: dict[str, str]
) -> tuple[str, bool]:
    """others: what else has run, and what came of it. Text; all is well."""
    about = versions()
    text = "\n".join(
        [
            ", ".join(f"{name} {value}" for name, value in about.items()),
            *map(as_text, results),
            *(f"{name}: {said}" for name, said in others.items()),
        ]
    )
    (folder / "report.txt").write_text(text + "\n")
    (folder / "report.json").write_text(
        json.dumps(
            {
                "versions": about,
                "soaks": [as_json(result) for result in results],
                "others": others,
            },
            indent=1,
        )
    )
    return text, not any(r.failures() + growths(r) for r in results)
