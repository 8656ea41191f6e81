# SPDX-License-Identifier: BSD-2-Clause
"""usage: python -m tests.soak [PART ...]

A part is soaks, web, sockets, kafka, model, fuzz or valgrind; all, unless one
is named. SOAK_S, 3600: seconds. The soaks get half of them, and so do those of
web requests; WebSockets, and each fuzzer, get a sixth. kafka
is 100 000 messages that must not get lost, KAFKA_MESSAGES= others. From 600 s
on the model checker tries schedules of more preemptions, and all integration
tests run under valgrind, which takes what it takes; below that, those that
`make test` runs there.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.fuzz import heads
from tests.fuzz.test_fuzz import NAMES
from tests.integration.nginx import BUILD, ROOT

from .report import write
from .soak import Result, Soak
from .sockets import SocketSoak
from .web import WebSoak

FOLDER = BUILD / "soak"
PARTS = ("soaks", "web", "sockets", "kafka", "model", "fuzz", "valgrind")
HUP_S, SOCKETS_HUP_S = 10, 30
MESSAGES = "100000"
FUZZERS = {
    **{name: f"test_fuzz.py::test_fuzz[{name}]" for name in NAMES},
    **{
        f"heads-{it}": f"test_heads.py::test_fuzz[{it}]"
        for it in heads.TARGETS
    },
}


def soaks(kind: type[Soak], names: str, seconds: float) -> list[Result]:
    """Both at a time."""
    a, b = names.split()
    both = [
        kind(a, seconds, 0, FOLDER),
        kind(b, seconds, min(HUP_S, seconds / 4), FOLDER),
    ]
    with ThreadPoolExecutor(len(both)) as pool:
        return list(pool.map(Soak.run, both))


def run(name: str, environ: dict[str, str], *command: str) -> tuple[str, bool]:
    """What came of it; its output is in a file."""
    begin = time.monotonic()
    path = FOLDER / f"{name}.log"
    with path.open("wb") as output:
        code = subprocess.run(
            command,
            cwd=ROOT,
            check=False,
            env={**os.environ, **environ},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        ).returncode
    seconds = time.monotonic() - begin
    said = path.read_text(errors="replace").strip().splitlines()
    text = f"status {code} after {seconds:.0f} s: {(said or [''])[-1]}"
    return text, code == 0


def kafka() -> tuple[str, bool]:
    """What the tests count is part of what came of it."""
    text, good = run(
        "kafka",
        {"KAFKA_MESSAGES": os.environ.get("KAFKA_MESSAGES") or MESSAGES},
        *(sys.executable, "-m", "pytest", "-q", "-ra", "-rP"),
        *("--timeout=1800", str(Path("tests") / "kafka" / "test_lossless.py")),
    )
    said = (FOLDER / "kafka.log").read_text(errors="replace")
    counts = re.findall(r"^kafka: (.*)", said, re.MULTILINE)
    return "\n  ".join([text, *counts]), good


def fuzz(seconds: float) -> dict[str, tuple[str, bool]]:
    """As many at a time as there are CPUs."""

    def one(name: str) -> tuple[str, bool]:
        return run(
            f"fuzz-{name}",
            {"FUZZ_S": f"{seconds:.0f}", "FUZZ_SEED": "0"},
            *(sys.executable, "-m", "pytest", "-q", "-ra"),
            f"tests/fuzz/{FUZZERS[name]}",
        )

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(FUZZERS, pool.map(one, FUZZERS), strict=True))


def main(wanted: list[str]) -> int:
    unknown = set(wanted) - set(PARTS)
    if unknown:
        sys.exit(f"no such part: {', '.join(sorted(unknown))}")
    parts = wanted or list(PARTS)
    seconds = float(os.environ.get("SOAK_S") or 3600)
    FOLDER.mkdir(parents=True, exist_ok=True)

    results: list[Result] = []
    others: dict[str, str] = {}
    well = True
    if "soaks" in parts:
        results = soaks(Soak, "a b", seconds / 2)
    if "web" in parts:
        results += soaks(WebSoak, "web web-hup", seconds / 2)
    if "sockets" in parts:
        hup_s = min(SOCKETS_HUP_S, seconds / 24)
        soak = SocketSoak("sockets", seconds / 6, hup_s, FOLDER)
        results.append(soak.run())
    if "kafka" in parts:
        others["kafka"], good = kafka()
        well = well and good
    if "model" in parts:
        others["model"], good = run(
            "model",
            {"MODEL_PREEMPTIONS": "4" if seconds >= 600 else ""},
            *(sys.executable, "-m", "pytest", "-q"),
            *("--timeout=1800", str(Path("tests") / "model")),
        )
        well = well and good
    if "fuzz" in parts:
        for name, (said, good) in fuzz(max(seconds / 6, 1)).items():
            others[f"fuzz {name}"] = said
            well = well and good
    if "valgrind" in parts:
        some = "all" if seconds >= 600 else "1"
        others["valgrind"], good = run(
            "valgrind",
            {"TEST_VALGRIND": some},
            *(sys.executable, "-m", "pytest", "-q", "-ra"),
            *("--timeout=1800", str(Path("tests") / "integration")),
        )
        well = well and good
    text, good = write(FOLDER, results, others)
    print(text)
    return 0 if well and good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
