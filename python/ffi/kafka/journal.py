# SPDX-License-Identifier: BSD-2-Clause
"""What librdkafka says: its log, its errors, without credentials."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Sequence

from confluent_kafka import KafkaError, KafkaException

# Seconds.
QUIET = 10.0
RECENT = 60.0
AGAIN = 5.0
CERTAIN = 1.5

# Trying again does not help: an administrator has to do something.
REFUSALS = {
    KafkaError._AUTHENTICATION,
    KafkaError._SSL,
    KafkaError.SASL_AUTHENTICATION_FAILED,
}

# librdkafka takes this for an idle connection's end, and reports no error.
HUNG_UP = re.compile(
    r"Disconnected.* in state (?:APIVERSION_QUERY|SSL_HANDSHAKE)\)"
)
HINT = "the broker hangs up at once: does security.protocol fit its listener?"

# Of names in the config that librdkafka repeats.
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")

log = logging.getLogger("ffi.kafka")


class Journal:
    """Shortens the log, and keeps the last error of a connection.

    Any thread may call it.
    """

    def __init__(
        self, secrets: Sequence[str], on_refusal: Callable[[], object]
    ) -> None:
        """on_refusal: the credentials are wrong, or TLS fails."""
        self._secrets = secrets
        self._on_refusal = on_refusal
        self._lock = threading.Lock()
        self._next: dict[str, float] = {}
        self._error: KafkaError | None = None
        self._error_at = 0.0
        # The first and the last time of those in a row.
        self._hung_up = 0.0, 0.0
        # A port that is forwarded hangs up, too, while no broker is there.
        self._has_worked = False

    def log(self, level: int, form: str, *args: str) -> None:
        """Called by librdkafka's clients in place of a logging.Logger."""
        kind, text = args[0], self.clean(args[-1])
        if kind == "FAIL":
            self._on_fail(text)
        # The three clients have one configuration.
        if kind == "CONFWARN" and "will be ignored by this" in text:
            return
        self.say(level, kind, "%s: %.300s", kind, text)

    def say(
        self,
        level: int,
        kind: str,
        form: str,
        *args: object,
        every: float = QUIET,
    ) -> bool:
        """A line for error.log, one of each kind in so many seconds.

        Whether this one is.
        """
        with self._lock:
            now = time.monotonic()
            if now < self._next.get(kind, now):
                return False
            self._next[kind] = now + every
        log.log(level, "ffi.kafka: %s", self.clean(form % args))
        return True

    def on_error(self, error: KafkaError) -> None:
        # This one only counts the others.
        if error.code() != KafkaError._ALL_BROKERS_DOWN:
            self._error, self._error_at = error, time.monotonic()
            if error.code() in REFUSALS:
                self._on_refusal()

    def on_success(self) -> None:
        self._error = None
        self._has_worked = True

    @property
    def is_refused(self) -> bool:
        error = self._recent()
        return self._is_hung_up() or (
            error is not None and error.code() in REFUSALS
        )

    def explain(self, text: str) -> str:
        """Adds what the connection last suffered from, if it is recent."""
        error = self._recent()
        if error is not None:
            text = f"{text} ({error.str()})"
        if self._is_hung_up():
            text = f"{text} ({HINT})"
        return self.clean(text)

    def describe(self, exc: Exception) -> str:
        return self.clean(describe(exc))

    def clean(self, text: str) -> str:
        """In one line, and without what is secret."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return CONTROL.sub(
            lambda found: f"\\x{ord(found[0]):02x}", " ".join(text.split())
        )

    def _on_fail(self, text: str) -> None:
        first, last = 0.0, 0.0
        if HUNG_UP.search(text) and not self._has_worked:
            last = time.monotonic()
            first, before = self._hung_up
            if last - before > AGAIN:
                first = last
            if last - first > CERTAIN:
                self.say(logging.ERROR, HINT, "%.300s (%s)", text, HINT)
        self._hung_up = first, last

    def _is_hung_up(self) -> bool:
        """Again and again: not just once, by a broker that ends."""
        first, last = self._hung_up
        return (
            not self._has_worked
            and last - first > CERTAIN
            and time.monotonic() - last < AGAIN
        )

    def _recent(self) -> KafkaError | None:
        if time.monotonic() - self._error_at < RECENT:
            return self._error
        return None


def describe(exc: Exception) -> str:
    if isinstance(exc, KafkaException) and exc.args:
        error = exc.args[0]
        return error.str() if isinstance(error, KafkaError) else str(error)
    return f"{type(exc).__name__}: {exc}"
