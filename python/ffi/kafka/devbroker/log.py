# SPDX-License-Identifier: BSD-2-Clause
"""The messages of a partition, as the producers have sent them.

They come in record batches, or from older clients in message sets; both are
kept as they are, but for the offsets, and given to anybody.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

# In both: offset, length of what follows it, then 4 bytes, then the format.
HEAD = struct.Struct(">qiib")
BEHIND_LENGTH = 12

# Of a record batch.
BATCH = 2
LAST_DELTA = struct.Struct(">i")
LAST_DELTA_AT = 23
LATEST_AT = 35
SMALLEST_BATCH = 61

# Of a message, in format 0 and 1.
ATTRIBUTES_AT = 17
TIME_AT = 18
SMALLEST_MESSAGE = 26
COMPRESSED = 0x07
TIME = struct.Struct(">q")


class RecordsError(Exception):
    """They are not what they should be."""


class CompressedError(RecordsError):
    """A compressed message set, whose offsets are inside."""


@dataclass
class Run:
    """Messages that came together."""

    first: int
    # Of the latest; -1 where they have none.
    time: int
    data: bytes


class Partition:
    def __init__(self) -> None:
        self.end = 0
        self._runs: list[Run] = []

    def append(self, records: bytes) -> int:
        """The first one's offset; RecordsError where they are damaged."""
        first = offset = self.end
        runs = []
        data = bytearray(records)
        for begin, end in entries(data):
            count, time = describe(data, begin)
            struct.pack_into(">q", data, begin, offset)
            runs.append(Run(offset, time, bytes(data[begin:end])))
            offset += count
        if not runs:
            raise RecordsError
        self._runs += runs
        self.end = offset
        return first

    def read(self, offset: int, most: int) -> bytes:
        """From there on, so many bytes at most, but one run in any case."""
        if offset == self.end:
            return b""
        behind = bisect_right(self._runs, offset, key=lambda run: run.first)
        found: list[bytes] = []
        for index in range(behind - 1, len(self._runs)):
            data = self._runs[index].data
            most -= len(data)
            if found and most < 0:
                break
            found.append(data)
        return b"".join(found)

    def find(self, time: int) -> tuple[int, int]:
        """Offset and time of the first that is not older; or -1, -1."""
        for run in self._runs:
            if run.time >= time:
                return run.first, run.time
        return -1, -1


def entries(data: bytearray) -> Iterator[tuple[int, int]]:
    """Where each batch or message begins and ends."""
    begin = 0
    while begin < len(data):
        if begin + HEAD.size > len(data):
            raise RecordsError
        _, length, _, form = HEAD.unpack_from(data, begin)
        end = begin + BEHIND_LENGTH + length
        least = SMALLEST_BATCH if form == BATCH else SMALLEST_MESSAGE
        if end > len(data) or end - begin < least or not 0 <= form <= BATCH:
            raise RecordsError
        yield begin, end
        begin = end


def describe(data: bytearray, begin: int) -> tuple[int, int]:
    """How many messages it has, and the time of the latest."""
    _, _, _, form = HEAD.unpack_from(data, begin)
    if form == BATCH:
        (delta,) = LAST_DELTA.unpack_from(data, begin + LAST_DELTA_AT)
        if delta < 0:
            raise RecordsError
        (time,) = TIME.unpack_from(data, begin + LATEST_AT)
        return delta + 1, time
    if data[begin + ATTRIBUTES_AT] & COMPRESSED:
        raise CompressedError
    if form == 0:
        return 1, -1
    (time,) = TIME.unpack_from(data, begin + TIME_AT)
    return 1, time
