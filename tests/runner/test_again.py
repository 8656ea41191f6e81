# SPDX-License-Identifier: BSD-2-Clause
"""What fails is run again once, alone, at the end."""

from __future__ import annotations

import pytest

from .tree import Tree

FAILS_ONCE = """
    def test_{0}():
        assert say("{0}") > 1, "not yet"
"""
CHECKER_REPORTS = (
    "==7== Invalid read of size 8",
    "==7==ERROR: AddressSanitizer: heap-use-after-free on address 0x6",
    "WARNING: ThreadSanitizer: data race (pid=7)",
    "src/bridge/queue.c:7:12: runtime error: signed integer overflow",
)


def test_all_is_well(tree: Tree) -> None:
    tree.write("one", "def test_good(): say('good')")
    tree.write("two", "def test_good(): pass\ndef test_not(): pytest.skip()")
    it = tree.run("one", "two")
    assert it.status == 0
    assert it.lines[-2:] == ["1 skipped", "2 passed, 0 failed"]
    assert tree.said() == ["good"]


def test_one_that_passes_then_is_flaky(tree: Tree) -> None:
    tree.write("one", FAILS_ONCE.format("unsteady"))
    it = tree.run("one")
    assert it.status == 0
    assert it.lines[-2:] == [
        "flaky: one: tests/one/test_it.py::test_unsteady",
        "1 passed, 0 failed",
    ]
    _, logs = it.output.split("==== the first log of one: ")
    first, second = logs.split("test_unsteady, again:")
    assert "AssertionError: not yet" in first
    assert "unsteady is said" in first
    assert "unsteady is said" in second
    assert "1 passed" in second


def test_one_that_fails_twice_fails_the_run(tree: Tree) -> None:
    tree.write("one", "def test_bad(): assert say('bad') > 2")
    it = tree.run("one")
    assert it.status == 1
    assert it.lines[-2:] == [
        "failed: one: tests/one/test_it.py::test_bad",
        "0 passed, 1 failed",
    ]
    assert tree.said() == ["bad"] * 2


def test_alone_and_at_the_end(tree: Tree) -> None:
    good = "    def test_good(): say('good')\n"
    tree.write("one", FAILS_ONCE.format("unsteady") + good)
    tree.write("two", "def test_late(): say('late')")
    it = tree.run("one", "two")
    assert it.lines[-1] == "3 passed, 0 failed"
    assert tree.said() == ["unsteady", "good", "late", "unsteady"]


@pytest.mark.parametrize(("count", "status"), [(2, 0), (3, 1)])
def test_three_flaky_ones_fail_the_run(
    tree: Tree, count: int, status: int
) -> None:
    names = [f"unsteady_{i}" for i in range(count)]
    tree.write("one", "".join(FAILS_ONCE.format(name) for name in names))
    tree.write("two", "def test_good(): pass")
    it = tree.run("one", "two")
    assert it.status == status
    assert it.of("flaky") == [
        f"one: tests/one/test_it.py::test_{name}" for name in names
    ]
    passed = 1 if status else 1 + count
    assert it.lines[-1] == f"{passed} passed, {count * status} failed"


def test_a_mark_forbids_it(tree: Tree) -> None:
    tree.write("one", "    @pytest.mark.once" + FAILS_ONCE.format("lost"))
    it = tree.run("one")
    assert it.status == 1
    assert it.of("failed") == ["one: tests/one/test_it.py::test_lost"]
    assert it.lines[-1] == "0 passed, 1 failed"
    assert tree.said() == ["lost"]


@pytest.mark.parametrize("report", CHECKER_REPORTS)
def test_a_report_of_a_checker_forbids_it(tree: Tree, report: str) -> None:
    tree.write(
        "one",
        f"""
        TEXT = "checker.7:" + chr(10) + {report!r}

        def test_raised():
            raise AssertionError(TEXT)

        def test_printed():
            print(TEXT)
            assert say("printed") > 1

        def test_in_a_group():
            raise AssertionError(TEXT.replace(chr(10), chr(10) + "  | "))
        """,
    )
    it = tree.run("one")
    assert it.lines[-1] == "0 passed, 3 failed"
    assert "again" not in it.output


def test_fixtures_that_fail_once(tree: Tree) -> None:
    """Before the test, and behind one that has failed, too."""
    tree.write(
        "one",
        """
        @pytest.fixture
        def before():
            assert say("before") > 1

        @pytest.fixture
        def behind():
            yield
            assert say("behind") > 1

        def test_before(before):
            pass

        def test_behind(behind):
            assert say("test") > 1
        """,
    )
    it = tree.run("one")
    assert it.of("flaky") == [
        "one: tests/one/test_it.py::test_before",
        "one: tests/one/test_it.py::test_behind",
    ]
    assert it.lines[-1] == "2 passed, 0 failed"


def test_one_that_is_skipped_then_has_not_passed(tree: Tree) -> None:
    tree.write(
        "one",
        """
        def test_it():
            if say("it") > 1:
                pytest.skip()
            pytest.fail()
        """,
    )
    assert tree.run("one").lines[-1] == "0 passed, 1 failed"


def test_any_name(tree: Tree) -> None:
    tree.write(
        "one",
        """
        @pytest.mark.parametrize("text", ["a::b[c] d", "é\\n", "-x"])
        def test_it(text):
            assert say("it") > 3
        """,
    )
    it = tree.run("one")
    assert len(it.of("flaky")) == 3
    assert it.lines[-1] == "0 passed, 3 failed"


def test_very_many_are_not_run_again(tree: Tree) -> None:
    tree.write(
        "one",
        """
        @pytest.mark.parametrize("i", range(11))
        def test_it(i):
            assert say("it") > 11
        """,
    )
    it = tree.run("one")
    assert "11 failed: none is run again" in it.lines
    assert it.lines[-1] == "0 passed, 11 failed"
    assert len(tree.said()) == 11


def test_what_is_no_test_is_not_run_again(tree: Tree) -> None:
    tree.write("one", "raise ImportError(say('import'))")
    tree.write("two", "def test_it(): os._exit(7)")
    tree.write("three", "def test_it(): pytest.exit('enough')")
    tree.write("four", "def test_it(): assert say('four') > 1", "test_a.py")
    tree.write("four", "def test_it(): pytest.exit('enough')", "test_b.py")
    it = tree.run("one", "two", "three", "four")
    assert it.status == 1
    assert it.of("failed") == [
        "four: pytest ended with status 2",
        "one: tests.one.test_it",
        "three: pytest ended with status 2",
        "two: pytest ended with status 7",
    ]
    assert it.of("flaky") == ["four: tests/four/test_a.py::test_it"]
    assert tree.said() == ["four", "import", "four"]


def test_c_programs(tree: Tree) -> None:
    tree.write(
        "unit",
        """\
        #!/bin/sh
        echo "$0" >>said
        echo "ok 1 - test_good"
        case $(grep -c "$0" said) in
            1) echo "not ok 2 - test_unsteady"; exit 1 ;;
            *) echo "ok 2 - test_unsteady" ;;
        esac
        """,
        "test_some.c",
    )
    it = tree.run("unit")
    assert it.of("flaky") == ["plain/test_some: not ok 2 - test_unsteady"]
    # their sanitizers would say no more
    assert it.of("failed") == [
        "asan/test_some: not ok 2 - test_unsteady",
        "tsan/test_some: not ok 2 - test_unsteady",
    ]
    assert it.lines[-1] == "4 passed, 2 failed"


def test_the_last_line_of_ci(tree: Tree) -> None:
    tree.write("one", "def test_bad(): assert False")
    process = tree.popen(".ci/run", SUITES="one")
    output, _ = process.communicate()
    assert process.returncode
    assert output.splitlines()[-1] == "0 passed, 1 failed"


def test_an_unknown_suite(tree: Tree) -> None:
    with tree.popen("make", "test", "SUITES=none") as process:
        output, _ = process.communicate()
    assert process.returncode
    assert "no such suite: none" in output
