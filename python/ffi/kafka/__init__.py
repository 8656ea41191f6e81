# SPDX-License-Identifier: BSD-2-Clause
"""Produces to Kafka and consumes from it, as a member of a group.

    ngx.load_ffi("ffi_python3", "ffi.kafka,init," .. config)

config is JSON: {"servers":"localhost:9092", "topic":"…", "group_id":"…"}.
Requests and answers are JSON too; docs/kafka.md has all of it.

    {"type":"produce", "msg":"…"}   status 0 once the brokers have it
    {"type":"consume"}              the group's next message, or no body
    {"type":"stream"}               one after the other, as they come
    {"type":"ack", …}               it is dealt with ("ack":"manual")
    {"type":"nack", …}              somebody else is to have it
    {"type":"stats"}

The event loop (`service`, `stream`, `consumer`) decides what happens; `ledger`
knows which message is where.  What blocks is done by a thread each: the
producer (`producer`), the group's member (`member`), the topics (`topics`).
`health` knows when another member is to take the place of one, `instance` who
is which static one.  `devbroker` is a broker for trying things out.
"""

try:
    from .service import init
except ModuleNotFoundError as error:
    if error.name not in ("confluent_kafka", "orjson"):
        raise
    raise ImportError(
        f"ffi.kafka needs {error.name}: pip install 'resty-ffi[kafka]', or"
        " what requirements/kafka.txt says, in the Python that nginx has"
    ) from error

__all__ = ["init"]
