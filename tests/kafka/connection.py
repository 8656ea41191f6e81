# SPDX-License-Identifier: BSD-2-Clause
"""HTTP to a location that calls ffi.kafka, for very many requests."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)
CLOSE = re.compile(rb"\r\nconnection: close", re.IGNORECASE)

# {load}: of a Kafka; {note}: Lua that is told of each answer as `res`.
# The answer is "0 " and the body, another status and a text, or "- " and
# why there is no status.
LOCATION = """
location = {uri} {{
    lua_check_client_abort {abort};
    content_by_lua_block {{
        local kafka = assert({load})
        ngx.req.read_body()
        local ok, res, text = kafka:call(ngx.req.get_body_data())
        {note}
        if ok then
            res = "0 " .. (res or "")
        elseif text then
            res = res .. " " .. text
        else
            res = "- " .. res
        end
        ngx.header.content_length = #res
        ngx.print(res)
    }}
}}
"""


def location(
    uri: str, load: str, *, abort: bool = True, note: str = ""
) -> str:
    """abort: whether nginx notices that the client has gone."""
    return LOCATION.format(
        uri=uri, load=load, abort="on" if abort else "off", note=note
    )


class LostError(Exception):
    """The connection ended before the answer was there."""


class Connection:
    """One that is kept alive; made anew where it has ended."""

    def __init__(self, socket: Path, uri: str) -> None:
        self._socket = socket
        self._uri = uri.encode()
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, request: Any) -> tuple[str, str]:
        """The status and the rest of the answer."""
        try:
            await self.send(request)
            assert self._reader
            head = await self._reader.readuntil(b"\r\n\r\n")
            length = LENGTH.search(head)
            assert length, head
            body = await self._reader.readexactly(int(length[1]))
        except (OSError, asyncio.IncompleteReadError) as error:
            self.drop()
            raise LostError from error
        if CLOSE.search(head):
            self.drop()
        assert head.startswith(b"HTTP/1.1 200 "), (head, body)
        status, _, text = body.decode().partition(" ")
        return status, text

    async def send(self, request: Any) -> None:
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_unix_connection(
                self._socket
            )
        body = json.dumps(request).encode()
        self._writer.write(
            b"POST %b HTTP/1.1\r\nHost: kafka\r\nContent-Length: %d\r\n\r\n%b"
            % (self._uri, len(body), body)
        )

    def drop(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()
        self._reader = self._writer = None
