# SPDX-License-Identifier: BSD-2-Clause
"""An nginx whose Python says what it is asked to, by Lua, WSGI and ASGI."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from ..client import lua_string
from ..nginx import HERE, ROOT, Nginx

APPS = Path(__file__).resolve().parent / "apps"

SERVER = """
    location /wsgi { python_pass talks:application name=shop; }
    location /asgi { python_pass talks:app; }
"""

# A way, and what it does there.
WAYS = {
    "function": "talks.function",
    "Plain": r"talks\.Plain\.speak",
    "Loop": r"talks\.Loop\.speak",
    "wsgi": "shop",
    "asgi": "talks:app",
}

_numbers = itertools.count(1)


class Talking(Nginx):
    def __init__(
        self, *, level: str = "info", main: str = "", http: str = ""
    ) -> None:
        super().__init__(
            main=main,
            http=f"python_path {APPS} {HERE / 'python'}"
            f" {ROOT / 'python'}; {http}",
            server=SERVER,
        )
        text = self.conf.read_text()
        self.conf.write_text(
            text.replace("error.log info;", f"error.log {level};")
        )
        self.allow_log(r"\[crit\].* talks\.shop: critical")

    def ask(self, way: str, what: str, method: str = "speak") -> None:
        if way in ("wsgi", "asgi"):
            self.get(f"/{way}?{what.replace(' ', '+')}")
            return
        self.lua(
            f'return ngx.load_ffi("ffi_python3", "talks,{way}")'
            f":{method}({lua_string(what)})"
        )

    def hear(
        self, way: str, what: str, pattern: str, method: str = "speak"
    ) -> str:
        """The entry that begins with the pattern, with what follows it.

        `{text}` in what and pattern is one of this request's own.
        """
        text = f"text-{next(_numbers)}"
        since = len(self.log())
        self.ask(way, what.format(text=text), method)
        pattern = pattern.replace("{text}", text)
        self.wait_log(pattern, since)
        (entry,) = (
            found for found in self.entries(since) if re.search(pattern, found)
        )
        return entry

    def entries(self, since: int = 0) -> Sequence[str]:
        """Of error.log; one may have several lines."""
        return re.split(r"^(?=\d{4}/\d\d/\d\d )", self.log(since), flags=re.M)


@pytest.fixture(scope="module")
def shared() -> Iterator[Talking]:
    with Talking() as nginx:
        yield nginx


@pytest.fixture
def talking(shared: Talking) -> Iterator[Talking]:
    with shared.watch():
        yield shared


NewTalking = Callable[..., Talking]
