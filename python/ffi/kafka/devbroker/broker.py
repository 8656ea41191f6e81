# SPDX-License-Identifier: BSD-2-Clause
"""Answers requests: one broker, which is leader, coordinator, controller."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import re
import struct
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from .groups import Group
from .log import CompressedError, Partition, RecordsError
from .protocol import APIS, Object, Reader, encode

# Kafka's errors.
OFFSET_OUT_OF_RANGE = 1
CORRUPT = 2
UNKNOWN_TOPIC = 3
INVALID_TOPIC = 17
UNSUPPORTED_VERSION = 35
TOPIC_EXISTS = 36
INVALID_PARTITIONS = 37
UNSUPPORTED_COMPRESSION = 76

NAME = re.compile(r"(?!\.{1,2}$)[a-zA-Z0-9._-]{1,249}")
BROKER_ID = 1
MOST_PARTITIONS = 10_000
API_VERSIONS = 18

# In place of a time, where to find an offset.
LATEST = -1
EARLIEST = -2

LONGEST_REQUEST = 100 << 20
INT32_MAX = 2**31 - 1


class Request(NamedTuple):
    values: Object
    version: int
    # Of the broker, as its client calls it.
    address: Object


class Broker:
    """Its public methods, but for `serve`, have the names of the requests."""

    def __init__(self) -> None:
        self._topics: dict[str, list[Partition]] = {}
        self._groups: defaultdict[str, Group] = defaultdict(Group)
        self._producers = 0
        # Done, and another one, when messages have come.
        self._news = asyncio.get_running_loop().create_future()

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """A connection, whose requests are answered one after the other."""
        host, port, *_ = writer.get_extra_info("sockname")
        address = {"id": BROKER_ID, "host": host, "port": port}
        with (
            contextlib.closing(writer),
            contextlib.suppress(OSError, EOFError, struct.error),
        ):
            while True:
                (size,) = struct.unpack(">i", await reader.readexactly(4))
                if not 0 <= size <= LONGEST_REQUEST:
                    return
                data = await reader.readexactly(size)
                answer = await self._answer(data, address)
                if answer is not None:
                    writer.write(struct.pack(">i", len(answer)) + answer)
                    await writer.drain()

    async def _answer(self, data: bytes, address: Object) -> bytes | None:
        """None where there is to be none; struct.error: it is no request."""
        reader = Reader(data)
        key, version = reader.number(">h"), reader.number(">h")
        head = struct.pack(">i", reader.number(">i"))
        reader.text()
        api = APIS.get(key)
        if api is None or not 0 <= version <= api.last:
            if key == API_VERSIONS:
                # Then it asks in an older one.
                values = self._versions(UNSUPPORTED_VERSION)
                return head + encode(APIS[key].response, 0, values)
            raise struct.error(f"there is no version {version} of {key}")
        values = reader.object(api.request, version)
        answer = getattr(self, api.name)(Request(values, version, address))
        if inspect.isawaitable(answer):
            answer = await answer
        if answer is None:
            return None
        return head + encode(api.response, version, answer)

    # ---- the cluster

    def api_versions(self, _: Request) -> Object:
        return self._versions(0)

    def _versions(self, error: int) -> Object:
        apis = [
            {"key": api.key, "first": 0, "last": api.last}
            for api in APIS.values()
        ]
        return {"error": error, "apis": apis}

    def metadata(self, request: Request) -> Object:
        asked = request.values["topics"]
        if asked is None or (not asked and request.version == 0):
            asked = [{"name": name} for name in self._topics]
        may_create = request.values["create"] is not False
        return {
            "brokers": [request.address],
            "cluster": "devbroker",
            "controller": BROKER_ID,
            "topics": [self._describe(t["name"], may_create) for t in asked],
        }

    def _describe(self, name: str, may_create: bool) -> Object:
        error = 0
        if name not in self._topics:
            error = self._create(name, 1) if may_create else UNKNOWN_TOPIC
        brokers = [{"id": BROKER_ID}]
        common = {
            "leader": BROKER_ID,
            "replicas": brokers,
            "in_sync": brokers,
        }
        count = len(self._topics.get(name, []))
        partitions = [{"index": index, **common} for index in range(count)]
        return {"error": error, "name": name, "partitions": partitions}

    def create_topics(self, request: Request) -> Object:
        topics = []
        for topic in request.values["topics"] or []:
            count = len(topic["assignments"] or []) or topic["partitions"]
            error = self._create(
                topic["name"],
                1 if count == -1 else count,
                only_validate=bool(request.values["only_validate"]),
            )
            topics.append({"name": topic["name"], "error": error})
        return {"topics": topics}

    def _create(
        self, name: str, count: int, *, only_validate: bool = False
    ) -> int:
        if name in self._topics:
            return TOPIC_EXISTS
        if not NAME.fullmatch(name or ""):
            return INVALID_TOPIC
        if not 1 <= count <= MOST_PARTITIONS:
            return INVALID_PARTITIONS
        if not only_validate:
            self._topics[name] = [Partition() for _ in range(count)]
        return 0

    def find_coordinator(self, request: Request) -> Object:
        return request.address

    def init_producer_id(self, _: Request) -> Object:
        self._producers += 1
        return {"producer": self._producers}

    # ---- messages

    def produce(self, request: Request) -> Object | None:
        def append(partition: Partition, asked: Object) -> Object:
            try:
                first = partition.append(asked["records"] or b"")
            except CompressedError:
                return {"error": UNSUPPORTED_COMPRESSION, "offset": -1}
            except RecordsError:
                return {"error": CORRUPT, "offset": -1}
            return {"offset": first, "time": -1}

        answer = each(request, self._found(append))
        news, self._news = self._news, self._news.get_loop().create_future()
        news.set_result(None)
        return answer if request.values["acks"] else None

    async def fetch(self, request: Request) -> Object:
        """At once where something is there; else as soon as it is."""
        loop = asyncio.get_running_loop()
        end = loop.time() + request.values["wait"] / 1000
        while True:
            answer, is_enough = self._read(request)
            left = end - loop.time()
            if is_enough or left <= 0:
                return answer
            await asyncio.wait([self._news], timeout=left)

    def _read(self, request: Request) -> tuple[Object, bool]:
        """And whether that will do."""
        left = most = request.values["most"] or INT32_MAX

        def read(partition: Partition, asked: Object) -> Object:
            nonlocal left
            end, offset = partition.end, asked["offset"]
            answer = {"end": end, "stable": end, "replica": -1}
            if not 0 <= offset <= end:
                return {**answer, "error": OFFSET_OUT_OF_RANGE}
            records = b""
            if left > 0:
                records = partition.read(offset, min(asked["most"], left))
                left -= len(records)
            return {**answer, "records": records}

        answer = each(request, self._found(read))
        is_faulty = any(
            partition.get("error")
            for topic in answer["topics"]
            for partition in topic["partitions"]
        )
        return answer, is_faulty or most - left >= request.values["least"]

    def list_offsets(self, request: Request) -> Object:
        def find(partition: Partition, asked: Object) -> Object:
            offset, time = 0, -1
            if asked["time"] == LATEST:
                offset = partition.end
            elif asked["time"] != EARLIEST:
                offset, time = partition.find(asked["time"])
            offsets = [{"offset": offset}] if offset >= 0 else []
            return {"offset": offset, "time": time, "offsets": offsets}

        return each(request, self._found(find))

    def _found(
        self, do: Callable[[Partition, Object], Object]
    ) -> Callable[[str, Object], Object]:
        def found(topic: str, asked: Object) -> Object:
            partitions = self._topics.get(topic, [])
            if not 0 <= asked["index"] < len(partitions):
                return {"error": UNKNOWN_TOPIC, "offset": -1}
            return do(partitions[asked["index"]], asked)

        return found

    # ---- groups

    def _group(self, request: Request) -> Group:
        return self._groups[request.values["group"]]

    def join_group(self, request: Request) -> Awaitable[Object]:
        return self._group(request).join(request.values)

    def sync_group(self, request: Request) -> Awaitable[Object]:
        return self._group(request).sync(request.values)

    def heartbeat(self, request: Request) -> Object:
        return {"error": self._group(request).heartbeat(request.values)}

    def leave_group(self, request: Request) -> Object:
        return {"error": self._group(request).leave(request.values["member"])}

    def offset_commit(self, request: Request) -> Object:
        group = self._group(request)
        error = group.check(request.values)

        def commit(topic: str, asked: Object) -> Object:
            if not error:
                place = asked["offset"], asked["metadata"]
                group.offsets[topic, asked["index"]] = place
            return {"error": error}

        return each(request, commit)

    def offset_fetch(self, request: Request) -> Object:
        offsets = self._group(request).offsets
        if request.values["topics"] is None:
            request.values["topics"] = [
                {"name": name, "partitions": [{"index": index}]}
                for name, index in offsets
            ]

        def committed(topic: str, asked: Object) -> Object:
            offset, metadata = offsets.get((topic, asked["index"]), (-1, ""))
            return {"offset": offset, "leader_epoch": -1, "metadata": metadata}

        return each(request, committed)


def each(request: Request, do: Callable[[str, Object], Object]) -> Object:
    """What `do` makes of each topic's name and partition in the request."""
    return {
        "topics": [
            {
                "name": topic["name"],
                "partitions": [
                    {"index": asked["index"], **do(topic["name"], asked)}
                    for asked in topic["partitions"] or []
                ],
            }
            for topic in request.values["topics"] or []
        ]
    }
