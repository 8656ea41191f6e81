# SPDX-License-Identifier: BSD-2-Clause
"""What the options of ngx.load_ffi change."""

from __future__ import annotations

import sys
import threading

from resty_ffi import serve


@serve
class Together:
    """Answers once as many are here as the config says."""

    def __init__(self, config: str) -> None:
        self.barrier = threading.Barrier(int(config))

    def plain(self, request: bytes) -> str:
        self.barrier.wait(10)
        return threading.current_thread().name


@serve(threads=9)
class TogetherAsync(Together):
    async def slow(self, request: bytes) -> bytes:
        return request


@serve
def threads(request: bytes) -> str:
    return str(sum(t.name.startswith("opts") for t in threading.enumerate()))


@serve
def interval(request: bytes) -> str:
    return f"{sys.getswitchinterval():.6f}"
