# SPDX-License-Identifier: BSD-2-Clause
"""When a member is made anew, and what it is said to suffer from."""

from __future__ import annotations

from ffi.kafka.health import JOIN, LATER, SOON, Health
from ffi.kafka.ledger import Key

A: Key = ("t", 0)
B: Key = ("t", 1)


def test_a_spent_one_is_due_soon_then_later() -> None:
    health, now = Health(), 0.0
    waits = []
    for _ in range(6):
        health.spend("gone", now)
        begin = now
        while not health.is_due(now):
            now += SOON / 2
            # That it says so again changes nothing.
            health.spend("gone", now)
        waits.append(now - begin)
        health.renewed(health.fault)
        assert not health.is_due(now + 1e9)
        assert (health.fault, health.is_silent) == ("gone", True)
    assert waits == [SOON, 2 * SOON, 4 * SOON, 8 * SOON, LATER, LATER]
    health.assigned([])
    assert (health.fault, health.is_silent) == (None, False)
    health.spend("gone", now)
    assert health.is_due(now + SOON)


def test_one_that_goes_on_trying_is_due_later() -> None:
    health = Health()
    health.suffer("refused", 0.0)
    health.suffer("refused", LATER / 2)
    assert not health.is_due(LATER - 1)
    assert health.is_due(LATER)
    health.assigned([A])
    assert not health.is_due(2 * LATER)
    assert health.fault is None


def test_a_message_tells_that_it_works() -> None:
    health = Health()
    health.assigned([A])
    health.suffer("refused", 0.0)
    health.arrived([A])
    assert health.fault is None
    assert not health.is_due(LATER)


def test_a_message_of_a_spent_one_tells_nothing() -> None:
    health = Health()
    health.assigned([A])
    health.spend("gone", 0.0)
    health.arrived([A])
    assert health.fault == "gone"
    assert health.is_due(SOON)


def test_a_partition_of_several() -> None:
    health = Health()
    health.assigned([A, B])
    health.suffer("a", 0.0, key=A)
    assert (health.fault, health.is_silent) == ("a", False)
    assert not health.is_due(LATER)
    health.arrived([B])
    assert health.fault == "a"
    health.arrived([A])
    assert health.fault is None


def test_all_partitions() -> None:
    health = Health()
    health.assigned([A, B])
    health.suffer("a", 0.0, key=A)
    health.suffer("b", 1.0, key=B)
    assert health.is_silent
    assert health.is_due(1.0 + LATER)
    health.gone([A])
    assert (health.fault, health.is_silent) == ("b", True)
    health.gone([B])
    assert (health.fault, health.is_silent) == (None, False)
    assert not health.is_due(1.0 + LATER)


def test_a_partition_that_is_assigned_anew() -> None:
    health = Health()
    health.assigned([A])
    health.suffer("a", 0.0, key=A)
    health.gone([A])
    health.assigned([A])
    assert (health.fault, health.is_silent) == (None, False)


def test_renewed_with_what_its_partitions_suffered() -> None:
    health = Health()
    health.assigned([A])
    health.suffer("a", 0.0, key=A)
    health.renewed(health.fault)
    assert (health.fault, health.is_silent) == ("a", True)
    assert health.keys == set()
    health.assigned([])
    assert (health.fault, health.is_silent) == (None, False)


def test_wait() -> None:
    health = Health()
    health.spend("fenced", 0.0)
    health.wait(1.0, 5.0)
    assert not health.is_due(5.9)
    assert health.is_due(6.0)


def test_a_group_that_lets_nobody_in() -> None:
    health = Health()
    health.look(JOIN)
    assert health.fault is None
    health.joining(0.0)
    health.look(JOIN - 1)
    assert health.fault is None
    health.look(JOIN)
    assert health.fault == "not let into the group within 20 s"
    assert health.is_due(JOIN + LATER)
    health.assigned([])
    health.look(9 * JOIN)
    assert health.fault is None
