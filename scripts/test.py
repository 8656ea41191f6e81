# SPDX-License-Identifier: BSD-2-Clause
"""Builds and runs the tests; ends with `N passed, N failed`.

usage: test.py [SUITE ...]

A suite is lint, unit (plain, asan and tsan are its parts), loader (under
TSan), a folder of tests/ that pytest runs (model: the bridge in all
schedules), or valgrind or nginx-asan: those of the integration tests that are
marked for it, with nginx under valgrind, or with the C parts built for ASan
and UBSan.

A test that fails is run again once, alone, after all suites. If it passes
then it is flaky: the lines before the last name it, and three of them fail
the run. Never run again is what no second run makes good: a report of a
sanitizer or of valgrind, and a test that is marked `once`.

No suite leaves a process behind: one that does fails the run, which names
the process, and kills it.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build"
REPORTS = BUILD / "test"
UNIT_BUILDS = ("plain", "asan", "tsan")
# The integration tests again; what each adds to the environment.
CHECKERS = {
    "valgrind": {"TEST_VALGRIND": "1"},
    "nginx-asan": {"TEST_ASAN": "1", "BUILD_DIR": "build/asan"},
}
# Of these several files run at a time, or several tests: they would leave
# cores idle. Twice as many where tests wait for most of their time. Each
# worker of Kafka's has a broker of its own.
CORES = len(os.sched_getaffinity(0))
FILES = ("-n", str(CORES), "--dist", "loadfile")
TESTS = ("-n", str(CORES), "--dist", "load")
MORE_FILES = ("-n", str(2 * CORES), "--dist", "loadfile")
PARALLEL = {
    "fuzz": TESTS,
    "integration": MORE_FILES,
    "kafka": ("-n", "2", "--dist", "loadfile"),
    "model": TESTS,
    "nginx-asan": MORE_FILES,
    "python": FILES,
    "valgrind": FILES,
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
# It counts what has been lost.
UNIT_ONCE = ("test_stress",)
LOADER = BUILD / "loader" / "test_loader"
LOADER_ENV = {
    "PYTHONPATH": f"{ROOT / 'python'}:{ROOT / 'tests' / 'loader'}",
    "VIRTUAL_ENV": str(BUILD / "venv"),
    # each object's memory is its own then, and its end is seen
    "PYTHONMALLOC": "malloc",
    "TSAN_OPTIONS": "halt_on_error=1"
    f":suppressions={ROOT / 'tests' / 'loader' / 'tsan.supp'}",
}
# In the log of a test: what a sanitizer or valgrind has found.
CHECKER_REPORT = re.compile(
    r"(?:Address|Leak|Thread|UndefinedBehavior)Sanitizer"
    r"|\.[ch]:\d+:\d+: runtime error:|==\d+== ",
    re.MULTILINE,
)
FLAKY_FAIL = 3
# More failures than that have one cause, and take long to run again.
MOST_AGAIN = 10
# Seconds for processes that are about to end.
GRACE = 5.0
PR_SET_CHILD_SUBREAPER = 36


@dataclass
class Failure:
    name: str
    log: str = ""
    # whether it passes now; None: never run again
    again: Callable[[], bool] | None = None


@dataclass
class Result:
    passed: int = 0
    skipped: int = 0
    failures: list[Failure] = field(default_factory=list)


@dataclass
class Total(Result):
    flaky: list[Failure] = field(default_factory=list)

    def add(self, name: str, result: Result) -> None:
        self.passed += result.passed
        self.skipped += result.skipped
        self.failures += result.failures
        failed = len(result.failures)
        print(f"{name}: {result.passed} passed, {failed} failed", flush=True)

    def add_left_behind(self, by: str) -> None:
        for process in left_behind():
            failure = Failure(f"{by} has left behind {process}")
            self.failures.append(failure)
            print(failure.name, flush=True)

    def again(self) -> None:
        """Each that may be, alone."""
        if len(self.failures) > MOST_AGAIN:
            print(f"{len(self.failures)} failed: none is run again")
            return
        for failure in list(self.failures):
            if not failure.again:
                continue
            print(f"\n==== the first log of {failure.name}:\n{failure.log}")
            print(f"\n==== {failure.name}, again:", flush=True)
            if failure.again():
                self.failures.remove(failure)
                self.flaky.append(failure)
            self.add_left_behind(f"{failure.name}, run again,")

    def end(self) -> int:
        """The last lines, and the exit status."""
        passed, failed = self.passed, len(self.failures)
        if self.skipped:
            print(f"{self.skipped} skipped")
        for failure in self.failures:
            print(f"failed: {failure.name}")
        for failure in self.flaky:
            print(f"flaky: {failure.name}")
        if len(self.flaky) < FLAKY_FAIL:
            passed += len(self.flaky)
        else:
            print(f"{len(self.flaky)} are flaky: that is a failure")
            failed += len(self.flaky)
        print(f"{passed} passed, {failed} failed", flush=True)
        return 1 if failed or not passed else 0


# ---- processes


def adopt_orphans() -> None:
    """Descendants whose parent ends become children of this process."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def run(
    command: list[str],
    environ: Mapping[str, str] | None = None,
    output: IO[bytes] | None = None,
) -> int:
    """Its exit status. Orphans that end meanwhile are reaped."""
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **(environ or {})},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output and subprocess.STDOUT,
    )
    while process.returncode is None:
        pid, status = os.wait()
        if pid == process.pid:
            process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode


def children() -> dict[int, str]:
    """Command lines of those that have not ended, by their pids."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        # it may end meanwhile
        with contextlib.suppress(OSError):
            stat = (process / "stat").read_text(errors="replace")
            state, parent = stat.rpartition(")")[2].split()[:2]
            if int(parent) == os.getpid() and state != "Z":
                line = (process / "cmdline").read_text(errors="replace")
                words = line.replace("\0", " ").split()
                found[int(process.name)] = " ".join(words)[:200]
    return found


def left_behind() -> list[str]:
    """What has not ended after a while; it is killed."""
    begin = time.monotonic()
    found: dict[int, str] = {}
    while left := children():
        seconds = time.monotonic() - begin
        if seconds > 2 * GRACE:
            break
        if seconds > GRACE:
            found.update(left)
            for pid in left:
                # its children come to this process
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
    return [f"pid {pid}: {line}" for pid, line in found.items()]


# ---- suites


def make(*targets: str) -> bool:
    return run(["make", "-s", f"-j{os.cpu_count()}", *targets]) == 0


def not_built(suite: str) -> Result:
    return Result(failures=[Failure(f"{suite}: the build")])


def run_unit(
    kind: str, program: Path, environ: Mapping[str, str] = UNIT_ENV
) -> Result:
    path = REPORTS / f"{kind}-{program.name}.log"
    command = ["timeout", "--kill-after=5", str(UNIT_TIMEOUT)]
    command += [*UNIT_PREFIX.get(kind, []), str(program)]
    with path.open("wb") as output:
        status = run(command, environ, output)
    text = path.read_text(errors="replace")
    lines = text.splitlines()
    skipped = sum("# SKIP" in line for line in lines)
    passed = sum(line.startswith("ok ") for line in lines) - skipped
    again = None
    if kind == "plain" and program.name not in UNIT_ONCE:
        again = functools.partial(unit_passes, kind, program)
    name = f"{kind}/{program.name}"
    failures = [
        Failure(f"{name}: {line}", text, again)
        for line in lines
        if line.startswith("not ok ")
    ]
    if not failures and (status != 0 or passed == 0):
        failures = [Failure(f"{name} ended with status {status}")]
    if failures:
        print(text)
    return Result(passed, skipped, failures)


def unit_passes(kind: str, program: Path) -> bool:
    return not run_unit(kind, program).failures


def unit(kind: str) -> Iterator[tuple[str, Result]]:
    names = sorted(path.stem for path in ROOT.glob("tests/unit/test_*.c"))
    programs = [BUILD / "unit" / kind / name for name in names]
    if make(*(str(program.relative_to(ROOT)) for program in programs)):
        for program in programs:
            yield f"{kind}/{program.name}", run_unit(kind, program)
    else:
        yield kind, not_built(kind)


def loader() -> Iterator[tuple[str, Result]]:
    if make(str(LOADER.relative_to(ROOT)), "build/venv/test"):
        environ = {**UNIT_ENV, **LOADER_ENV}
        yield f"loader/{LOADER.name}", run_unit("loader", LOADER, environ)
    else:
        yield "loader", not_built("loader")


def lint() -> Iterator[tuple[str, Result]]:
    if make("lint"):
        yield "lint", Result(passed=1)
    else:
        yield "lint", Result(failures=[Failure("lint")])


@functools.cache
def built(*targets: str) -> bool:
    """Says only once what is wrong."""
    return make(*targets)


def python(suite: str) -> Iterator[tuple[str, Result]]:
    folder = "integration" if suite in CHECKERS else suite
    well = built("all", "build/venv/test")
    if suite == "nginx-asan":
        well = well and built("asan")
    if well:
        yield suite, run_pytest(suite, f"tests/{folder}", "-ra", suite)
    else:
        yield suite, not_built(suite)


def run_pytest(suite: str, what: str, show: str, name: str) -> Result:
    report = REPORTS / f"{name}.xml"
    report.unlink(missing_ok=True)
    command = [
        *(str(BUILD / "venv" / "bin" / "python"), "-m", "pytest", "-q"),
        *(f"--junitxml={report}", "-o", "junit_logging=out-err"),
        *("-o", "junit_log_passing_tests=false", show, what),
        *PARALLEL.get(suite, ()),
    ]
    status = run(command, CHECKERS.get(suite))
    result = read_report(suite, report) if report.exists() else Result()
    usual = 1 if result.failures else 0
    if status != usual and all(it.again for it in result.failures):
        text = f"{suite}: pytest ended with status {status}"
        result.failures.append(Failure(text))
    return result


def read_report(suite: str, report: Path) -> Result:
    result = Result()
    logs: dict[str, str] = {}
    once = set()
    for case in ET.parse(report).iter("testcase"):
        results = {child.tag for child in case}
        if "skipped" in results:
            result.skipped += 1
        elif not results & {"failure", "error"}:
            result.passed += 1
        else:
            # tests/conftest.py has put them there, but for what is no test
            properties = {
                it.get("name"): it.get("value") for it in case.iter("property")
            }
            name = properties.get("nodeid") or case.get("name") or ""
            if "nodeid" not in properties or "once" in properties:
                once.add(name)
            # the test and its teardown may both have failed
            texts = (child.text or "" for child in case)
            logs[name] = "\n".join((logs.get(name, ""), *texts)).strip()
    for name, log in logs.items():
        again = None
        if name not in once and not CHECKER_REPORT.search(log):
            again = functools.partial(passes, suite, name)
        result.failures.append(Failure(f"{suite}: {name}", log, again))
    return result


def passes(suite: str, nodeid: str) -> bool:
    result = run_pytest(suite, nodeid, "-rA", f"{suite}-again")
    return result.passed > 0 and not result.failures


def suites() -> dict[str, Callable[[], Iterator[tuple[str, Result]]]]:
    """All, in the order in which they run."""
    folders = sorted(
        folder.name
        for folder in (ROOT / "tests").iterdir()
        if any(folder.glob("test_*.py"))
    )
    return {
        **{kind: functools.partial(unit, kind) for kind in UNIT_BUILDS},
        "loader": loader,
        "lint": lint,
        **{
            name: functools.partial(python, name)
            for name in (*folders, *CHECKERS)
        },
    }


def main(wanted: list[str]) -> int:
    known = suites()
    if "unit" in wanted:
        wanted = [*UNIT_BUILDS, *(name for name in wanted if name != "unit")]
    unknown = set(wanted) - set(known)
    if unknown:
        sys.exit(f"no such suite: {', '.join(sorted(unknown))}")

    shutil.rmtree(REPORTS, ignore_errors=True)
    REPORTS.mkdir(parents=True)
    os.environ.pop("MAKEFLAGS", None)
    adopt_orphans()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    total = Total()
    try:
        for suite, run_suite in known.items():
            if not wanted or suite in wanted:
                for name, result in run_suite():
                    total.add(name, result)
                total.add_left_behind(suite)
        total.again()
    finally:
        left_behind()
    return total.end()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
