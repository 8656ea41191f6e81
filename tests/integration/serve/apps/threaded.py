# SPDX-License-Identifier: BSD-2-Clause
"""Made at import, for the thread that imports."""

from __future__ import annotations

import asyncio
import sqlite3
import threading

from resty_ffi import serve

importer = threading.get_ident()
name = threading.current_thread().name
local = threading.local()
local.value = "of import"
database = sqlite3.connect(":memory:")
database.execute("create table t (x)")
database.execute("insert into t values ('a row')")


def look(maker: int) -> str:
    """Raises sqlite3.ProgrammingError in any other thread."""
    ((row,),) = database.execute("select x from t").fetchall()
    here = threading.get_ident()
    same = importer == maker == here
    return f"{row}, {getattr(local, 'value', 'nothing')}, {same}"


@serve
def function(request: bytes) -> str:
    return look(importer)


@serve
class Plain:
    def __init__(self) -> None:
        self.maker = threading.get_ident()

    def look(self, request: bytes) -> str:
        return look(self.maker)


@serve
class Loop(Plain):
    async def a_look(self, request: bytes) -> str:
        await asyncio.sleep(0)
        return look(self.maker)

    async def close(self) -> None:
        look(self.maker)


@serve
class Facts:
    def threads(self, request: bytes) -> str:
        """Those of runtimes: their names, without what follows a comma."""
        return " ".join(sorted(t.name for t in threading.enumerate()))

    def own(self, request: bytes) -> str:
        thread = threading.current_thread()
        return f"{thread.name} {thread.daemon} {type(thread).__mro__[-2]}"


@serve
class Fails:
    def __init__(self) -> None:
        raise ValueError("look: " + look(threading.get_ident()))

    def get(self, request: bytes) -> None: ...
