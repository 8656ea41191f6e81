# SPDX-License-Identifier: BSD-2-Clause
"""Handlers that do what handlers should not."""

import ctypes
import os
import resource
import signal
import sys
import threading
import time
from typing import NoReturn

from resty_ffi import serve

MIB = 1024 * 1024


def by_sort(n: int) -> int:
    """A frame of C for each of Python."""
    if n == 0:
        return 0
    sorted([n], key=lambda m: by_sort(m - 1))
    return n


def by_call(n: int) -> int:
    return 0 if n == 0 else 1 + by_call(n - 1)


class Attribute:
    def __getattr__(self, name: str) -> int:
        n = int(name[1:])
        return 0 if n == 0 else 1 + int(getattr(self, f"a{n - 1}"))


def by_attribute(n: int) -> int:
    return int(getattr(Attribute(), f"a{n}"))


@serve
class Deep:
    """The limit is the process's: each call sets it, and sets it back."""

    def __call__(self, request: bytes) -> str:
        kind, depth, limit = request.decode().split()
        before = sys.getrecursionlimit()
        sys.setrecursionlimit(int(limit))
        try:
            return str(globals()[f"by_{kind}"](int(depth)))
        finally:
            sys.setrecursionlimit(before)


@serve
async def deep_async(request: bytes) -> str:
    return Deep()(request)


def used() -> int:
    """Bytes of address space that this process has."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


@serve
class Memory:
    """Little is left for a while."""

    def _limit(self, left: int) -> tuple[int, int]:
        before = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (used() + left, before[1]))
        return before

    def at_once(self, request: bytes) -> str:
        before = self._limit(64 * MIB)
        try:
            return str(len(bytearray(1024 * MIB)))
        finally:
            resource.setrlimit(resource.RLIMIT_AS, before)

    def bit_by_bit(self, request: bytes) -> str:
        """Down to the last byte; what was taken lives as long as the error."""
        before = self._limit(64 * MIB)
        try:
            taken: list[object] = []
            size = 16 * MIB
            while True:
                try:
                    taken.append(bytearray(size))
                except MemoryError:
                    if size < 16:
                        raise
                    size //= 2
        finally:
            resource.setrlimit(resource.RLIMIT_AS, before)

    def fine(self, request: bytes) -> bytes:
        return request


@serve
class Dead:
    """Ends the process."""

    def exit(self, request: bytes) -> NoReturn:
        os._exit(3)

    def abort(self, request: bytes) -> NoReturn:
        os.abort()

    def segfault(self, request: bytes) -> str:
        return str(ctypes.string_at(8))

    def kill(self, request: bytes) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def pid(self, request: bytes) -> str:
        return str(os.getpid())


@serve(threads=16)
def held(request: bytes) -> str:
    time.sleep(float(request))
    return str(os.getpid())


busy = threading.Event()


@serve
class Busy:
    """A thread of Python's that never waits."""

    def start(self, request: bytes) -> None:
        busy.set()
        for _ in range(int(request)):
            threading.Thread(target=self._spin, daemon=True).start()

    def stop(self, request: bytes) -> None:
        busy.clear()

    def _spin(self) -> None:
        n = 0
        while busy.is_set():
            n += 1
