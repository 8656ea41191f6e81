# SPDX-License-Identifier: BSD-2-Clause
"""A model's tokens as server-sent events, each rewritten on its way.

make run CONF=examples/tokens/nginx.conf
curl -N localhost:20000 -d 'write to ann@example.org, or do not'
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator

from resty_ffi import serve

ADDRESS = re.compile(r"[\w.+-]+@[\w-]+(\.[\w-]+)+")


async def model(prompt: str) -> AsyncIterator[str]:
    """In the place of a real one: takes its time, and says the same again."""
    for word in re.findall(r"\s*\S+", prompt):
        await asyncio.sleep(0.05)
        yield word


def rewrite(token: str) -> str:
    """No address goes out, whatever the model knows."""
    return ADDRESS.sub("[address]", token)


@serve
async def tokens(request: bytes) -> AsyncIterator[str]:
    """Ends with the client: it is closed where it waits."""
    count = 0
    async for token in model(request.decode(errors="replace")):
        count += 1
        yield f"data: {json.dumps(rewrite(token))}\n\n"
    yield f"event: end\ndata: {count}\n\n"
