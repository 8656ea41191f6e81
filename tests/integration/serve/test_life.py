# SPDX-License-Identifier: BSD-2-Clause
"""Options of a load, fresh code, and several runtimes of one handler."""

from __future__ import annotations

import pytest

from ..client import eventually, lua_string
from ..nginx import Nginx
from .calls import at_once, call, load, loaded, unload


@pytest.mark.parametrize("name", ["Together", "TogetherAsync"])
@pytest.mark.parametrize("number", [1, 2, 5])
def test_threads_of_a_load(nginx: Nginx, name: str, number: int) -> None:
    """Instead of those in the code."""
    cfg = f"opts,{name},{number}"
    assert load(nginx, cfg, f"{{ threads = {number} }}") is None
    (answers,) = nginx.lua(f"{at_once(cfg, number, 'plain')} return all")
    assert {answer[0] for answer in answers} == {True}
    assert len({answer[1] for answer in answers}) == number
    assert len(answers) == number
    unload(nginx, cfg)


@pytest.mark.parametrize("spin", ["0", "1", "50.5", "1000"])
def test_spin(nginx: Nginx, spin: str) -> None:
    for name in ("upper", "fetch"):
        cfg = f"kinds,{name},spin {spin}"
        assert load(nginx, cfg, f"{{ spin = {spin} }}") is None
        for _ in range(20):
            assert call(nginx, cfg, "1")[0] is True
        unload(nginx, cfg)


def test_switch_interval(nginx: Nginx) -> None:
    """Of the whole process."""
    before = nginx.python("import sys; result = sys.getswitchinterval()")
    for ms, seconds in ((0.5, "0.000500"), (20, "0.020000")):
        cfg = f"opts,interval,{ms}"
        assert load(nginx, cfg, f"{{ switch_interval = {ms} }}") is None
        assert call(nginx, cfg) == [True, seconds]
        unload(nginx, cfg)
    assert call(nginx, "opts,interval") == [True, "0.020000"]
    nginx.python(f"import sys; sys.setswitchinterval({before})")


@pytest.mark.parametrize(
    ("opts", "text"),
    [
        (f"{{ {name} = {value} }}", f"opts.{name} must be")
        for name, values in {
            "threads": ["0", "-1", "1.5", "257", "'2'", "0/0", "true"],
            "spin": ["-1", "'2'", "0/0", "1/0", "1000001", "{}"],
            "switch_interval": ["0", "-5", "'2'", "0/0", "true", "1/0"],
        }.items()
        for value in values
    ],
)
def test_options_that_are_none(nginx: Nginx, opts: str, text: str) -> None:
    before = call(nginx, "opts,interval,before")
    err = load(nginx, "opts,interval,never", opts)
    assert err is not None
    assert err.startswith(text)
    assert call(nginx, "opts,interval,before") == before


def version(number: int) -> str:
    return f"""
import asyncio
from resty_ffi import serve

VERSION = {number}


@serve
def plain(request):
    return str(VERSION)


@serve
async def slow(request):
    await asyncio.sleep(0)
    return str(VERSION)


@serve
class Both:
    def __call__(self, request):
        return str(VERSION)
"""


@pytest.mark.parametrize("name", ["plain", "slow", "Both"])
def test_fresh_code(nginx: Nginx, name: str) -> None:
    """The old runtime keeps its own; one that is loaded after has the new."""
    module = f"fresh_{name}"
    old = f"{module}?,{name},old"
    for number in range(1, 6):
        nginx.write_python(f"{module}.py", version(number))
        new = f"{module}?,{name},new"
        assert call(nginx, new, method="") == [True, str(number)]
        assert call(nginx, old, method="") == [True, "1"]
        unload(nginx, new)
    nginx.write_python(f"{module}.py", "1 / 0")
    err = load(nginx, f"{module}?,{name},new")
    assert err == f"ffi_python3: {module}: ZeroDivisionError: division by zero"
    assert call(nginx, old, method="") == [True, "1"]


def test_unload_while_it_is_called(nginx: Nginx) -> None:
    """Answered, or told that it is unloaded; never left waiting."""
    for name in ("upper", "fetch", "hello"):
        cfg = f"kinds,{name},again"
        assert nginx.lua(
            f"""
            local answered, unloaded = 0, 0
            for round = 1, 30 do
                local rt, threads = {loaded(cfg)}, {{}}
                for i = 1, 20 do
                    threads[i] = ngx.thread.spawn(rt.any, rt, "x")
                end
                if round % 2 == 0 then
                    ngx.sleep(0)
                end
                rt:__unload()
                local ok, err = rt:any("x")
                if ok == false and err == "task queue is finished" then
                    unloaded = unloaded + 1
                end
                for i = 1, 20 do
                    local _, ok = ngx.thread.wait(threads[i])
                    answered = answered + (ok and 1 or 0)
                end
            end
            return answered, unloaded
            """
        ) == [600, 30]


@pytest.mark.once
def test_threads_end_with_their_runtime(nginx: Nginx) -> None:
    def count() -> int:
        return int(
            nginx.python("import threading; result = threading.active_count()")
        )

    cfgs = ["kinds,upper", "kinds,eight", "kinds,Mixed", "kinds,Pooled"]
    before = count()
    for _ in range(3):
        for cfg in cfgs:
            assert load(nginx, f"{cfg},ends") is None
        assert count() > before
        for cfg in cfgs:
            unload(nginx, f"{cfg},ends")
        nginx.lua(
            f"""
            local py = {loaded("evaluate,init")}
            for _ = 1, 1000 do
                local _, n = py:run({
                lua_string(
                    "import threading; result = threading.active_count()"
                )
            })
                if tonumber(n) <= {before} then
                    return
                end
                ngx.sleep(0.01)
            end
            error("threads are left")
            """
        )


@pytest.mark.once
def test_descriptors_of_event_loops(nginx: Nginx) -> None:
    def count() -> int:
        return int(
            nginx.python(
                "import os; result = len(os.listdir('/proc/self/fd'))"
            )
        )

    cfg = "kinds,fetch,descriptors"
    for _ in range(3):
        assert call(nginx, cfg, "x")[0] is True
        unload(nginx, cfg)
    before = count()
    for _ in range(40):
        assert call(nginx, cfg, "x")[0] is True
        unload(nginx, cfg)
    # the last loops close theirs a little later
    eventually(lambda: count() < before + 20, "descriptors are closed")


COUNTED = """
import asyncio, gc, sys, weakref
from resty_ffi import serve

gc.disable()
sys.counted = counted = weakref.WeakSet()


class Counted:
    def __init__(self):
        counted.add(self)

    def plain(self, request):
        return request

    def close(self):
        pass


class CountedLoop(Counted):
    async def wait(self, request):
        await asyncio.sleep(0.001)
        return request

    async def fail(self, request):
        raise ValueError(request)

    def future(self, request):
        return asyncio.ensure_future(self.wait(request))


one = serve(Counted)
several = serve(threads=3)(type("Several", (Counted,), {}))
loop = serve(CountedLoop)
pool = serve(threads=3)(type("Pool", (CountedLoop,), {"future": None}))
"""


@pytest.mark.once
@pytest.mark.parametrize("name", ["one", "several", "loop", "pool"])
def test_runtimes_that_have_ended_are_freed(nginx: Nginx, name: str) -> None:
    """At once: what they hold is too large to wait for the collector."""
    nginx.write_python("counted.py", COUNTED)
    nginx.lua(
        f"""
        local rt = {loaded("counted," + name)}
        for i = 1, 10 do
            assert(rt:plain("x"))
            for _, method in ipairs({{ "wait", "fail", "future" }}) do
                rt[method](rt, "x")
            end
            assert(rt:__reload())
        end
        return true
        """
    )
    eventually(
        lambda: nginx.python("import sys; result = len(sys.counted)") == "1",
        "the others are gone",
    )
    unload(nginx, f"counted,{name}")
    eventually(
        lambda: nginx.python("import sys; result = len(sys.counted)") == "0",
        "all are gone",
    )
    nginx.python("import gc; gc.enable(); result = 1")
