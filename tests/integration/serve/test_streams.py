# SPDX-License-Identifier: BSD-2-Clause
"""What generators yield, and what is sent, through rt:call."""

from __future__ import annotations

import pytest

from ..checker import SLOWNESS
from ..client import eventually
from ..nginx import Nginx
from .calls import call, load, loaded

MANY = 200_000 // SLOWNESS
MILLION = 1_000_000 if SLOWNESS == 1 else 20_000

KINDS = ["one", "Threads", "Mixed", "Pooled"]
LOOPS = ["Mixed", "Pooled"]
EACH = [(kind, "") for kind in KINDS] + [(kind, "a_") for kind in LOOPS]

each_kind = pytest.mark.parametrize("kind", KINDS)
each_loop = pytest.mark.parametrize("kind", LOOPS)
# One of each way that streams take.
CHECKED = [("one", ""), ("Mixed", "a_"), ("Pooled", "")]

each = pytest.mark.parametrize(
    ("kind", "a"),
    [
        pytest.param(*one, marks=[pytest.mark.valgrind] * (one in CHECKED))
        for one in EACH
    ],
)


def numbers(number: int) -> str:
    return "".join(f"{n}," for n in range(number))


def noted(nginx: Nginx, kind: str, text: str, times: int = 1) -> None:
    """Wait for the text to be noted so many times."""
    told: list[str] = []

    def look() -> bool:
        ok, body = call(nginx, f"streams,{kind}", method="note")
        assert ok
        told.append(body)
        return " ".join(told).count(text) >= times

    eventually(look)


def fails(nginx: Nginx, kind: str, method: str, *rest: object) -> None:
    ok, *answer = call(nginx, f"streams,{kind}", "x", method=method)
    assert (ok, answer) == (False, list(rest))


@each
def test_parts(nginx: Nginx, kind: str, a: str) -> None:
    cfg = f"streams,{kind}"
    for number in (1, 3, 20_000):
        assert call(nginx, cfg, str(number), method=f"{a}numbers") == [
            True,
            numbers(number),
        ]
    assert call(nginx, cfg, "0", method=f"{a}numbers") == [True, None]


@each
def test_kinds_of_parts(nginx: Nginx, kind: str, a: str) -> None:
    ok, body = call(nginx, f"streams,{kind}", method=f"{a}kinds")
    assert ok
    assert body.encode("latin-1").decode() == (
        "bytes str\xe9 bytearray memoryview array end"
    )


@each
def test_decorated(nginx: Nginx, kind: str, a: str) -> None:
    if (kind, a) == ("Pooled", "a_"):
        return  # it is a plain function there, on a thread without a loop
    assert call(nginx, f"streams,{kind}", "9", method=f"{a}decorated") == [
        True,
        numbers(9),
    ]


@each_loop
@pytest.mark.parametrize("method", ["a_returned", "a_plain"])
def test_coroutines_that_return_generators(
    nginx: Nginx, kind: str, method: str
) -> None:
    assert call(nginx, f"streams,{kind}", "2000", method=method) == [
        True,
        numbers(2000),
    ]


@pytest.mark.parametrize("name", ["generator", "asynchronous"])
def test_functions(nginx: Nginx, name: str) -> None:
    assert call(nginx, f"streams,{name}", "twice") == [True, "twicetwice"]


def test_views(nginx: Nginx) -> None:
    text = "v" * 50_000
    assert call(nginx, "streams,view", text) == [True, text + "v"]


@each
def test_what_cannot_be_sent(nginx: Nginx, kind: str, a: str) -> None:
    since = len(nginx.log())
    fails(
        nginx,
        kind,
        f"{a}wrong",
        1,
        f"TypeError: streams.{kind}.{a}wrong: yielded int, not bytes, str,"
        " a buffer or None",
    )
    nginx.wait_log("yielded int", since)
    noted(nginx, kind, f"{a}wrong")


@each_kind
def test_a_result_that_cannot_be_sent(nginx: Nginx, kind: str) -> None:
    ok, rc, text = call(nginx, f"streams,{kind}", method="wrong_end")
    assert (ok, rc) == (False, 1)
    assert "returned int, not bytes" in text


@each
def test_exceptions_after_parts(nginx: Nginx, kind: str, a: str) -> None:
    since = len(nginx.log())
    fails(nginx, kind, f"{a}raises", 1, "ValueError: after three")
    nginx.wait_log(rf'apps/streams.py", line \d+, in {a}raises', since)


@each_kind
def test_errors(nginx: Nginx, kind: str) -> None:
    fails(nginx, kind, "error", 7, "seven")
    fails(nginx, kind, "first_raises", 8, "eight")


@each
def test_one_thread_and_context(nginx: Nginx, kind: str, a: str) -> None:
    text = "x" * 1_000_000 + "same"
    code = f"""
        local rt, threads, all = {loaded(f"streams,{kind}")}, {{}}, {{}}
        for i = 1, 8 do
            threads[i] = ngx.thread.spawn(rt.{a}same, rt, tostring(i))
        end
        for i = 1, 8 do
            local _, ok, res, err = ngx.thread.wait(threads[i])
            all[i] = ok and res == ("x"):rep(1000000) .. "same" or err
        end
        return all
    """
    assert nginx.lua(code) == [[True] * 8]
    assert call(nginx, f"streams,{kind}", "1", method=f"{a}same") == [
        True,
        text,
    ]


@each
def test_a_caller_that_goes(nginx: Nginx, kind: str, a: str) -> None:
    for _ in range(3):
        # the answer is too large, or late
        code = f"""
            local rt = {loaded(f"streams,{kind}")}
            return rt:{a}endless("1000", {{ timeout = 20 }})
        """
        assert nginx.lua(code) == [False, "timeout"]
        noted(nginx, kind, f"{a}endless")


@each_kind
def test_a_generator_that_goes_on(nginx: Nginx, kind: str) -> None:
    since = len(nginx.log())
    assert call(nginx, f"streams,{kind}", method="refuses", timeout=20) == [
        False,
        "timeout",
    ]
    noted(nginx, kind, "refuses")
    nginx.wait_log("RuntimeError: generator ignored GeneratorExit", since)
    assert call(nginx, f"streams,{kind}", "x", method="echo") == [True, "x"]


@each
def test_a_slow_one_whose_caller_goes(nginx: Nginx, kind: str, a: str) -> None:
    assert call(
        nginx, f"streams,{kind}", "1000", method=f"{a}slow", timeout=50
    ) == [False, "timeout"]
    noted(nginx, kind, f"{a}slow")


@each_loop
def test_a_coroutine_that_waits(nginx: Nginx, kind: str) -> None:
    assert call(nginx, f"streams,{kind}", method="a_waits", timeout=50) == [
        False,
        "timeout",
    ]
    noted(nginx, kind, "a_waits")


@each
def test_others_meanwhile(nginx: Nginx, kind: str, a: str) -> None:
    """An endless stream, whose caller reads all at once, starves nobody."""
    code = f"""
        local rt = {loaded(f"streams,{kind}")}
        local busy = {{}}
        for i = 1, 5 do
            busy[i] = ngx.thread.spawn(rt.{a}endless, rt, "100",
                                       {{ timeout = 3000 }})
        end
        local right = 0
        for i = 1, 200 do
            local ok, res = rt:echo(tostring(i))
            right = right + (ok and res == tostring(i) and 1 or 0)
        end
        for i = 1, 5 do
            ngx.thread.kill(busy[i])
        end
        return right
    """
    assert nginx.lua(code) == [200]
    noted(nginx, kind, f"{a}endless")


@each
def test_many_small_parts(nginx: Nginx, kind: str, a: str) -> None:
    code = f"""
        local rt = {loaded(f"streams,{kind}")}
        local ok, res = rt:{a}one_by_one("{MILLION}")
        return ok, res == ("x"):rep({MILLION})
    """
    assert nginx.lua(code) == [True, True]


@pytest.mark.valgrind
@each_kind
def test_large_parts_are_given_back(nginx: Nginx, kind: str) -> None:
    cfg = f"streams,{kind}"
    ok, before = call(nginx, cfg, method="counts")
    assert ok
    code = f"""
        local rt = {loaded(cfg)}
        local ok, res = rt:references("")
        local watched, parts = rt:watched("300")
        return ok, #res, watched, parts == ("P"):rep(20000 * 300)
    """
    assert nginx.lua(code) == [True, 200_000 * 50, True, True]
    eventually(lambda: call(nginx, cfg, method="left") == [True, "0"])
    eventually(lambda: call(nginx, cfg, method="counts") == [True, before])


@pytest.mark.valgrind
@pytest.mark.parametrize("kind", ["one", "Threads", "Pooled"])
def test_send(nginx: Nginx, kind: str) -> None:
    cfg = f"streams,{kind}"
    ok, body = call(nginx, cfg, "3000", method="sends")
    assert ok
    assert body == "".join(f"{n},".rjust(1000) for n in range(3000)) + "end"
    since = len(nginx.log())
    assert call(nginx, cfg, method="sends_until_gone", timeout=50) == [
        False,
        "timeout",
    ]
    noted(nginx, kind, "sends: nobody waits for the answer any more")
    assert "BrokenPipe" not in nginx.log(since)
    _, _, text = call(nginx, cfg, method="sends_wrong")
    assert "yielded int, not bytes" in text
    assert call(nginx, cfg, method="sends_late")[0]
    noted(nginx, kind, "late: the call has been answered")


@each_loop
def test_send_on_a_loop(nginx: Nginx, kind: str) -> None:
    text = "RuntimeError: this would block the event loop: yield the parts"
    ok, _, error = call(nginx, f"streams,{kind}", "x", method="a_sends")
    assert not ok
    assert error == f"{text} instead"
    if kind == "Mixed":
        fails(nginx, kind, "sends_wrong", 1, f"{text} instead")
    ok, body = call(
        nginx, f"streams,{kind}", "300", method="a_sends_elsewhere"
    )
    assert ok
    assert len(body) == 300_000 + 3


@each_kind
def test_on_delivered(nginx: Nginx, kind: str) -> None:
    assert call(nginx, f"streams,{kind}", method="tells") == [True, "x"]
    noted(nginx, kind, "tells True")


@each_kind
def test_readers_of_one_piece(nginx: Nginx, kind: str) -> None:
    cfg = f"streams,{kind}"
    assert call(nginx, cfg, "hello", method="count") == [True, "5 True b'end'"]
    assert call(nginx, cfg, method="count") == [True, "0 True b'end'"]
    assert call(nginx, cfg, "hello", method="iterates") == [True, "HELLO"]
    assert call(nginx, cfg, "x" * 50, method="reads") == [
        True,
        "[7, 0, 43] 0 b''",
    ]


@each_loop
def test_asynchronous_readers_of_one_piece(nginx: Nginx, kind: str) -> None:
    cfg = f"streams,{kind}"
    assert call(nginx, cfg, "hello", method="a_count") == [
        True,
        "5 True b''",
    ]
    assert call(nginx, cfg, "hello", method="a_iterates") == [True, "HELLO"]
    assert call(nginx, cfg, "x" * 50, method="a_reads") == [
        True,
        "[7, 0, 43] 0 b''",
    ]


def test_readers_of_the_wrong_kind(nginx: Nginx) -> None:
    assert load(nginx, "streams,blocks") == (
        "ffi_python3: streams.blocks: TypeError: blocks is asynchronous and"
        " takes a BodyReader, which blocks: declare an AsyncBodyReader"
    )
    assert load(nginx, "streams,no_loop") == (
        "ffi_python3: streams.no_loop: TypeError: no_loop takes an"
        " AsyncBodyReader, which needs an event loop: declare a BodyReader"
    )


@each
def test_an_unload_in_the_middle(nginx: Nginx, kind: str, a: str) -> None:
    cfg = f"streams,{kind},unload{a}"
    code = f"""
            local rt = {loaded(cfg)}
            local slow = ngx.thread.spawn(rt.{a}slow, rt, "100")
            local fast = ngx.thread.spawn(rt.{a}numbers, rt, "{MANY}")
            ngx.sleep(0.1)
            local done = rt:__unload()
            local _, ok, res = ngx.thread.wait(slow)
            local _, ok2, res2 = ngx.thread.wait(fast)
            return done, ok, res, ok2, #res2
        """
    assert nginx.lua(code) == [
        True,
        True,
        numbers(100),
        True,
        len(numbers(MANY)),
    ]
