# SPDX-License-Identifier: BSD-2-Clause
"""Each call has a context of its own, as import and __init__ left it."""

from __future__ import annotations

import pytest

from ..client import eventually
from ..nginx import Nginx
from .calls import at_once, call, unload

# class, method, calls at a time
KINDS = [
    ("one_thread", "swap", 1),
    ("Threads", "swap", 2),
    ("Loop", "swap", 1),
    ("Loop", "a_swap", 1),
    ("Pool", "swap", 2),
    ("Pool", "a_swap", 1),
]


@pytest.mark.valgrind
@pytest.mark.parametrize(("name", "method", "number"), KINDS)
def test_nothing_is_seen_of_another_call(
    nginx: Nginx, name: str, method: str, number: int
) -> None:
    cfg = f"contexts,{name},seen"
    for _ in range(4):
        (answers,) = nginx.lua(f"{at_once(cfg, number, method)} return all")
        assert answers == [[True, "nobody"]] * number


def test_nothing_is_seen_across_kinds(nginx: Nginx) -> None:
    """From a plain method into an asynchronous one, and back."""
    cfg = "contexts,Loop,across"
    for method in ("swap", "a_swap", "swap", "a_swap"):
        assert call(nginx, cfg, "u1", method=method) == [True, "nobody"]


def test_nothing_is_seen_of_a_call_that_raised(nginx: Nginx) -> None:
    for name in ("one_thread", "Loop"):
        cfg = f"contexts,{name},raised"
        for _ in range(3):
            assert call(nginx, cfg, "u1", method="raises") == [
                False,
                1,
                "ValueError: swapped",
            ]
        assert call(nginx, cfg, method="swap") == [True, "nobody"]


@pytest.mark.parametrize("config", ["first", "second"])
@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("one_thread", "variables"),
        ("Threads", "variables"),
        ("Loop", "variables"),
        ("Loop", "a_variables"),
        ("Pool", "variables"),
        ("Pool", "a_variables"),
    ],
)
def test_what_import_and_init_left(
    nginx: Nginx, name: str, method: str, config: str
) -> None:
    """For each runtime of the module, and whatever calls do to theirs."""
    cfg = f"contexts,{name},{config}"
    (answers,) = nginx.lua(f"{at_once(cfg, 8, method)} return all")
    assert answers == [[True, f"import {config} 0.33333"]] * 8


def test_what_one_init_left_is_its_runtimes(nginx: Nginx) -> None:
    for config, third in (("2", "0.33"), ("", "0.33333"), ("3", "0.333")):
        cfg = f"contexts,Precise,{config}"
        for _ in range(2):
            assert call(nginx, cfg, method="third") == [True, third]


@pytest.mark.parametrize(
    ("name", "method"),
    [("one_thread", "told"), ("Loop", "told"), ("Loop", "a_told")],
)
def test_a_callback_finds_its_calls_context(
    nginx: Nginx, name: str, method: str
) -> None:
    cfg = f"contexts,{name},told"
    for user in ("u1", "u2"):
        assert call(nginx, cfg, user, method=method) == [True, "told"]
        fate = eventually(lambda: call(nginx, cfg, method="fate")[1:])
        while fate == [""]:
            fate = call(nginx, cfg, method="fate")[1:]
        assert fate == [f"True {user} no call"]
    assert call(nginx, cfg, method="swap") == [True, "nobody"]


def test_a_task_of_a_plain_method_has_its_context(nginx: Nginx) -> None:
    cfg = "contexts,Loop,task"
    for user in ("u1", "u2"):
        assert call(nginx, cfg, user, method="task") == [True, user]


@pytest.mark.parametrize(
    ("name", "method"),
    [("Closing", "swap"), ("ClosingLoop", "swap"), ("ClosingLoop", "a_swap")],
)
def test_what_close_finds(nginx: Nginx, name: str, method: str) -> None:
    cfg = f"contexts,{name},config"
    assert call(nginx, cfg, "u1", method=method) == [True, "nobody"]
    unload(nginx, cfg)
    eventually(
        lambda: (
            nginx.python("import contexts; result = contexts.fates")
            == "['nobody config']"
        )
    )
    nginx.python("import contexts; contexts.fates.clear()")


def test_variables_of_old_versions_are_not_kept(nginx: Nginx) -> None:
    kept = (
        "from resty_ffi._loader import bootstrap;"
        " result = len(bootstrap._imported)"
    )
    cfg = "versioned?,handler"
    counts = []
    for number in range(5):
        nginx.write_python(
            "versioned.py",
            f"""
from contextvars import ContextVar
from resty_ffi import serve

one, two = ContextVar("one"), ContextVar("two")
one.set("{number}")
two.set("{number}")

@serve
def handler(request):
    return one.get() + two.get()
""",
        )
        assert call(nginx, cfg) == [True, f"{number}{number}"]
        counts.append(nginx.python(kept))
        unload(nginx, cfg)
    assert counts == counts[:1] * 5
