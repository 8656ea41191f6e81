# SPDX-License-Identifier: BSD-2-Clause
"""Each kind of handler, and which method of it is called."""

from __future__ import annotations

import pytest

from ..nginx import Nginx
from .calls import at_once, call, load, loaded, unload


def results(
    nginx: Nginx, cfg: str, number: int, method: str = "any"
) -> set[str]:
    """The distinct bodies of so many calls at a time; all succeed."""
    code = at_once(cfg, number, method)
    (answers,) = nginx.lua(f"{code} return all")
    assert len(answers) == number
    assert {answer[0] for answer in answers} == {True}, answers
    return {answer[1] for answer in answers}


@pytest.mark.valgrind
@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("upper", "WORD"),
        ("fetch", "fetched word"),
        ("at_once", "word"),
        ("hello", "hello word"),
        ("bye", "bye word"),
        ("backwards", "drow"),
        ("instance", "called word"),
        ("async_instance", "called word"),
        ("partial", "partial word"),
    ],
)
def test_functions_answer_every_method(
    nginx: Nginx, name: str, answer: str
) -> None:
    for method in ("", "upper", "close", "a b", "\xff"):
        assert call(nginx, f"kinds,{name}", "word", method=method) == [
            True,
            answer,
        ]


def test_the_other_name_of_the_loader(nginx: Nginx) -> None:
    assert nginx.lua(
        'return ngx.load_ffi("resty_ffi_python", "kinds,upper"):go("x")'
    ) == [True, "X"]


def test_one_thread(nginx: Nginx) -> None:
    assert len(results(nginx, "kinds,thread_of_one", 50)) == 1


def test_eight_threads(nginx: Nginx) -> None:
    """Each waits for seven others."""
    assert len(results(nginx, "kinds,eight", 8)) == 8


def test_coroutines_are_in_flight_together(nginx: Nginx) -> None:
    assert len(results(nginx, "kinds,fly", 100)) == 1


@pytest.mark.parametrize("method", ["", "name", "a b.c/d", "x" * 300])
def test_current_method(nginx: Nginx, method: str) -> None:
    assert call(nginx, "kinds,method_name", "x", method=method) == [
        True,
        method,
    ]


def test_a_class_keeps_state_per_runtime(nginx: Nginx) -> None:
    for config in ("one", "two"):
        cfg = f"kinds,Cache,{config}"
        assert call(nginx, cfg, "k", method="get") == [True, None]
        assert call(nginx, cfg, f"k={config}", method="set") == [True, None]
    for config in ("one", "two"):
        cfg = f"kinds,Cache,{config}"
        assert call(nginx, cfg, "k", method="get") == [True, config]
    unload(nginx, "kinds,Cache,one")
    assert call(nginx, "kinds,Cache,one", "k", method="get") == [True, None]


@pytest.mark.parametrize(
    ("cfg", "config"),
    [
        ("kinds,Cache", "''"),
        ("kinds,Cache,", "''"),
        ('kinds,Cache,{"size": 1, "b": [2]}', '\'{"size": 1, "b": [2]}\''),
        ("kinds,Cache,\xe9\u4e2d", "'\xe9\u4e2d'"),
    ],
)
def test_config(nginx: Nginx, cfg: str, config: str) -> None:
    ok, answer = call(nginx, cfg, method="conf")
    assert ok
    assert answer.encode("latin-1").decode() == config


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("static", "static x"),
        ("of_class", "Cache"),
        ("base", "base"),
        ("same_thread", "True"),
    ],
)
def test_methods_of_a_class(nginx: Nginx, method: str, answer: str) -> None:
    assert call(nginx, "kinds,Cache", "x", method=method) == [True, answer]


@pytest.mark.parametrize("cfg", ["kinds,Cache", "kinds,Pooled"])
@pytest.mark.parametrize(
    "method",
    ["nope", "_private", "close", "limit", "Nested", "config", "mro", "a'b"],
)
def test_unknown_methods(nginx: Nginx, cfg: str, method: str) -> None:
    ok, rc, text, why = call(nginx, cfg, "x", method=method)
    assert (ok, rc, why) == (False, 404, "no method")
    assert text.startswith("AttributeError: ")
    assert text.endswith(f"{cfg.partition(',')[2]} has no method '{method}'")


@pytest.mark.parametrize("method", ["plain\0x", "x" * 500, "\xff\xfe", "%s%n"])
def test_methods_nobody_has(nginx: Nginx, method: str) -> None:
    ok, rc, text, why = call(nginx, "kinds,Pooled", "x", method=method)
    assert (ok, rc, why) == (False, 404, "no method")
    assert "Pooled has no method" in text


@pytest.mark.valgrind
@pytest.mark.parametrize("method", ["read", "pipe"])
def test_a_stream_of_no_method(nginx: Nginx, method: str) -> None:
    """It is told apart from one that has failed with the same status."""
    load = 'local rt = assert(ngx.load_ffi("ffi_python3", "kinds,Cache"))'
    said = nginx.lua(
        f"""{load}
        local s = assert(require("resty.ffi").stream(rt, "nope"))
        return s:{method}()
        """
    )
    text = "AttributeError: kinds.Cache has no method 'nope'"
    assert said == [None, "failed", 404, text, "no method"]
    said = nginx.lua(
        f"""{load}
        local s = assert(require("resty.ffi").stream(rt, "not_found"))
        return s:{method}()
        """
    )
    assert said == [None, "failed", 404, "nobody"]


def test_calling_the_runtime_itself(nginx: Nginx) -> None:
    assert call(nginx, "kinds,Plain", "x", method="") == [True, "called x"]
    assert call(nginx, "kinds,Mixed", "x", method="") == [True, "called x"]
    assert call(nginx, "kinds,Plain,config", "x", method="other") == [
        True,
        "other x",
    ]
    ok, rc, text, why = call(nginx, "kinds,Cache", "x", method="")
    assert (ok, rc, why) == (False, 404, "no method")
    assert "has no method '__call__'" in text


def test_plain_methods_beside_coroutines(nginx: Nginx) -> None:
    """On the loop's own thread, where they have it to themselves."""
    assert results(nginx, "kinds,Mixed", 20, "plain") == {"True True"}
    assert results(nginx, "kinds,Mixed", 20, "slow") == {"True True"}


def test_threads_of_lua_leave_the_loop_alone(nginx: Nginx) -> None:
    rt = loaded("kinds,Mixed,threads", "{threads = 4}")
    assert nginx.lua(f'return {rt}:plain("")') == [True, "True True"]


def test_a_pool_beside_coroutines(nginx: Nginx) -> None:
    code = f"""
        local rt = {loaded("kinds,Pooled")}
        local threads = {{}}
        for i = 1, 8 do
            local method = i % 2 == 0 and rt.plain or rt.beside
            threads[i] = ngx.thread.spawn(method, rt, "")
        end
        ngx.sleep(0)
        local all = {{}}
        for i = 1, 8 do
            local _, ok, res = ngx.thread.wait(threads[i])
            all[i] = tostring(ok) .. tostring(res)
        end
        return all
    """
    assert nginx.lua(code) == [["trueTrue"] * 8]
    assert call(nginx, "kinds,Pooled", "text", method="raises") == [
        False,
        1,
        "ValueError: text",
    ]


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("later", [True, "later x"]),
        ("done", [True, "done x"]),
        ("task", [True, "fetched x"]),
        ("fails", [False, 1, "ValueError: x"]),
    ],
)
def test_a_future_answers(
    nginx: Nginx, method: str, answer: list[object]
) -> None:
    assert call(nginx, "kinds,Futures", "x", method=method) == answer


@pytest.mark.parametrize("method", ["wrong", "coroutine"])
def test_a_future_of_the_wrong_type(nginx: Nginx, method: str) -> None:
    ok, rc, text = call(nginx, "kinds,Futures", "x", method=method)
    assert (ok, rc) == (False, 1)
    assert "not bytes, str, a buffer or None" in text


def test_a_future_of_another_loop(nginx: Nginx) -> None:
    code = f"""
        return {loaded("kinds,Futures")}:foreign("", {{timeout = 2000}})
    """
    ok, rc, text = nginx.lua(code)
    assert (ok, rc) == (False, 1)
    assert "different loop" in text


def test_a_future_nobody_waits_for(nginx: Nginx) -> None:
    code = f"""
        local rt = {loaded("kinds,Futures")}
        local ok, err = rt:never("", {{timeout = 500}})
        return ok, err, rt:fates("")
    """
    assert nginx.lua(code) == [False, "timeout", True, "[True] False"]


def test_a_future_that_cannot_be_awaited(nginx: Nginx) -> None:
    code = f"""
        local rt = {loaded("kinds,Refusing")}
        local ok, rc, err = rt:refuses("")
        return ok, rc, err, rt:fates("")
    """
    refused = [False, 1, "RuntimeError: refused"]
    assert nginx.lua(code) == [*refused, True, "[] True"]


def test_beside_a_poll_loop(nginx: Nginx) -> None:
    """Served and poll loops, same module or not, do not know each other."""
    nginx.write_python(
        "both.py",
        "from evaluate import init\n"
        "from resty_ffi import serve\n"
        "import asyncio\n"
        "@serve\n"
        "def served(request): return b'served ' + request\n"
        "@serve\n"
        "async def loop(request):\n"
        "    await asyncio.sleep(0)\n"
        "    return b'loop ' + request\n",
    )
    code = f"""
        local old = {loaded("both,init")}
        local new = {loaded("both,served")}
        local loop = {loaded("both,loop")}
        for i = 1, 100 do
            local _, a = old:run("result = " .. i)
            local _, b = new:any(tostring(i))
            local _, c = loop:any(tostring(i))
            assert(a == tostring(i) and b == "served " .. i
                   and c == "loop " .. i)
        end
        new:__unload()
        local _, a = old:run("result = 1")
        local _, c = loop:any("1")
        return a, c, new:any("x")
    """
    assert nginx.lua(code) == ["1", "loop 1", False, "task queue is finished"]


@pytest.mark.parametrize("value", ["42", "'text'", "None"])
def test_a_forged_mark(nginx: Nginx, value: str) -> None:
    name = f"forged_{abs(hash(value))}"
    nginx.write_python(
        f"{name}.py", f"def f(request): ...\nf.__resty_ffi__ = {value}\n"
    )
    err = load(nginx, f"{name},f")
    assert err is not None
    assert err.startswith(f"ffi_python3: {name}.f: ")
