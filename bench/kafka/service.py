# SPDX-License-Identifier: BSD-2-Clause
"""The FastAPI service: answers a POST when Kafka has acknowledged it.

Its producer has librdkafka's settings of ffi.kafka.
"""

from __future__ import annotations

import asyncio
import os
import threading

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from fastapi import FastAPI, Request, Response


def make() -> FastAPI:
    topic = os.environ["KAFKA_TOPIC"]
    producer = Producer(
        {
            "bootstrap.servers": os.environ["KAFKA_SERVERS"],
            "acks": "all",
            "enable.idempotence": True,
            "linger.ms": float(os.environ.get("KAFKA_LINGER_MS", "0.5")),
        }
    )
    app = FastAPI()

    def deliver() -> None:
        while True:
            producer.poll(1)

    threading.Thread(target=deliver, daemon=True).start()

    async def produce(request: Request) -> Response:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[None] = loop.create_future()

        def settle(error: KafkaError | None) -> None:
            if answer.cancelled():
                return
            if error is None:
                answer.set_result(None)
            else:
                answer.set_exception(KafkaException(error))

        def delivered(error: KafkaError | None, message: Message) -> None:
            loop.call_soon_threadsafe(settle, error)

        producer.produce(topic, await request.body(), on_delivery=delivered)
        await answer
        return Response()

    app.add_api_route("/echo", produce, methods=["POST"])
    return app
