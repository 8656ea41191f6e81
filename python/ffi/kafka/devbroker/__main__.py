# SPDX-License-Identifier: BSD-2-Clause
"""Serves until it gets a signal, or its parent ends."""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import os
import signal
import sys

from .broker import Broker

PR_SET_PDEATHSIG = 1

WARNING = (
    "All messages and offsets are lost when it ends, and nothing is ever\n"
    "written to a disk: for trying things out, not for production, nor to\n"
    "test what is delivered when brokers fail."
)


async def serve(host: str, port: int) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    server = await asyncio.start_server(Broker().serve, host, port)
    names = {sock.getsockname()[1] for sock in server.sockets}
    where = f"in-memory Kafka broker on {host}:{names.pop()}"
    # one write: who has read the first line may have closed the pipe
    print(f"{where}\n{WARNING}\n", end="", flush=True)
    await stop.wait()
    server.close()


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
    except OSError as error:
        sys.exit(f"{parser.prog}: {error}")


if __name__ == "__main__":
    main()
