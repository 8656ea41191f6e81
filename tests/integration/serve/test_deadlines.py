# SPDX-License-Identifier: BSD-2-Clause
"""Deadlines and the end of callers reach Python; so do answers' fates."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..client import eventually
from ..nginx import Nginx
from .calls import call, loaded, unload

SPAWN = "ngx.thread.spawn"

# Ms in which a handler has surely begun.
SOON = 500


@pytest.fixture(autouse=True)
def _nothing_yet(nginx: Nginx) -> Iterator[None]:
    nginx.python("import deadlines; deadlines.happened(); result = 1")
    yield
    nginx.python(
        "import deadlines\n"
        "for gate in deadlines.gates.values(): gate.set()\n"
        "deadlines.gates.clear()"
    )


class Story:
    """What handlers have noted."""

    def __init__(self, nginx: Nginx) -> None:
        self.nginx = nginx
        self.text = ""

    def more(self) -> str:
        new = self.nginx.python(
            "import deadlines; result = '.' + deadlines.happened()"
        )
        self.text = f"{self.text} {new[1:]}".strip()
        return self.text

    def wait(self, *events: str) -> str:
        try:
            eventually(lambda: all(e in self.more() for e in events))
        except AssertionError:
            raise AssertionError(f"{events} not in {self.text!r}") from None
        return self.text


@pytest.fixture
def story(nginx: Nginx) -> Story:
    return Story(nginx)


def open_gate(nginx: Nginx, name: str) -> None:
    nginx.python(f"import deadlines; deadlines.gate({name!r}).set()")


def until_runs(name: str) -> str:
    return f"""
        local runs = {loaded("deadlines,has_begun")}
        repeat ngx.sleep(0.001) until select(2, runs:any("{name}"))
    """


@pytest.mark.parametrize("name", ["facts", "facts_async"])
def test_the_deadline(nginx: Nginx, name: str) -> None:
    cfg = f"deadlines,{name}"
    assert call(nginx, cfg, timeout=1000, method="a") == [
        True,
        "a False soon",
    ]
    assert call(nginx, cfg, timeout=3_600_000, method="b") == [
        True,
        "b False later",
    ]
    assert call(nginx, cfg, timeout=0, method="c") == [True, "c False never"]


def test_the_deadline_by_opts(nginx: Nginx) -> None:
    code = """
        local rt = assert(ngx.load_ffi("ffi_python3", "deadlines,facts,2",
                                       { timeout = %s }))
        local ok, res = rt:a()
        rt:__unload()
        return ok, res
    """
    assert nginx.lua(code % 3_600_000) == [True, "a False later"]
    assert nginx.lua(code % 1000) == [True, "a False soon"]
    assert nginx.lua(code % 0) == [True, "a False never"]


@pytest.mark.valgrind
def test_a_call_that_is_late_in_the_queue_never_runs(
    nginx: Nginx, story: Story
) -> None:
    """While one holds the thread; another one is behind it in the queue."""
    rt = loaded("deadlines,hold")
    code = f"""
        local rt = {rt}
        local first = {SPAWN}(rt.any, rt, "first")
        local second = {SPAWN}(rt.any, rt, "second")
        local ok, err = rt:any("late", {{ timeout = 50 }})
        assert(ok == false and err == "timeout")
        local py = {loaded("evaluate,init")}
        py:run("import deadlines as d; d.gate('first').set()")
        ok, err = rt:any("later", {{ timeout = 50 }})
        assert(ok == false and err == "timeout")
        py:run("import deadlines as d; d.gate('second').set()")
        local _, ok1, res1 = ngx.thread.wait(first)
        local _, ok2, res2 = ngx.thread.wait(second)
        return ok1, res1, ok2, res2
    """
    assert nginx.lua(code) == [True, "first", True, "second"]
    assert call(nginx, "deadlines,hold", "none", timeout=SOON) == [
        False,
        "timeout",
    ]
    open_gate(nginx, "none")
    text = story.wait("none=False")
    assert "late:" not in text
    assert "later:" not in text


def test_a_call_that_is_late_in_a_batch_never_runs(
    nginx: Nginx, story: Story
) -> None:
    """Taken from the queue together with the one that holds the thread."""
    code = f"""
        local rt = {loaded("deadlines,hold")}
        local py = {loaded("evaluate,init")}
        local threads = {{}}
        for i = 1, 3 do
            threads[i] = {SPAWN}(rt.any, rt, "n" .. i)
        end
        local late = {SPAWN}(rt.any, rt, "late", {{ timeout = 200 }})
        local n4 = {SPAWN}(rt.any, rt, "n4")
        py:run("import deadlines as d; d.gate('n1').set()")
        local _, ok, err = ngx.thread.wait(late)
        assert(ok == false and err == "timeout")
        for i = 2, 4 do
            py:run("import deadlines as d; d.gate('n" .. i .. "').set()")
        end
        ngx.thread.wait(n4)
        return rt:any("n4")
    """
    assert nginx.lua(code) == [True, "n4"]
    assert "late:runs" not in story.wait("n4=True")


def test_a_call_that_is_late_in_the_pool_never_runs(
    nginx: Nginx, story: Story
) -> None:
    code = f"""
        local rt = {loaded("deadlines,Both")}
        local py = {loaded("evaluate,init")}
        for i = 1, 4 do
            {SPAWN}(rt.hold, rt, "busy")
        end
        local ok, err = rt:hold("late", {{ timeout = 50 }})
        assert(ok == false and err == "timeout")
        py:run("import deadlines as d; d.gate('busy').set();"
               .. "d.gate('last').set()")
        return rt:hold("last")
    """
    assert nginx.lua(code) == [True, "last"]
    assert "late:" not in story.wait("last=True")


def test_a_coroutine_that_is_late_never_runs(
    nginx: Nginx, story: Story
) -> None:
    code = f"""
        local rt = {loaded("deadlines,Stalls")}
        local py = {loaded("evaluate,init")}
        local held = {SPAWN}(rt.hold, rt, "stall")
        local ok, err = rt:count("late", {{ timeout = 50 }})
        assert(ok == false and err == "timeout")
        py:run("import deadlines as d; d.gate('stall').set()")
        ngx.thread.wait(held)
        return rt:count("last")
    """
    assert nginx.lua(code) == [True, None]
    assert "late:" not in story.wait("last:runs")


def test_a_timeout_tells_a_plain_function(nginx: Nginx, story: Story) -> None:
    cfg = "deadlines,until_cancelled"
    assert call(nginx, cfg, timeout=SOON) == [False, "timeout"]
    story.wait("poll:runs", "poll:cancelled", "poll=False")


@pytest.mark.valgrind
def test_a_timeout_cancels_a_coroutine(nginx: Nginx, story: Story) -> None:
    cfg = "deadlines,until_cancelled_async"
    since = len(nginx.log())
    assert call(nginx, cfg, timeout=SOON) == [False, "timeout"]
    story.wait("task:runs", "task:cancelled=True", "task=False")
    assert "Traceback" not in nginx.log(since)


TARDY = """
import asyncio
from pathlib import Path
from resty_ffi import serve

@serve
async def tardy(request):
    marks = Path(request.decode())
    (marks / "runs").touch()
    try:
        await asyncio.sleep(60)
    finally:
        # the answer is there by then
        loop = asyncio.get_running_loop()
        loop.call_later(0.1, (marks / "ended").touch)
"""


def test_a_worker_that_is_late_for_a_timeout(
    nginx: Nginx, tmp_path: Path
) -> None:
    """The call has been cancelled meanwhile: that is not what Lua gets."""
    nginx.write_python("tardy.py", TARDY)
    tmp_path.chmod(0o777)
    code = f"""
        local function is_there(name)
            local file = io.open("{tmp_path}/" .. name)
            return file and file:close()
        end
        local rt = {loaded("tardy,tardy")}
        local waits = ngx.thread.spawn(rt.any, rt, "{tmp_path}",
                                       {{ timeout = 1000 }})
        while not is_there("runs") do ngx.sleep(0.001) end
        while not is_there("ended") do end
        return select(2, ngx.thread.wait(waits))
    """
    assert nginx.lua(code) == [False, "timeout"]


def test_a_coroutine_that_refuses_to_end(nginx: Nginx, story: Story) -> None:
    """Its answer goes nowhere."""
    for _ in range(3):
        assert call(nginx, "deadlines,refuses", timeout=SOON) == [
            False,
            "timeout",
        ]
        story.wait("refuses:cancelled", "refuses=False")
        assert "refuses=True" not in story.text
        story.text = ""


CFGS = [
    ("deadlines,until_cancelled", "poll"),
    ("deadlines,until_cancelled_async", "task"),
]


@pytest.mark.valgrind
@pytest.mark.parametrize(("cfg", "name"), CFGS)
@pytest.mark.parametrize(
    "end", ["ngx.exit(200)", "error('raised')", 'ngx.exec("/ping")']
)
def test_the_end_of_a_request(
    nginx: Nginx, story: Story, cfg: str, name: str, end: str
) -> None:
    """A thread of it still waits for an answer, without a deadline."""
    nginx.post(
        "/raw",
        f"""
        local rt = {loaded(cfg)}
        ngx.thread.spawn(rt.any, rt, nil, {{ timeout = 0 }})
        {until_runs(name)}
        if true then {end} end
        """,
    )
    story.wait(f"{name}:runs", f"{name}:cancelled", f"{name}=False")


@pytest.mark.valgrind
@pytest.mark.parametrize(("cfg", "name"), CFGS)
def test_a_client_that_leaves(
    nginx: Nginx, story: Story, cfg: str, name: str
) -> None:
    code = f"{loaded(cfg)}:any(nil, {{ timeout = 0 }})"
    connection = nginx.connect()
    connection.sendall(
        b"POST /abort HTTP/1.1\r\nHost: x\r\n"
        b"Content-Length: %d\r\n\r\n%s" % (len(code), code.encode())
    )
    story.wait(f"{name}:runs")
    assert f"{name}:cancelled" not in story.more()
    connection.close()
    story.wait(f"{name}:cancelled", f"{name}=False")


@pytest.mark.parametrize(
    ("cfg", "name", "method"),
    [*((*pair, "any") for pair in CFGS[1:]), ("deadlines,Both", "x", "task")],
)
def test_a_killed_thread_cancels_at_its_deadline(
    nginx: Nginx, story: Story, cfg: str, name: str, method: str
) -> None:
    assert nginx.lua(
        f"""
        local rt = {loaded(cfg)}
        local t = {SPAWN}(rt.{method}, rt, "{name}", {{ timeout = 500 }})
        {until_runs(name)}
        return ngx.thread.kill(t)
        """
    ) == [True]
    story.wait(f"{name}:runs", f"{name}:cancelled", f"{name}=False")


def test_a_killed_thread_and_a_plain_function(
    nginx: Nginx, story: Story
) -> None:
    assert nginx.lua(
        f"""
        local rt = {loaded("deadlines,hold")}
        local t = {SPAWN}(rt.any, rt, "killed")
        {until_runs("killed")}
        return ngx.thread.kill(t)
        """
    ) == [True]
    story.wait("killed:runs")
    open_gate(nginx, "killed")
    story.wait("killed=False")


@pytest.mark.valgrind
@pytest.mark.parametrize("name", ["delivered", "delivered_async"])
@pytest.mark.parametrize("size", [0, 10, 100_000])
def test_an_answer_that_is_delivered(
    nginx: Nginx, story: Story, name: str, size: int
) -> None:
    cfg = f"deadlines,{name}"
    assert call(nginx, cfg, "x" * size) == [True, "x" * size]
    assert story.wait("first=True", "second=True") == "first=True second=True"


def test_an_error_that_is_delivered(nginx: Nginx, story: Story) -> None:
    cfg = "deadlines,delivered_of_error"
    assert call(nginx, cfg) == [False, 1, "ValueError"]
    story.wait("error=True")


def test_each_of_many_is_told_once(nginx: Nginx, story: Story) -> None:
    """Delivered and abandoned ones, mixed."""
    assert (
        nginx.lua(
            f"""
        local rt = {loaded("deadlines,delivered")}
        local delivered, killed = 0, 0
        local threads = {{}}
        for i = 1, 100 do
            threads[i] = {SPAWN}(rt.any, rt, "x")
        end
        for i = 2, 100, 2 do
            ngx.thread.kill(threads[i])
        end
        for i = 1, 100, 2 do
            local _, ok = ngx.thread.wait(threads[i])
            assert(ok == true)
        end
        """
        )
        == []
    )

    def all_told() -> bool:
        text = story.more()
        return text.count("first=") == text.count("second=") == 100

    eventually(all_told, "each is told")
    assert len(re.findall(r"first=True", story.text)) == 50
    assert len(re.findall(r"first=False", story.text)) == 50


@pytest.mark.parametrize("name", ["delivered", "delivered_async"])
def test_it_is_told_before_the_runtime_ends(
    nginx: Nginx, story: Story, name: str
) -> None:
    cfg = f"deadlines,{name}"
    assert call(nginx, cfg, "x") == [True, "x"]
    unload(nginx, cfg)
    story.wait("first=True", "second=True")


@pytest.mark.parametrize("ms", [50, 1500])
@pytest.mark.parametrize("name", ["Closing", "ClosingPooled", "ClosingAsync"])
def test_nginx_is_busy_at_the_unload(
    nginx: Nginx, story: Story, name: str, ms: int
) -> None:
    """The fate of all answers is known before close is called."""
    assert nginx.lua(
        f"""
        local rt = {loaded(f"deadlines,{name},{ms}")}
        local t = {SPAWN}(rt.any, rt, ("x"):rep(1000))
        rt:__unload()
        os.execute("sleep {ms / 1000}")
        local _, ok = ngx.thread.wait(t)
        return ok
        """
    ) == [True]
    assert story.wait("closed") == "first=True second=True closed"


def test_on_delivered_wants_a_function(nginx: Nginx) -> None:
    ok, rc, text = call(nginx, "deadlines,not_callable")
    assert (ok, rc) == (False, 1)
    assert text.startswith("TypeError: ")


def test_a_call_that_is_kept(nginx: Nginx, story: Story) -> None:
    cfg = "deadlines,keeps_its_call"
    assert call(nginx, cfg, "keep") == [True, "kept"]
    for _ in range(3):
        assert call(nginx, cfg, "use") == [
            True,
            "the call has been answered '' None True",
        ]
    assert "never" not in story.more()


def test_a_callback_that_adds_itself(nginx: Nginx, story: Story) -> None:
    assert call(nginx, "deadlines,adds_in_callback") == [True, None]
    assert story.wait("refused") == "again refused"


def test_current_in_another_thread(nginx: Nginx) -> None:
    assert call(nginx, "deadlines,in_a_thread", method="m") == [
        True,
        "none m False",
    ]


def test_error_log_names_who_is_late(nginx: Nginx, story: Story) -> None:
    since = len(nginx.log())
    # A runtime of its own: a runtime logs one such line a second.
    cfg = "deadlines,hold,named"
    assert call(nginx, cfg, "named", timeout=500) == [False, "timeout"]
    open_gate(nginx, "named")
    nginx.wait_log(
        r'\[error\] .*"deadlines\.hold".*thread \d+ "deadlines\.hold"', since
    )
    story.wait("named=False")
    unload(nginx, cfg)
