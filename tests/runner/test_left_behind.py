# SPDX-License-Identifier: BSD-2-Clause
"""A suite ends with all of its processes."""

from __future__ import annotations

import re
import signal
import sys

from tests.integration.client import eventually, is_there

from .tree import Tree

# Of its own session, with a child; the parent of both ends at once.
ORPHANS = """
    def test_it():
        script = "echo $$; (exec sleep 1234) & exec sleep 4321"
        subprocess.run(
            ["setsid", "--fork", "sh", "-c", script],
            stdout=Path("pids").open("w"),
        )
        while not Path("pids").read_text():
            time.sleep(0.01)
        {0}
"""


def test_they_are_named_and_killed(tree: Tree) -> None:
    tree.write("one", ORPHANS.format(""))
    tree.write("two", "def test_good(): pass")
    it = tree.run("one", "two")
    assert it.status == 1
    assert it.lines[-1] == "2 passed, 2 failed"
    left = "\n".join(it.of("failed"))
    pattern = r"one has left behind pid (\d+): sleep {}$"
    found = [
        re.search(pattern.format(seconds), left, re.MULTILINE)
        for seconds in (1234, 4321)
    ]
    for match in found:
        assert match, left
        assert not is_there(int(match[1]))
    assert "two has left" not in it.output


def test_those_of_a_second_run(tree: Tree) -> None:
    tree.write("one", ORPHANS.format("assert say('it') > 1"))
    it = tree.run("one")
    assert it.status == 1
    assert it.of("flaky") == ["one: tests/one/test_it.py::test_it"]
    # of each run
    assert it.lines[-1] == "1 passed, 4 failed"


def test_they_may_take_a_while_to_end(tree: Tree) -> None:
    tree.write("one", "def test_it(): subprocess.Popen(['sleep', '1'])")
    assert tree.run("one").lines[-1] == "1 passed, 0 failed"


def test_orphans_that_end_are_reaped(tree: Tree) -> None:
    tree.write(
        "one",
        """
        def test_it():
            script = "sleep 0 & echo $!"
            pid = subprocess.check_output(["sh", "-c", script], text=True)
            end = time.monotonic() + 10
            while Path("/proc", pid.strip()).exists():
                assert time.monotonic() < end
        """,
    )
    assert tree.run("one").lines[-1] == "1 passed, 0 failed"


def test_a_run_that_is_ended_ends_all(tree: Tree) -> None:
    tree.write("one", ORPHANS.format("time.sleep(1000)"))
    command = (sys.executable, "scripts/test.py", "one")
    with tree.popen(*command) as process:
        path = tree.root / "pids"
        eventually(lambda: path.exists() and path.read_text(), "it runs")
        process.send_signal(signal.SIGTERM)
        process.communicate()
    assert process.returncode == 143
    assert not is_there(int(path.read_text()))
