"""A Kafka broker for trying things out: `python -m ffi.kafka.devbroker`.

It is librdkafka's mock cluster: one broker that keeps everything in memory,
creates each topic at its first use and forgets all when it ends.  The mock
picks a port of its own, so a relay on the wanted port leads clients there.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import os
import signal
import sys

from confluent_kafka import KafkaException, Producer

PR_SET_PDEATHSIG = 1
CHUNK = 65536

WARNING = (
    "All messages and offsets are lost when it ends, and nothing is ever\n"
    "written to a disk: for trying things out, not for production, nor to\n"
    "test what is delivered when brokers fail."
)


def start_mock() -> tuple[Producer, str, int]:
    """The mock cluster lives as long as the client that is returned."""
    client = Producer(
        {"bootstrap.servers": "", "test.mock.num.brokers": 1, "log_level": 4}
    )
    (broker,) = client.list_topics(timeout=10).brokers.values()
    return client, broker.host, broker.port


async def pump(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    while data := await reader.read(CHUNK):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


async def serve(host: str, port: int) -> None:
    mock, mock_host, mock_port = start_mock()

    async def relay(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError):
            up_reader, up_writer = await asyncio.open_connection(
                mock_host, mock_port
            )
            with contextlib.closing(up_writer):
                await asyncio.gather(
                    pump(reader, up_writer), pump(up_reader, writer)
                )

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)

    server = await asyncio.start_server(relay, host, port)
    names = {sock.getsockname()[1] for sock in server.sockets}
    print(f"in-memory Kafka broker on {host}:{names.pop()}")
    print(WARNING, flush=True)
    await stop.wait()
    server.close()
    del mock


def end_with(parent: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != parent:
        sys.exit(0)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m ffi.kafka.devbroker",
        description=f"A Kafka broker that keeps everything in memory."
        f" {WARNING}",
    )
    parser.add_argument("--host", default="localhost")
    parser.add_argument(
        "--port", type=int, default=9092, help="9092; 0 for any free one"
    )
    parser.add_argument(
        "--parent", type=int, metavar="PID", help="end when PID does"
    )
    options = parser.parse_args()
    if options.parent is not None:
        end_with(options.parent)
    try:
        asyncio.run(serve(options.host, options.port))
    except (OSError, KafkaException) as error:
        sys.exit(f"{parser.prog}: {error}")


if __name__ == "__main__":
    main()
