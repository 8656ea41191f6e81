# SPDX-License-Identifier: BSD-2-Clause

from __future__ import annotations

from resty_ffi import serve

from .payload import BY_PATH_BYTES


@serve
def get(request: bytes) -> bytes:
    return BY_PATH_BYTES[request]


@serve
def echo(request: bytes) -> bytes:
    return request


@serve
async def get_async(request: bytes) -> bytes:
    return BY_PATH_BYTES[request]


@serve
async def echo_async(request: bytes) -> bytes:
    return request
