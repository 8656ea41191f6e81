# SPDX-License-Identifier: BSD-2-Clause
"""When applications start and end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ..client import eventually
from .site import Site


@contextmanager
def running(app: str, tmp_path: Path, uvloop: bool = True) -> Iterator[Site]:
    env = f"python_env FILE {tmp_path}/told; python_env GATE {tmp_path}/gate;"
    with Site(f"lifespans:{app}", http=env, uvloop=uvloop) as site:
        yield site


def told(tmp_path: Path) -> list[str]:
    file = tmp_path / "told"
    return file.read_text().splitlines() if file.exists() else []


@pytest.mark.valgrind
@pytest.mark.parametrize(
    "uvloop", [True, pytest.param(False, marks=pytest.mark.asan)]
)
def test_once_each(tmp_path: Path, uvloop: bool) -> None:
    with running("whole", tmp_path, uvloop) as site:
        for _ in range(3):
            assert site.ask("/").text == "{'word': 'shared'}"
        assert told(tmp_path) == ["startup"]
    assert told(tmp_path) == ["startup", "shutdown", "end"]


def test_again_after_a_reload(tmp_path: Path) -> None:
    with running("whole", tmp_path) as site:
        site.ask("/")
        (old,) = site.worker_pids()
        site.reload()
        site.wait_gone(old)
        assert site.ask("/").text == "{'word': 'shared'}"
    assert sorted(told(tmp_path)) == sorted(["startup", "shutdown", "end"] * 2)


@pytest.mark.parametrize("app", ["does_not_know", "ignores"])
def test_no_lifespan_is_no_error(tmp_path: Path, app: str) -> None:
    with running(app, tmp_path) as site:
        assert site.ask("/").text == "None"
        if app == "does_not_know":
            site.wait_log(
                r"\[info\] .*lifespans:does_not_know: has no lifespan:"
                " AssertionError: http alone"
            )
        assert "[error]" not in site.log()


@pytest.mark.parametrize(
    ("app", "logged"),
    [
        ("startup_fails", "lifespan.startup.failed: no database"),
        ("startup_exits", "SystemExit: no way"),
        ("starlette_fails()", "ValueError: in a lifespan's begin"),
    ],
)
def test_cannot_start(tmp_path: Path, app: str, logged: str) -> None:
    with running(app, tmp_path) as site:
        assert site.ask("/").status == 502
        site.wait_log(rf"lifespans:\w+(\(\))?: LifespanError: .*{logged}")
        if app.startswith("starlette"):
            site.wait_log(r'File ".*lifespans\.py", line \d+, in lifespan\n')
            site.wait_log(
                r"(?m)FFI004: .*: LifespanError: lifespan\.startup\.failed:"
                f" {logged}$"
            )
        assert "never retrieved" not in site.log()
        assert site.ask("/ping").status == 200


@pytest.mark.parametrize(
    ("app", "logged"),
    [
        ("shutdown_fails", "LifespanError: lifespan.shutdown.failed: not cl"),
        ("shutdown_raises", "ValueError: at shutdown"),
        ("starlette_fails_later()", "ValueError: in a lifespan's end"),
    ],
)
def test_cannot_end(tmp_path: Path, app: str, logged: str) -> None:
    with running(app, tmp_path) as site:
        assert site.ask("/").status == 200
        site.quit()
        site.wait()
        lines = [
            line
            for line in site.log().splitlines()
            if "[error]" in line and "lifespans:" in line
        ]
        assert len(lines) == 1, lines
        assert logged in lines[0]


def test_ends_early(tmp_path: Path) -> None:
    with running("ends_early", tmp_path) as site:
        assert site.ask("/").text == "ok"
        site.wait_log("lifespans:ends_early: ValueError: ended early")
    assert told(tmp_path) == ["startup"]


def test_wrong_message_is_no_lifespan(tmp_path: Path) -> None:
    with running("wrong_message", tmp_path) as site:
        assert site.ask("/").text == "ok"
        site.wait_log(r"\[info\] .*'lifespan.wrong' is no message")


def test_requests_wait_for_the_start(tmp_path: Path) -> None:
    with running("slow", tmp_path) as site, site.open("/") as sock:
        assert site.ask("/ping").status == 200
        (tmp_path / "gate").write_text("")
        data = b""
        while not data.endswith(b"0\r\n\r\n"):
            data += sock.recv(1000)
        assert b"at last" in data


def test_state_of_starlette(tmp_path: Path) -> None:
    with running("starlette()", tmp_path) as site:
        assert site.ask("/").text == "of a lifespan"
    assert told(tmp_path) == ["startup", "shutdown"]


def test_two_applications_in_one_worker(tmp_path: Path) -> None:
    server = "location /cases { rewrite ^/cases(.*) $1 break; {pass} }"
    server = server.replace("{pass}", "python_pass cases:app;")
    env = f"python_env FILE {tmp_path}/told;"
    with Site("lifespans:whole", http=env, server=server) as site:
        gate = tmp_path / "gate"
        with site.open(f"/cases/blocks?{gate}") as sock:
            # while the other's loop is blocked
            for _ in range(10):
                assert site.ask("/").text == "{'word': 'shared'}"
            gate.write_text("")
            eventually(lambda: b"went on" in sock.recv(1000))
    assert told(tmp_path) == ["startup", "shutdown", "end"]
