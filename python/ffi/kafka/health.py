# SPDX-License-Identifier: BSD-2-Clause
"""What a member suffers from, and when another one is to take its place.

No I/O, no threads, no clock: `Health` is told what happens.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .ledger import Key

# Seconds. One that is spent gets a successor soon; later where that did not
# help, and where librdkafka goes on trying by itself.
SOON = 1.0
LATER = 10.0
# A group may take a while to let a member in.
JOIN = 20.0


class Health:
    """A member's is its thread's; any thread may read `fault`."""

    def __init__(self) -> None:
        self.keys: set[Key] = set()
        # Nothing will come of it any more.
        self.is_spent = False
        self._fault: str | None = None
        self._faults: dict[Key, str] = {}
        self._renew_at: float | None = None
        self._patience = SOON
        self._joining_since: float | None = None

    @property
    def fault(self) -> str | None:
        """Of the member, else of one of its partitions."""
        return self._fault or next(iter(self._faults.values()), None)

    @property
    def is_silent(self) -> bool:
        """Whether no message can come."""
        return self._fault is not None or (
            bool(self.keys) and self._faults.keys() == self.keys
        )

    def suffer(
        self, fault: str, now: float, *, key: Key | None = None
    ) -> None:
        """key: of the partition of its own that is concerned."""
        if key is None:
            self._fault = fault
        else:
            self._faults[key] = fault
        if self.is_silent and self._renew_at is None:
            self._renew_at = now + LATER

    def spend(self, fault: str, now: float) -> None:
        """The client has given up, and with it the partitions."""
        if not self.is_spent:
            self._renew_at = now + self._patience
            self._patience = min(2 * self._patience, LATER)
        self.is_spent = True
        self._fault = fault

    def joining(self, now: float) -> None:
        """It is to be assigned something, or nothing."""
        self._joining_since = now

    def look(self, now: float) -> None:
        """To be called now and then."""
        since = self._joining_since
        if since is not None and now - since >= JOIN and not self._fault:
            self.suffer(f"not let into the group within {JOIN:.0f} s", now)

    def assigned(self, keys: Sequence[Key]) -> None:
        """It is in the group, even if there are none."""
        self._joining_since = None
        self._fault = None
        self._patience = SOON
        self.keys.update(keys)
        self._well(keys)

    def arrived(self, keys: Iterable[Key]) -> None:
        """Messages of these."""
        if self.fault is not None and not self.is_spent:
            self._fault = None
            self._well(keys)

    def gone(self, keys: Sequence[Key]) -> None:
        self.keys.difference_update(keys)
        self._well(keys)

    def is_due(self, now: float) -> bool:
        """Whether another one is to try."""
        return self._renew_at is not None and now >= self._renew_at

    def renewed(self, fault: str | None) -> None:
        """Another one is there, with this fault until it is in the group."""
        self.keys.clear()
        self._faults.clear()
        self._fault = fault
        self.is_spent = False
        self._renew_at = self._joining_since = None

    def wait(self, now: float, seconds: float) -> None:
        """It is not the time yet."""
        self._renew_at = now + seconds

    def _well(self, keys: Iterable[Key]) -> None:
        for key in keys:
            self._faults.pop(key, None)
        if not self.is_silent:
            self._renew_at = None
