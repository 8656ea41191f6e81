# SPDX-License-Identifier: BSD-2-Clause
"""What may watch nginx's memory: TEST_VALGRIND=1, or TEST_ASAN=1.

TEST_VALGRIND=all is for hours: all tests, and not those that are marked. The
other takes what `make asan` has built, which BUILD_DIR then names.
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMPILER = os.environ.get("CC", "cc").split()

VALGRIND = bool(os.environ.get("TEST_VALGRIND"))
ASAN = bool(os.environ.get("TEST_ASAN"))
CHECKED = VALGRIND or ASAN

ALL = not CHECKED or os.environ.get("TEST_VALGRIND") == "all"

# How much longer things may take.
SLOWNESS = 8 if VALGRIND else 3 if ASAN else 1

# For C runtimes of the tests' own.
CFLAGS = ["-fsanitize=address"] if ASAN else []


def command(prefix: Path) -> list[str]:
    """What stands before nginx's own command."""
    if not VALGRIND:
        return []
    return [
        *(refuse(), "unshare", "valgrind"),
        "--quiet",
        "--num-callers=30",
        f"--suppressions={ROOT}/tests/valgrind.supp",
        f"--log-file={prefix}/checker.%p",
    ]


def environ(prefix: Path) -> dict[str, str]:
    """What nginx needs to be checked, and Python's objects with it.

    Python's memory lives as long as the process: leaks are not looked for.
    Each runtime exports the same names: that is no violation.
    """
    settings = {}
    if CHECKED:
        settings["PYTHONMALLOC"] = "malloc"
    if ASAN:
        settings["LD_PRELOAD"] = _library()
        settings["ASAN_OPTIONS"] = (
            f"log_path={prefix}/checker:detect_leaks=0:abort_on_error=1"
            ":detect_stack_use_after_return=1:detect_odr_violation=0"
            # it would free that of faulthandler, at the end of a thread
            ":use_sigaltstack=0"
        )
        settings["UBSAN_OPTIONS"] = "print_stacktrace=1"
    return settings


def reports(prefix: Path) -> str:
    """What has been found; empty where all is well."""
    return "".join(
        f"{path.name}:\n{text[:8000]}"
        for path in sorted(prefix.glob("checker.*"))
        if (text := path.read_text(errors="replace"))
    )


@functools.cache
def refuse() -> str:
    """c/refuse.c. valgrind looks up descriptors in the process's table, so
    threads that have one of their own would have it read wrong files."""
    source = Path(__file__).resolve().parent / "c" / "refuse.c"
    program = Path(tempfile.mkdtemp(prefix="refuse-")) / "refuse"
    atexit.register(shutil.rmtree, program.parent, ignore_errors=True)
    subprocess.run(
        [*COMPILER, "-Wall", "-Werror", "-o", program, source], check=True
    )
    return str(program)


@functools.cache
def _library() -> str:
    done = subprocess.run(
        [*COMPILER, "-print-file-name=libasan.so"],
        capture_output=True,
        text=True,
        check=True,
    )
    return str(Path(done.stdout.strip()).resolve())
