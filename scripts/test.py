"""Builds and runs the tests; ends with `N passed, N failed`.

usage: test.py [SUITE ...]

A suite is lint, unit (plain, asan and tsan are its parts), loader (under
TSan), a folder of tests/ that pytest runs (model: the bridge in all
schedules), or valgrind or nginx-asan: those of the integration tests that are
marked for it, with nginx under valgrind, or with the C parts built for ASan
and UBSan.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build"
REPORTS = BUILD / "test"
UNIT_BUILDS = ("plain", "asan", "tsan")
# The integration tests again; what each adds to the environment.
CHECKERS = {
    "valgrind": {"TEST_VALGRIND": "1"},
    "nginx-asan": {"TEST_ASAN": "1", "BUILD_DIR": "build/asan"},
}
UNIT_TIMEOUT = 300
# ThreadSanitizer's shadow does not fit a wide address space randomisation.
TSAN_PREFIX = ["setarch", "-R"]
UNIT_PREFIX = {"tsan": TSAN_PREFIX, "loader": TSAN_PREFIX}
UNIT_ENV = {
    "ASAN_OPTIONS": "detect_leaks=1:detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1",
    "CMOCKA_MESSAGE_OUTPUT": "TAP",
}
LOADER = BUILD / "loader" / "test_loader"
LOADER_ENV = {
    "PYTHONPATH": f"{ROOT}:{ROOT / 'tests' / 'loader'}",
    "VIRTUAL_ENV": str(BUILD / "venv"),
    # each object's memory is its own then, and its end is seen
    "PYTHONMALLOC": "malloc",
    "TSAN_OPTIONS": "halt_on_error=1"
    f":suppressions={ROOT / 'tests' / 'loader' / 'tsan.supp'}",
}


class Count:
    passed = 0
    failed = 0
    skipped = 0

    def add(self, name: str, passed: int, failed: int) -> None:
        self.passed += passed
        self.failed += failed
        print(f"{name}: {passed} passed, {failed} failed", flush=True)


def make(*targets: str) -> bool:
    command = ["make", "-s", f"-j{os.cpu_count()}", *targets]
    environ = {k: v for k, v in os.environ.items() if k != "MAKEFLAGS"}
    done = subprocess.run(command, cwd=ROOT, env=environ, check=False)
    return done.returncode == 0


def run_unit(
    kind: str,
    program: Path,
    count: Count,
    environ: Mapping[str, str] = UNIT_ENV,
) -> None:
    command = [*UNIT_PREFIX.get(kind, []), str(program)]
    try:
        done = subprocess.run(
            command,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environ},
            timeout=UNIT_TIMEOUT,
        )
        status, output = done.returncode, done.stdout
    except subprocess.TimeoutExpired as error:
        status, output = -1, (error.stdout or b"") + b"\ntimed out"
    text = output.decode(errors="replace")
    lines = text.splitlines()
    skipped = sum("# SKIP" in line for line in lines)
    passed = sum(line.startswith("ok ") for line in lines) - skipped
    failed = sum(line.startswith("not ok ") for line in lines)
    if failed == 0 and (status != 0 or passed == 0):
        failed = 1
    if failed:
        print(text)
    count.skipped += skipped
    count.add(f"{kind}/{program.name}", passed, failed)


def unit(kinds: list[str], count: Count) -> None:
    names = sorted(path.stem for path in ROOT.glob("tests/unit/test_*.c"))
    programs = [(k, BUILD / "unit" / k / n) for k in kinds for n in names]
    paths = [str(path.relative_to(ROOT)) for _, path in programs]
    if not make(*paths):
        count.add("build of the unit tests", 0, 1)
        return
    for kind, program in programs:
        run_unit(kind, program, count)


def loader(count: Count) -> None:
    if make(str(LOADER.relative_to(ROOT)), "build/venv/test"):
        run_unit("loader", LOADER, count, {**UNIT_ENV, **LOADER_ENV})
    else:
        count.add("build of the loader's test", 0, 1)


def python(suite: str, count: Count) -> None:
    report = REPORTS / f"{suite}.xml"
    folder = "integration" if suite in CHECKERS else suite
    environ = {**os.environ, **CHECKERS.get(suite, {})}
    command = [
        *(str(BUILD / "venv" / "bin" / "python"), "-m", "pytest"),
        *("-q", "-ra", f"--junitxml={report}", f"tests/{folder}"),
    ]
    status = subprocess.run(
        command, cwd=ROOT, env=environ, check=False, stdin=subprocess.DEVNULL
    ).returncode
    passed = failed = 0
    if report.exists():
        for case in ET.parse(report).iter("testcase"):
            results = {child.tag for child in case}
            if results & {"failure", "error"}:
                failed += 1
            elif "skipped" in results:
                count.skipped += 1
            else:
                passed += 1
    if status != 0 and failed == 0:
        failed = 1
    count.add(suite, passed, failed)


def python_suites() -> list[str]:
    return sorted(
        folder.name
        for folder in (ROOT / "tests").iterdir()
        if any(folder.glob("test_*.py"))
    )


def main(wanted: list[str]) -> int:
    suites = ["lint", *UNIT_BUILDS, "loader", *python_suites(), *CHECKERS]
    if "unit" in wanted:
        wanted = [*UNIT_BUILDS, *(name for name in wanted if name != "unit")]
    unknown = set(wanted) - set(suites)
    if unknown:
        sys.exit(f"no such suite: {', '.join(sorted(unknown))}")
    chosen = wanted or suites

    shutil.rmtree(REPORTS, ignore_errors=True)
    REPORTS.mkdir(parents=True)
    count = Count()
    kinds = [name for name in UNIT_BUILDS if name in chosen]
    if kinds:
        unit(kinds, count)
    if "loader" in chosen:
        loader(count)
    if "lint" in chosen:
        well = make("lint")
        count.add("lint", int(well), int(not well))
    own = {*UNIT_BUILDS, "loader", "lint"}
    others = [name for name in chosen if name not in own]
    if others:
        if make("all", "build/venv/test") and (
            "nginx-asan" not in others or make("asan")
        ):
            for suite in others:
                python(suite, count)
        else:
            count.add("build", 0, 1)

    if count.skipped:
        print(f"{count.skipped} skipped")
    print(f"{count.passed} passed, {count.failed} failed", flush=True)
    return 1 if count.failed or not count.passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
