# SPDX-License-Identifier: BSD-2-Clause
"""Handlers that misbehave: their callers hear of it, and all else goes on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..client import eventually
from ..conftest import NewNginx
from ..nginx import Nginx
from .calls import SETTINGS, call, load, loaded, unload


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("notes") / "notes"
    path.write_text("")
    return path


@pytest.fixture(scope="module")
def server(new_nginx: NewNginx, notes: Path) -> Iterator[Nginx]:
    with new_nginx(environ={"NOTES": str(notes)}, **SETTINGS) as nginx:
        yield nginx


def let_go(nginx: Nginx) -> None:
    """Ends what hangs."""
    nginx.python("import bad; bad.never.set()")
    nginx.python("import bad, threading; bad.never = threading.Event()")


def others_go_on(nginx: Nginx) -> None:
    for cfg in ("bad,echo", "bad,Init", "bad,InitAsync"):
        assert call(nginx, cfg, "x", method="plain") == [True, "x"]
    assert nginx.python("result = 42") == "42"


# name, what it hangs in, what comes behind it is answered
HANGS = [
    ("hangs", "sleep", False),
    ("hangs", "busy", False),
    ("hangs_pooled", "sleep", True),
    ("hangs_pooled", "busy", True),
    ("blocks_the_loop", "sleep", False),
    ("blocks_the_loop", "busy", False),
    ("hangs_async", "sleep", True),
]


@pytest.mark.parametrize(("name", "what", "goes_on"), HANGS)
def test_a_handler_that_never_returns(
    nginx: Nginx, name: str, what: str, goes_on: bool
) -> None:
    since = len(nginx.log())
    cfg = f"bad,{name},{what}"
    assert call(nginx, cfg, "x") == [True, "x"]
    # the line names a thread once that has taken the call
    assert call(nginx, cfg, what, timeout=300) == [False, "timeout"]
    nginx.wait_log(
        rf'\[error\] .*"bad\.{name}".*thread \d+ "[^"]*{name[:6]}', since
    )
    others_go_on(nginx)
    behind = [True, "x"] if goes_on else [False, "timeout"]
    patience = 10_000 if goes_on else 200
    assert call(nginx, cfg, "x", timeout=patience) == behind
    let_go(nginx)
    assert call(nginx, cfg, "x") == [True, "x"]


def test_a_deadlock(nginx: Nginx) -> None:
    """For ever: its thread stays, also when the worker leaves."""
    cfg = "bad,hangs,deadlock"
    assert call(nginx, cfg, "locked", timeout=100) == [False, "timeout"]
    others_go_on(nginx)
    unload(nginx, cfg)
    assert call(nginx, cfg, "x") == [True, "x"]


@pytest.mark.parametrize("name", ["deletes_itself", "deletes_itself_async"])
def test_a_handler_that_deletes_itself(nginx: Nginx, name: str) -> None:
    cfg = f"bad,{name}"
    for _ in range(3):
        nginx.python("import gc; gc.collect()")
        assert call(nginx, cfg, "x") == [True, "x"]
    unload(nginx, cfg)
    err = load(nginx, cfg)
    assert err is not None
    assert err.startswith("ffi_python3: bad: AttributeError: ")


def test_a_method_that_deletes_itself(nginx: Nginx) -> None:
    for _ in range(3):
        nginx.python("import gc; gc.collect()")
        assert call(nginx, "bad,DeletesItself", "x", method="plain") == [
            True,
            "x",
        ]


def test_a_module_that_is_taken_away(nginx: Nginx) -> None:
    nginx.write_python(
        "away.py",
        "import sys\n"
        "from resty_ffi import serve\n"
        "@serve\n"
        "def handler(request):\n"
        "    sys.modules.pop('away', None)\n"
        "    names = sorted(globals())\n"
        "    globals().clear()\n"
        "    return str(len(names))\n",
    )
    assert call(nginx, "away,handler")[0] is True
    for _ in range(3):
        assert call(nginx, "away,handler")[:2] == [False, 1]


def test_threads_that_are_no_daemons(new_nginx: NewNginx, notes: Path) -> None:
    """The worker leaves all the same; check() and quit() do the rest."""
    with new_nginx(environ={"NOTES": str(notes)}, **SETTINGS) as nginx:
        assert call(nginx, "bad,starts_threads", "x") == [True, "x"]
        assert call(nginx, "bad,starts_threads", "y") == [True, "y"]
        nginx.check()
        worker = nginx.worker()
        nginx.quit()
        nginx.wait()
        assert not Path(f"/proc/{worker}").exists()


@pytest.mark.parametrize("what", ["return", "raise", "exit"])
@pytest.mark.parametrize(
    "name", ["forks", "forks_pooled", "forks_async", "forks_and_goes_on"]
)
def test_a_child(nginx: Nginx, name: str, what: str) -> None:
    """It cannot answer, ends by itself, and harms nobody."""
    cfg = f"bad,{name}"
    for _ in range(2):
        assert call(nginx, cfg, what, timeout=30_000) == [
            True,
            "the child has ended",
        ]
    others_go_on(nginx)
    unload(nginx, cfg)


def test_processes_of_multiprocessing(nginx: Nginx) -> None:
    assert call(nginx, "bad,multiprocess") == [True, "[1, 2, 3]"]


INIT = ["Init", "InitAsync"]


@pytest.mark.parametrize("name", INIT)
@pytest.mark.parametrize(
    ("config", "text"),
    [("raise", "ValueError: not today"), ("exit", "SystemExit: 3")],
)
def test_init_raises(nginx: Nginx, name: str, config: str, text: str) -> None:
    since = len(nginx.log())
    for _ in range(2):
        assert load(nginx, f"bad,{name},{config}") == (
            f"ffi_python3: bad.{name}: {text}"
        )
    nginx.wait_log(rf"\[error\] .*bad\.{name}: {text}", since)
    nginx.wait_log(r'File ".*bad\.py", line \d+, in __init__', since)
    others_go_on(nginx)


@pytest.mark.parametrize("name", INIT)
@pytest.mark.parametrize("config", ["hang", "busy"])
def test_init_hangs(nginx: Nginx, name: str, config: str) -> None:
    cfg = f"bad,{name},{config}"
    for _ in range(2):
        assert load(nginx, cfg, uri="/hasty") == "timeout"
    others_go_on(nginx)
    let_go(nginx)
    assert load(nginx, cfg) is None
    assert call(nginx, cfg, "x", method="plain", timeout=5000) == [True, "x"]


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("NoConfig", "TypeError"),
        ("TwoArguments", "TypeError"),
        ("NoMethods", "TypeError: NoMethods has no public method to call"),
    ],
)
def test_classes_that_cannot_be_served(
    nginx: Nginx, name: str, error: str
) -> None:
    err = load(nginx, f"bad,{name}")
    assert err is not None
    assert err.startswith(f"ffi_python3: bad.{name}: {error}")


@pytest.mark.parametrize(
    ("cfg", "method"),
    [
        ("bad,MethodsOfNoArguments", "plain"),
        ("bad,MethodsOfNoArguments", "slow"),
        ("bad,two_arguments", "any"),
    ],
)
def test_handlers_of_other_arguments(
    nginx: Nginx, cfg: str, method: str
) -> None:
    ok, rc, text = call(nginx, cfg, "x", method=method)
    assert (ok, rc) == (False, 1)
    assert text.startswith("TypeError: ")


CLOSE = ["Close", "ClosePooled", "CloseAsync", "CloseMixed"]


@pytest.mark.parametrize("name", CLOSE)
@pytest.mark.parametrize("how", ["well", "raise", "exit"])
def test_close_is_called_once(
    nginx: Nginx, notes: Path, name: str, how: str
) -> None:
    """At the unload, after the last call; and not again at the exit."""
    since = len(nginx.log())
    what = f"{name}-{how}"
    cfg = f"bad,{name},{how} {what}"
    assert (
        nginx.lua(
            f"""
        local rt, threads = {loaded(cfg)}, {{}}
        for i = 1, 20 do
            threads[i] = ngx.thread.spawn(rt.plain, rt, "x")
        end
        rt:__unload()
        rt:__unload()
        for i = 1, 20 do
            local _, ok, res = ngx.thread.wait(threads[i])
            assert(ok and res == "x")
        end
        """
        )
        == []
    )
    eventually(lambda: f"{what} closes" in notes.read_text(), "close")
    if how == "raise":
        nginx.wait_log(rf"\[error\] .*ValueError: close of {what}", since)
        nginx.wait_log(r'File ".*bad\.py", line \d+, in end', since)
    others_go_on(nginx)
    assert notes.read_text().count(f"{what} closes") == 1


@pytest.mark.parametrize("name", CLOSE)
@pytest.mark.parametrize("how", ["hang", "busy"])
def test_close_hangs(nginx: Nginx, notes: Path, name: str, how: str) -> None:
    what = f"{name}-{how}"
    cfg = f"bad,{name},{how} {what}"
    assert call(nginx, cfg, "x", method="plain") == [True, "x"]
    unload(nginx, cfg)
    eventually(lambda: f"{what} closes" in notes.read_text(), "close")
    others_go_on(nginx)
    assert call(nginx, cfg, "x", method="plain") == [True, "x"]
    let_go(nginx)


def test_close_when_the_worker_leaves(
    new_nginx: NewNginx, tmp_path: Path
) -> None:
    """Each is called once, whatever the others do; then it leaves."""
    notes = tmp_path / "notes"
    ways = ["well", "raise", "exit", "hang", "forever"]
    with new_nginx(environ={"NOTES": str(notes)}, **SETTINGS) as nginx:
        for name in CLOSE:
            for how in ways:
                cfg = f"bad,{name},{how} {name}-{how}"
                assert call(nginx, cfg, "x", method="plain") == [True, "x"]
        assert not notes.exists()
        nginx.check()
        begin = time.monotonic()
        nginx.quit()
        nginx.wait()
        # ffi_exit_timeout is 1 s here
        assert time.monotonic() - begin < 10
        nginx.wait_log(r"\[warn\] .*threads of runtimes have not ended")
    lines = sorted(notes.read_text().splitlines())
    assert lines == sorted(
        f"{name}-{how} closes" for name in CLOSE for how in ways
    )


def test_close_when_the_worker_is_stopped(
    new_nginx: NewNginx, tmp_path: Path
) -> None:
    notes = tmp_path / "notes"
    with new_nginx(environ={"NOTES": str(notes)}, **SETTINGS) as nginx:
        for name in CLOSE:
            cfg = f"bad,{name},well {name}"
            assert call(nginx, cfg, "x", method="plain") == [True, "x"]
        nginx.check()
        nginx.stop()
        nginx.wait()
    lines = sorted(notes.read_text().splitlines())
    assert lines == sorted(f"{name} closes" for name in CLOSE)


@pytest.mark.parametrize("name", ["HurriesPlain", "HurriesAsync"])
def test_an_answer_while_the_worker_is_stopped(
    new_nginx: NewNginx, tmp_path: Path, name: str
) -> None:
    """Nobody is resumed any more; that holds up no close."""
    notes = tmp_path / "notes"
    with new_nginx(environ={"NOTES": str(notes)}, **SETTINGS) as nginx:
        cfg = f"bad,{name}"
        for _ in range(3):
            assert (
                nginx.lua(
                    f"""
                local rt = {loaded(cfg)}
                ngx.timer.at(0, function()
                    rt:until_it_leaves("x", {{ timeout = 0 }})
                end)
                """
                )
                == []
            )
        eventually(lambda: notes.exists(), "it runs")
        nginx.check()
        nginx.stop()
        nginx.wait()
        assert "threads of runtimes" not in nginx.log()
    assert notes.read_text().endswith("delivered False\nclosed\n")


def test_a_worker_that_leaves_while_all_hang(
    new_nginx: NewNginx, tmp_path: Path
) -> None:
    """Handlers, loops and constructors that do not end hold up nothing."""
    environ = {"NOTES": str(tmp_path / "notes")}
    with new_nginx(environ=environ, **SETTINGS) as nginx:
        for name, what, _ in HANGS:
            cfg = f"bad,{name},{what}"
            assert call(nginx, cfg, what, timeout=100) == [False, "timeout"]
        for name in INIT:
            cfg = f"bad,{name},hang"
            assert load(nginx, cfg, uri="/hasty") == "timeout"
        nginx.check()
        nginx.quit()
        nginx.wait()
        nginx.wait_log(r"\[warn\] .*threads of runtimes have not ended")
