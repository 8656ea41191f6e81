# SPDX-License-Identifier: BSD-2-Clause
"""Calls ffi.kafka from Lua."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from tests.integration.client import lua_string
from tests.integration.nginx import Nginx

CONSUME = {"type": "consume"}

# Less than the time a request of the tests may take.
TIMEOUT_MS = 10_000

# Seconds of patience: members hear of each step of a rebalance by their
# heartbeats, every three seconds, and one at rest looks once a second.
REBALANCE = 60


class Lua(str):
    """A request as a Lua expression."""


class Answer(NamedTuple):
    ok: bool
    body: str | None = None
    status: int | None = None

    @property
    def message(self) -> dict[str, Any]:
        assert self.ok, self
        assert self.body is not None, "no message"
        message = json.loads(self.body.encode("latin-1"))
        assert isinstance(message, dict)
        return message

    @property
    def value(self) -> str:
        value = self.message["value"]
        assert isinstance(value, str)
        return value


class Kafka:
    """One configuration of ffi.kafka, in one nginx if it is to be called."""

    def __init__(
        self,
        nginx: Nginx | None,
        servers: str,
        topic: str | list[str],
        *,
        module: str = "ffi.kafka",
        **more: Any,
    ) -> None:
        self._nginx = nginx
        config = {
            "servers": servers,
            "topic": topic,
            "group_id": topic,
            "timeout": TIMEOUT_MS,
            **more,
        }
        cfg = f"{module},init,{json.dumps(config)}"
        self.load = f'ngx.load_ffi("ffi_python3", {lua_string(cfg)})'

    @property
    def nginx(self) -> Nginx:
        assert self._nginx
        return self._nginx

    def call(self, request: Any) -> Answer:
        return self.calls([request])[0]

    def calls(self, requests: Iterable[Any]) -> list[Answer]:
        """All at once; the answers in the order of the requests."""
        items = [expression(request) for request in requests]
        rows = self.nginx.lua(
            CALLS.format(
                load=self.load, items=",".join(items), count=len(items)
            )
        )
        return [answer(*row) for row in rows]

    def produce(self, *values: str, **more: Any) -> None:
        """One after the other."""
        for value in values:
            request = {"type": "produce", "msg": value, **more}
            assert self.call(request) == Answer(True)

    def consume(self) -> dict[str, Any]:
        return self.call(CONSUME).message

    def consume_values(self, count: int) -> list[str]:
        return [self.consume()["value"] for _ in range(count)]

    def unload(self) -> None:
        self.nginx.lua(f"assert({self.load}):__unload()")


def expression(request: Any) -> str:
    if isinstance(request, Lua):
        return request
    if isinstance(request, (str, bytes)):
        return lua_string(request)
    return lua_string(json.dumps(request))


def answer(ok: bool, second: Any = None, third: Any = None) -> Answer:
    if ok or isinstance(second, str):
        return Answer(ok, second)
    return Answer(ok, third, int(second))


def base64_of(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


CALLS = """
local kafka = assert({load})
local requests = {{{items}}}
local threads, answers = {{}}, {{}}
for i = 1, {count} do
    threads[i] = ngx.thread.spawn(function()
        answers[i] = {{kafka:call(requests[i])}}
    end)
end
for i = 1, #threads do
    assert(ngx.thread.wait(threads[i]))
end
return unpack(answers, 1, #threads)
"""
