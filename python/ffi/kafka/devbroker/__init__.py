# SPDX-License-Identifier: BSD-2-Clause
"""A Kafka broker for trying things out: `python -m ffi.kafka.devbroker`.

It keeps everything in memory and forgets all when it ends.  `protocol` reads
and writes what goes over the wire; `log` holds the messages, `groups` the
consumers; `broker` answers the requests.
"""
