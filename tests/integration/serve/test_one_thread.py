# SPDX-License-Identifier: BSD-2-Clause
"""Import, __init__ and handlers run on one and the same thread."""

from __future__ import annotations

import pytest

from ..client import eventually
from ..conftest import NewNginx
from ..nginx import Nginx
from .calls import SETTINGS, call, load, unload

ROW = "a row, of import, True"


@pytest.mark.parametrize(
    ("name", "method"),
    [
        pytest.param("function", "any", marks=pytest.mark.asan),
        pytest.param("Plain", "look", marks=pytest.mark.asan),
        pytest.param("Loop", "look", marks=pytest.mark.asan),
        ("Loop", "a_look"),
    ],
)
@pytest.mark.parametrize(
    "fresh", ["", pytest.param("?", marks=pytest.mark.valgrind)]
)
def test_what_import_made_is_the_handlers(
    new_nginx: NewNginx, name: str, method: str, fresh: str
) -> None:
    with new_nginx(**SETTINGS) as nginx:
        cfg = f"threaded{fresh},{name}"
        for _ in range(3):
            assert call(nginx, cfg, method=method) == [True, ROW]
        unload(nginx, cfg)


def test_a_load_that_fails(new_nginx: NewNginx) -> None:
    """Its thread ends, and so do what it has imported and the next load."""
    with new_nginx(**SETTINGS) as nginx:
        for _ in range(3):
            assert load(nginx, "threaded?,Fails") == (
                f"ffi_python3: threaded.Fails: ValueError: look: {ROW}"
            )
        assert call(nginx, "threaded?,function") == [True, ROW]
        names = (
            "import threading;"
            " result = [t.name for t in threading.enumerate()]"
        )
        eventually(lambda: "threaded.Fails" not in nginx.python(names))


def test_threads_of_one_runtime(nginx: Nginx) -> None:
    """The one that has loaded it, and no other; named as ever."""
    cfg = "threaded,Facts"
    assert call(nginx, cfg, method="own") == [
        True,
        "threaded.Facts False <class 'threading.Thread'>",
    ]
    names = call(nginx, cfg, method="threads")[1].split()
    assert names.count("threaded.Facts") == 1
