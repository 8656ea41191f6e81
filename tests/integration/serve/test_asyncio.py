# SPDX-License-Identifier: BSD-2-Clause
"""Coroutines on asyncio's own loop and on uvloop."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..client import eventually
from ..conftest import NewNginx
from ..nginx import Nginx
from .calls import SETTINGS, at_once, call, loaded, unload

since_3_11 = pytest.mark.skipif(
    sys.version_info < (3, 11), reason="new in 3.11"
)


@contextlib.contextmanager
def running(new_nginx: NewNginx, loop: str, notes: Path) -> Iterator[Nginx]:
    with new_nginx(environ={"NOTES": str(notes)}, **SETTINGS) as nginx:
        if loop == "asyncio":
            nginx.write_python("uvloop.py", "raise ImportError('not here')\n")
        assert call(nginx, "aio,which_loop") == [True, loop]
        yield nginx


@pytest.fixture(
    scope="module",
    params=[pytest.param("asyncio", marks=pytest.mark.asan), "uvloop"],
)
def loop(request: pytest.FixtureRequest) -> str:
    name = request.param
    assert isinstance(name, str)
    return name


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("notes") / "notes"


@pytest.fixture(scope="module")
def server(new_nginx: NewNginx, loop: str, notes: Path) -> Iterator[Nginx]:
    with running(new_nginx, loop, notes) as nginx:
        yield nginx


@pytest.mark.valgrind
@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("current_task", "yes"),
        pytest.param("timeout", "in time", marks=since_3_11),
        ("wait_for", "in time"),
        pytest.param("task_group", "[0, 1, 4, 9]", marks=since_3_11),
        ("gather", "one two"),
        ("context", "none True True"),
        ("call_in_child", "any any any any"),
    ],
)
def test_at_the_start_of_a_coroutine(
    nginx: Nginx, name: str, answer: str
) -> None:
    assert call(nginx, f"aio,{name}", "x") == [True, answer]


def test_an_http_request(nginx: Nginx) -> None:
    assert call(nginx, "aio,http", str(nginx.socket)) == [True, "pong"]
    (answers,) = nginx.lua(
        f"""
        local rt, threads, all = {loaded("aio,http")}, {{}}, {{}}
        for i = 1, 20 do
            threads[i] = ngx.thread.spawn(rt.any, rt, "{nginx.socket}")
        end
        for i = 1, 20 do
            local _, ok, res = ngx.thread.wait(threads[i])
            all[i] = ok and res
        end
        return all
        """
    )
    assert answers == ["pong"] * 20


def test_a_process(nginx: Nginx) -> None:
    assert call(nginx, "aio,process", "word") == [True, "WORD"]


@since_3_11
def test_a_group_that_fails(nginx: Nginx) -> None:
    since = len(nginx.log())
    ok, rc, text = call(nginx, "aio,task_group_that_fails")
    assert (ok, rc) == (False, 1)
    assert text.startswith("ExceptionGroup: ")
    nginx.wait_log("ValueError: child", since)


def test_contexts_of_many(nginx: Nginx) -> None:
    (answers,) = nginx.lua(f"{at_once('aio,context', 200)} return all")
    assert {tuple(a) for a in answers} == {(True, "none True True")}


def test_current_of_many(nginx: Nginx) -> None:
    assert nginx.lua(
        f"""
        local rt, threads, bad = {loaded("aio,call_in_child")}, {{}}, 0
        for i = 1, 100 do
            threads[i] = ngx.thread.spawn(rt["m" .. i], rt, "")
        end
        for i = 1, 100 do
            local _, ok, res = ngx.thread.wait(threads[i])
            local m = "m" .. i
            if res ~= table.concat({{ m, m, m, m }}, " ") then
                bad = bad + 1
            end
        end
        return bad
        """
    ) == [0]


def test_a_task_of_a_plain_method_sees_no_other_call(nginx: Nginx) -> None:
    *before, found = nginx.lua(
        f"""
        local rt = {loaded("aio,Mixed")}
        local other = ngx.thread.spawn(rt.other, rt, "")
        local ok, method = rt:start("")
        local _, found = rt:found("")
        ngx.thread.wait(other)
        return ok, method, found
        """
    )
    assert before == [True, "start"]
    assert found in ("none", "ended", "start")


def test_nothing_is_left_of_a_call(nginx: Nginx) -> None:
    def left() -> int:
        counted = nginx.python(
            "import aio; result = [aio.objects(kind) for kind in"
            " ('Call', 'Task')]"
        )
        return sum(int(n) for n in re.findall(r"\d+", counted))

    assert call(nginx, "aio,context", "x")[0]
    before = left()
    for _ in range(3):
        nginx.lua(f"{at_once('aio,context', 200)} return 1")
    eventually(lambda: left() <= before + 10, "calls and tasks are freed")


def test_a_task_left_behind(nginx: Nginx) -> None:
    for _ in range(2):
        assert call(nginx, "aio,leaves_a_task") == [True, "left"]
        unload(nginx, "aio,leaves_a_task")
    assert nginx.python("result = 1") == "1"


FLY = f"""
    local rt = {loaded("aio,Flight,1000")}
    local threads = {{}}
    for i = 1, 1000 do
        threads[i] = ngx.thread.spawn(rt.fly, rt, tostring(i))
    end
    %s
    local answered = 0
    for i = 1, 1000 do
        local _, ok, res = ngx.thread.wait(threads[i])
        if ok and res == tostring(i) then
            answered = answered + 1
        end
    end
    return answered
"""


def read(notes: Path) -> str:
    return notes.read_text() if notes.exists() else ""


@pytest.mark.valgrind
def test_a_thousand_at_unload(nginx: Nginx, notes: Path) -> None:
    """All are answered, then close is called."""
    notes.write_text("")
    code = (
        FLY
        % f"""
        local file = io.open("{notes}")
        while not file:read("*a"):find("flying") do
            ngx.sleep(0.01)
            file:seek("set")
        end
        assert(rt:__unload() == true)
        local ok, err = rt:fly("late")
        assert(ok == false and err == "task queue is finished")
        file = io.open("{notes}", "a")
        file:write("land\\n")
        file:close()
    """
    )
    assert nginx.lua(code) == [1000]
    eventually(lambda: "closed" in read(notes), "close is called")
    assert read(notes) == "flying 1000\nland\nclosed 1000\n"


def test_a_thousand_while_the_worker_quits(
    new_nginx: NewNginx, loop: str, tmp_path: Path
) -> None:
    """All are answered, then close is called, then it leaves."""
    notes = tmp_path / "notes"
    with running(new_nginx, loop, notes) as nginx:
        connection = nginx.connect()
        code = FLY % ""
        connection.sendall(
            b"POST /lua HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (len(code), code.encode())
        )
        eventually(lambda: "flying" in read(notes), "all are in the air")
        nginx.quit()
        nginx.wait_log("gracefully shutting down")
        with notes.open("a") as file:
            file.write("land\n")
        with connection, connection.makefile("rb") as answer:
            assert answer.read().endswith(b"[true,[1000]]\r\n0\r\n\r\n")
        nginx.wait()
        assert read(notes) == "flying 1000\nland\nclosed 1000\n"


def test_calls_that_end_on_unload(nginx: Nginx, notes: Path) -> None:
    """close is called when the fate of the last answer is known."""
    notes.write_text("")
    code = f"""
        local rt = {loaded("aio,Patient")}
        local calls, n = {{}}, 0
        for i = 1, 50 do
            calls[i] = ngx.thread.spawn(rt.any_name, rt, tostring(i))
        end
        rt:__unload()
        for i = 1, 50 do
            local _, ok, res = ngx.thread.wait(calls[i])
            n = n + (ok and res == tostring(i) and 1 or 0)
        end
        return n
    """
    assert nginx.lua(code) == [50]
    eventually(lambda: "closed" in read(notes), "close is called")
    assert read(notes) == "delivered True\n" * 50 + "closed\n"
