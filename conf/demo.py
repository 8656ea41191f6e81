# SPDX-License-Identifier: BSD-2-Clause
"""What `make run` serves: nginx.conf beside this has the locations."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

from resty_ffi import Error, serve


@serve
class Demo:
    def echo(self, request: bytes) -> bytes:
        return request

    def sum(self, request: bytes) -> str:
        try:
            return json.dumps({"sum": sum(json.loads(request)["numbers"])})
        except (ValueError, KeyError, TypeError) as error:
            raise Error(400, f"no numbers: {error!r}") from error

    async def count(self, request: bytes) -> AsyncIterator[str]:
        for number in range(1, 6):
            yield str(number)
            await asyncio.sleep(0.5)
