# SPDX-License-Identifier: BSD-2-Clause
"""group.instance.id: the name that a member keeps when it comes back.

The group has one member of a name, and a newer one ends an older one. So one
runtime of this process has it; the one that follows waits until the member
before it has left.
"""

from __future__ import annotations

import threading

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from .config import INSTANCE_ID, Config

_lock = threading.Lock()
# By servers, group and id; the first may join.
_claims: dict[tuple[str | None, ...], list[Claim]] = {}


class Claim:
    """A runtime's to its group.instance.id; of none it is nobody else's."""

    def __init__(self, config: Config) -> None:
        """ValueError where a runtime of another config has the id.

        One of the same config is about to be replaced.
        """
        self._config = config
        self._name = config.servers, config.group_id, config.instance_id
        self._is_leaving = False
        if config.instance_id is None:
            return
        with _lock:
            claims = _claims.setdefault(self._name, [])
            for other in claims:
                if not other._is_leaving and other._config != config:
                    raise ValueError(
                        f"config: librdkafka: {INSTANCE_ID}: a runtime of this"
                        f" process has {config.instance_id} already"
                    )
            claims.append(self)

    @property
    def is_mine(self) -> bool:
        """Whether the members before it have left."""
        return _claims.get(self._name, [self])[0] is self

    def leave(self) -> None:
        """Others may claim it; they wait for `release`."""
        self._is_leaving = True

    def release(self) -> None:
        with _lock:
            claims = _claims.get(self._name, [])
            if self in claims:
                claims.remove(self)
            if not claims:
                _claims.pop(self._name, None)


def is_taken(config: Config, seconds: float) -> bool:
    """Whether the group has a member with the config's group.instance.id.

    To join then would fence that one. Asks the broker; True where it does
    not answer in so many seconds.
    """
    group = str(config.group_id)
    admin = AdminClient(config.admin())
    found = admin.describe_consumer_groups([group], request_timeout=seconds)
    try:
        members = found[group].result().members
    except KafkaException:
        return True
    return any(
        member.group_instance_id == config.instance_id for member in members
    )
