# SPDX-License-Identifier: BSD-2-Clause
"""Work that handlers leave to threads; it is noted when it is done."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from resty_ffi import serve

PLACE = {"at_import": threading.Thread(target=print).daemon}

pool = ThreadPoolExecutor(1, "users-pool")


def note(text: str) -> None:
    with Path(os.environ["NOTES"]).open("a") as notes:
        notes.write(f"{text}\n")


def job(what: str, seconds: float) -> None:
    time.sleep(seconds)
    note(f"{what} {threading.current_thread().daemon}")


def nest(seconds: float) -> None:
    threading.Thread(target=job, args=("nested", seconds)).start()


def leave(what: str, seconds: float) -> None:
    if what == "thread":
        threading.Thread(target=job, args=(what, seconds), name=what).start()
    elif what == "timer":
        threading.Timer(seconds, job, (what, 0)).start()
    elif what == "pool":
        for _ in range(3):
            pool.submit(job, what, seconds / 3)
    elif what == "nested":
        threading.Thread(target=nest, args=(seconds,)).start()
    elif what == "daemon":
        threading.Thread(target=job, args=(what, seconds), daemon=True).start()
    else:
        raise ValueError(what)


@serve
def plain(request: bytes) -> str:
    """request: "WHAT SECONDS"; the answer: of this thread."""
    what, seconds = request.decode().split()
    leave(what, float(seconds))
    return str(threading.current_thread().daemon)


@serve(threads=3)
def threads(request: bytes) -> str:
    return plain(request)


@serve
async def loop(request: bytes) -> str:
    what, seconds = request.decode().split()
    if what == "to_thread":
        future = asyncio.to_thread(job, what, float(seconds))
        sys.modules[__name__].__dict__["kept"] = asyncio.ensure_future(future)
        await asyncio.sleep(0)
        return str(threading.current_thread().daemon)
    return plain(request)


@serve(threads=2)
class Pooled:
    async def never(self, request: bytes) -> None: ...

    def any(self, request: bytes) -> str:
        return plain(request)


def poll_loop(cfg: int, tq: int) -> int:
    PLACE["in_init"] = threading.Thread(target=print).daemon
    return 0
