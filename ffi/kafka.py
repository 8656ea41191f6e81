"""Produces to and consumes from one topic of a Kafka cluster.

    ngx.load_ffi("ffi_python3", "ffi.kafka,init," .. config)

config is JSON: {"servers":"localhost:9092", "topic":"…", "group_id":"…"};
ffi.kafka_config.Config describes these keys and the optional ones.

    {"type":"produce", "msg":"…"}   status 0 once the broker acknowledged it
    {"type":"consume"}              the group's next message, or no body

A produce may have a "key", and "encoding":"base64" if its msg and key are
base64.  A message comes as {"topic","partition","timestamp","key","value"};
if key or value are not UTF-8, both are base64 and "encoding" says so.

Status 1: the request is at fault; 2: Kafka is.  The body is the reason.
"""

from __future__ import annotations

import atexit
import base64
import json
import logging
import threading
import time
from collections.abc import Iterable
from typing import Any

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Message

from ffi import tasks
from ffi.kafka_config import Config
from ffi.kafka_gateway import Gateway

OK = 0
BAD_REQUEST = 1
FAILED = 2

log = logging.getLogger("ffi.kafka")


class RequestError(Exception):
    pass


def init(cfg: int, tq: int) -> int:
    config = Config.parse(tasks.string(cfg))
    gateway = Gateway(config)
    threading.Thread(
        target=serve,
        args=(gateway, config.timeout / 1000, tasks.poll(tq)),
        name="kafka-requests",
        daemon=True,
    ).start()
    return 0


def serve(
    gateway: Gateway, timeout: float, requests: Iterable[tasks.Task]
) -> None:
    atexit.register(gateway.close)
    for task in requests:
        try:
            handle(gateway, timeout, task)
        except RequestError as exc:
            task.respond(BAD_REQUEST, str(exc).encode())
        except Exception as exc:
            log.exception("ffi.kafka: request")
            task.respond(FAILED, type(exc).__name__.encode())
    gateway.close()
    atexit.unregister(gateway.close)


def handle(gateway: Gateway, timeout: float, task: tasks.Task) -> None:
    """Sees to the task's answer, or raises."""
    request = parse(task.request())
    kind = request.get("type")
    if kind == "produce":
        gateway.produce(
            content(request, "msg"),
            None if request.get("key") is None else content(request, "key"),
            lambda fault: answer(task, fault),
        )
    elif kind == "consume":
        gateway.consume(
            time.monotonic() + timeout,
            lambda fault, message: answer(task, fault, message),
        )
    else:
        raise RequestError(f"unknown type: {json.dumps(kind):.100}")


def answer(
    task: tasks.Task, fault: str | None, message: Message | None = None
) -> None:
    try:
        if fault is not None:
            task.respond(FAILED, fault.encode())
        elif message is not None:
            task.respond(OK, encode(message))
        else:
            task.respond(OK)
    except Exception as exc:
        log.exception("ffi.kafka: answer")
        task.respond(FAILED, type(exc).__name__.encode())


def parse(raw: bytes | None) -> dict[str, Any]:
    if not raw:
        raise RequestError("the request is empty")
    try:
        request = json.loads(raw.decode())
    except (ValueError, RecursionError) as exc:
        raise RequestError(f"the request is not JSON: {exc}") from None
    if not isinstance(request, dict):
        raise RequestError("the request must be a JSON object")
    return request


def content(request: dict[str, Any], name: str) -> bytes:
    value = request.get(name)
    if not isinstance(value, str):
        raise RequestError(f"{name} must be a string")
    encoding = request.get("encoding")
    if encoding not in (None, "base64"):
        raise RequestError(f"unknown encoding: {json.dumps(encoding):.100}")
    try:
        if encoding is None:
            return value.encode()
        return base64.b64decode(value, validate=True)
    except ValueError as exc:
        raise RequestError(f"{name}: {exc}") from None


def encode(message: Message) -> bytes:
    key, value = message.key(), message.value()
    kind, timestamp = message.timestamp()
    fields: dict[str, Any] = {
        "topic": message.topic(),
        "partition": message.partition(),
        "timestamp": timestamp if kind != TIMESTAMP_NOT_AVAILABLE else None,
    }
    try:
        fields["key"] = None if key is None else key.decode()
        fields["value"] = None if value is None else value.decode()
    except UnicodeDecodeError:
        fields["key"] = None if key is None else base64_text(key)
        fields["value"] = None if value is None else base64_text(value)
        fields["encoding"] = "base64"
    return json.dumps(
        fields, ensure_ascii=False, separators=(",", ":")
    ).encode()


def base64_text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
