# SPDX-License-Identifier: BSD-2-Clause
"""Kafka's wire protocol: the requests that the broker knows.

Of each the oldest version and those before the compact encoding; clients pick
one by ApiVersions, or take the oldest.  A message's fields stand in their
order as `name:type/versions`: all versions, `/3`: from 3 on, `/1-4`.  An array
is `name:[fields]`, a list of dicts.

None is what is null, and what a version lacks.  It is written as 0 or empty;
a `text` is a string that is written as null then.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

Object = dict[str, Any]

ALL = float("inf")


@dataclass(frozen=True)
class Field:
    name: str
    # A list of fields where it is an array.
    kind: str | list[Field]
    first: int = 0
    last: float = ALL

    def is_in(self, version: int) -> bool:
        return self.first <= version <= self.last


TOKEN = re.compile(
    r"(?P<name>\w+):(?:(?P<kind>\w+)|(?P<begin>\[))"
    r"|(?P<end>\])|/(?P<first>\d+)(?P<to>-(?P<last>\d+))?|\s+"
)


def parse(text: str) -> list[Field]:
    """Of a message's text."""
    fields: list[Field] = []
    outer: list[list[Field]] = []
    for token in TOKEN.finditer(text):
        if token["begin"]:
            inner: list[Field] = []
            fields.append(Field(token["name"], inner))
            outer.append(fields)
            fields = inner
        elif token["name"]:
            fields.append(Field(token["name"], token["kind"]))
        elif token["end"]:
            fields = outer.pop()
        elif token["first"]:
            last = int(token["last"]) if token["to"] else ALL
            fields[-1] = replace(
                fields[-1], first=int(token["first"]), last=last
            )
    return fields


@dataclass(frozen=True)
class Api:
    """Its name is that of the broker's method."""

    name: str
    key: int
    last: int
    request: list[Field]
    response: list[Field]


def apis(texts: str) -> Iterator[Api]:
    """NAME KEY LAST-VERSION, then a line `>` and one `<`."""
    for text in texts.strip().split("\n\n"):
        head, request, response = re.split(r"\n[<>]", text)
        name, key, last = head.split()
        yield Api(name, int(key), int(last), parse(request), parse(response))


# ---- what is read


class Reader:
    """struct.error where there is less than there has to be."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def number(self, form: str) -> Any:
        (value,) = struct.unpack_from(form, self._data, self._at)
        self._at += struct.calcsize(form)
        return value

    def raw(self, size: int) -> bytes | None:
        if size < 0:
            return None
        begin, self._at = self._at, self._at + size
        if self._at > len(self._data):
            raise struct.error("too short")
        return self._data[begin : self._at]

    def text(self) -> str | None:
        raw = self.raw(self.number(">h"))
        return None if raw is None else raw.decode(errors="replace")

    def value(self, kind: str | list[Field], version: int) -> Any:
        if isinstance(kind, list):
            count = self.number(">i")
            if count < 0:
                return None
            return [self.object(kind, version) for _ in range(count)]
        if kind in ("str", "text"):
            return self.text()
        if kind == "bytes":
            return self.raw(self.number(">i"))
        return self.number(FORMS[kind])

    def object(self, fields: list[Field], version: int) -> Object:
        """Fields that the version lacks are None."""
        return {
            field.name: self.value(field.kind, version)
            if field.is_in(version)
            else None
            for field in fields
        }


# ---- what is written

FORMS = {
    "bool": ">?",
    "i8": ">b",
    "i16": ">h",
    "i32": ">i",
    "i64": ">q",
}


def encode(fields: list[Field], version: int, values: Object) -> bytes:
    """What values lack is None."""
    return b"".join(_object(fields, version, values))


def _object(
    fields: list[Field], version: int, values: Object
) -> Iterator[bytes]:
    for field in fields:
        if field.is_in(version):
            yield from _value(field.kind, version, values.get(field.name))


def _value(
    kind: str | list[Field], version: int, value: Any
) -> Iterator[bytes]:
    if isinstance(kind, list):
        yield struct.pack(">i", len(value or []))
        for item in value or []:
            yield from _object(kind, version, item)
    elif kind == "text" and value is None:
        yield struct.pack(">h", -1)
    elif kind in ("str", "text"):
        raw = (value or "").encode()
        yield struct.pack(">h", len(raw)) + raw
    elif kind == "bytes":
        yield struct.pack(">i", len(value or b""))
        yield value or b""
    else:
        yield struct.pack(FORMS[kind], value or 0)


APIS = {
    api.key: api
    for api in apis("""
produce 0 8
> transactional:text/3 acks:i16 timeout:i32
  topics:[name:str partitions:[index:i32 records:bytes]]
< topics:[name:str partitions:[index:i32 error:i16 offset:i64 time:i64/2
  start:i64/5 errors:[index:i32 message:text]/8 message:text/8]] throttle:i32/1

fetch 1 11
> replica:i32 wait:i32 least:i32 most:i32/3 isolation:i8/4 session:i32/7
  epoch:i32/7 topics:[name:str partitions:[index:i32 leader_epoch:i32/9
  offset:i64 start:i64/5 most:i32]]
  forgotten:[name:str partitions:[index:i32]]/7 rack:text/11
< throttle:i32/1 error:i16/7 session:i32/7 topics:[name:str
  partitions:[index:i32 error:i16 end:i64 stable:i64/4 start:i64/5
  aborted:[producer:i64 first:i64]/4 replica:i32/11 records:bytes]]

list_offsets 2 5
> replica:i32 isolation:i8/2 topics:[name:str partitions:[index:i32
  leader_epoch:i32/4 time:i64 most:i32/0-0]]
< throttle:i32/2 topics:[name:str partitions:[index:i32 error:i16
  offsets:[offset:i64]/0-0 time:i64/1 offset:i64/1 leader_epoch:i32/4]]

metadata 3 8
> topics:[name:str] create:bool/4 of_cluster:bool/8 of_topics:bool/8
< throttle:i32/3 brokers:[id:i32 host:str port:i32 rack:text/1] cluster:text/2
  controller:i32/1 topics:[error:i16 name:str internal:bool/1
  partitions:[error:i16 index:i32 leader:i32 leader_epoch:i32/7
  replicas:[id:i32] in_sync:[id:i32] offline:[id:i32]/5] allowed:i32/8]
  allowed:i32/8

offset_commit 8 7
> group:str generation:i32/1 member:str/1 instance:text/7 retention:i64/2-4
  topics:[name:str partitions:[index:i32 offset:i64 leader_epoch:i32/6
  time:i64/1-1 metadata:text]]
< throttle:i32/3 topics:[name:str partitions:[index:i32 error:i16]]

offset_fetch 9 5
> group:str topics:[name:str partitions:[index:i32]]
< throttle:i32/3 topics:[name:str partitions:[index:i32 offset:i64
  leader_epoch:i32/5 metadata:text error:i16]] error:i16/2

find_coordinator 10 2
> key:str kind:i8/1
< throttle:i32/1 error:i16 message:text/1 id:i32 host:str port:i32

join_group 11 5
> group:str session:i32 rebalance:i32/1 member:str instance:text/5 kind:str
  protocols:[name:str metadata:bytes]
< throttle:i32/2 error:i16 generation:i32 protocol:str leader:str member:str
  members:[member:str instance:text/5 metadata:bytes]

heartbeat 12 2
> group:str generation:i32 member:str
< throttle:i32/1 error:i16

leave_group 13 2
> group:str member:str
< throttle:i32/1 error:i16

sync_group 14 2
> group:str generation:i32 member:str
  assignments:[member:str assignment:bytes]
< throttle:i32/1 error:i16 assignment:bytes

api_versions 18 2
>
< error:i16 apis:[key:i16 first:i16 last:i16] throttle:i32/1

create_topics 19 4
> topics:[name:str partitions:i32 replication:i16
  assignments:[index:i32 replicas:[id:i32]] config:[name:str value:text]]
  timeout:i32 only_validate:bool/1
< throttle:i32/2 topics:[name:str error:i16 message:text/1]

init_producer_id 22 1
> transactional:text timeout:i32
< throttle:i32 error:i16 producer:i64 epoch:i16
""")
}
