# SPDX-License-Identifier: BSD-2-Clause
"""The consumer groups: who is a member, and what each has been assigned.

A group makes a new generation whenever a member comes or goes: all join
again, one of them assigns the partitions, each gets its own by a sync.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable
from dataclasses import dataclass, field

from .protocol import Object

# Kafka's errors.
NONE = 0
ILLEGAL_GENERATION = 22
INCONSISTENT_PROTOCOL = 23
UNKNOWN_MEMBER = 25
REBALANCE = 27
FENCED = 82

EMPTY, JOINING, SYNCING, STABLE = range(4)

Answer = asyncio.Future[Object]


@dataclass
class Member:
    id: str
    # Of a static one.
    instance: str | None
    # Seconds.
    session: float
    patience: float
    kind: str
    protocols: dict[str, bytes]
    assignment: bytes = b""
    # While it waits for the others.
    join: Answer | None = None
    sync: Answer | None = None
    timer: asyncio.TimerHandle | None = field(default=None, repr=False)


class Group:
    def __init__(self) -> None:
        self.offsets: dict[tuple[str, int], tuple[int, str]] = {}
        self._loop = asyncio.get_running_loop()
        self._state = EMPTY
        self._generation = 0
        self._members: dict[str, Member] = {}
        self._leader = ""
        # Static members whose place another one has taken.
        self._fenced: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None

    def check(self, request: Object) -> int:
        """Of one that says which member it is from, and of which generation.

        Without one it is not from a member: there must be none then.
        """
        name, generation = request["member"], request["generation"]
        if not name and generation in (None, -1):
            return UNKNOWN_MEMBER if self._members else NONE
        member = self._members.get(name)
        if member is None:
            return self._unknown(name)
        if generation != self._generation:
            return ILLEGAL_GENERATION
        self._touch(member)
        return NONE

    def join(self, request: Object) -> Awaitable[Object]:
        name = request["member"] or ""
        offered = {
            each["name"]: each["metadata"] or b""
            for each in request["protocols"] or []
        }
        fault = self._refuse(name, request["kind"], offered)
        if fault:
            return answered({"error": fault, "member": name})
        session = request["session"] / 1000
        patience = max(request["rebalance"] or 0, request["session"]) / 1000
        member = Member(
            name or str(uuid.uuid4()),
            request["instance"],
            session,
            patience,
            request["kind"],
            offered,
        )
        for other in list(self._members.values()):
            if other.id == member.id:
                self._forget(other)
            elif other.instance and other.instance == member.instance:
                self._fenced.add(other.id)
                self._forget(self._members.pop(other.id))
        answer = member.join = self._loop.create_future()
        self._members[member.id] = member
        self._rebalance()
        return answer

    def sync(self, request: Object) -> Awaitable[Object]:
        fault = self.check(request)
        if fault:
            return answered({"error": fault})
        member = self._members[request["member"]]
        if self._state == JOINING:
            return answered({"error": REBALANCE})
        if self._state == SYNCING:
            answer = member.sync = self._loop.create_future()
            if member.id == self._leader:
                self._assign(request["assignments"] or [])
            return answer
        return answered({"assignment": member.assignment})

    def heartbeat(self, request: Object) -> int:
        fault = self.check(request)
        if not fault and self._state == JOINING:
            return REBALANCE
        return fault

    def leave(self, name: str) -> int:
        member = self._members.pop(name, None)
        if member is None:
            return UNKNOWN_MEMBER
        self._forget(member)
        self._rebalance()
        return NONE

    # ---- inside

    def _refuse(self, name: str, kind: str, offered: dict[str, bytes]) -> int:
        if name and name not in self._members:
            return self._unknown(name)
        others = [each for each in self._members.values() if each.id != name]
        if not offered or any(each.kind != kind for each in others):
            return INCONSISTENT_PROTOCOL
        if others and not self._common(others) & offered.keys():
            return INCONSISTENT_PROTOCOL
        return NONE

    def _common(self, members: list[Member]) -> set[str]:
        """Protocols that all of them know."""
        return set.intersection(*(set(each.protocols) for each in members))

    def _rebalance(self) -> None:
        if self._state != JOINING:
            self._state = JOINING
            for member in self._members.values():
                if member.sync and not member.sync.done():
                    member.sync.set_result({"error": REBALANCE})
                member.sync = None
            patience = [each.patience for each in self._members.values()]
            self._timer = self._loop.call_later(
                max(patience, default=0), self._elect
            )
        if all(each.join for each in self._members.values()):
            self._elect()

    def _elect(self) -> None:
        """Those who have not joined in time are out."""
        if self._timer:
            self._timer.cancel()
        for member in list(self._members.values()):
            if member.join is None:
                self._forget(self._members.pop(member.id))
        self._generation += 1
        if not self._members:
            self._state = EMPTY
            return
        self._state = SYNCING
        members = list(self._members.values())
        if self._leader not in self._members:
            self._leader = members[0].id
        known = self._common(members)
        protocols = self._members[self._leader].protocols
        protocol = next(name for name in protocols if name in known)
        everybody = [
            {
                "member": each.id,
                "instance": each.instance,
                "metadata": each.protocols[protocol],
            }
            for each in members
        ]
        for member in members:
            join, member.join = member.join, None
            self._touch(member)
            if join and not join.done():
                is_leader = member.id == self._leader
                join.set_result(
                    {
                        "generation": self._generation,
                        "protocol": protocol,
                        "leader": self._leader,
                        "member": member.id,
                        "members": everybody if is_leader else [],
                    }
                )

    def _assign(self, assignments: list[Object]) -> None:
        self._state = STABLE
        given = {each["member"]: each["assignment"] for each in assignments}
        for member in self._members.values():
            member.assignment = given.get(member.id) or b""
            if member.sync and not member.sync.done():
                member.sync.set_result({"assignment": member.assignment})
            member.sync = None

    def _touch(self, member: Member) -> None:
        """It lives."""
        if member.timer:
            member.timer.cancel()
        member.timer = self._loop.call_later(
            member.session, self._expire, member
        )

    def _expire(self, member: Member) -> None:
        # While it waits it is not expected to say anything.
        if member.join is None and self._members.get(member.id) is member:
            self.leave(member.id)

    def _forget(self, member: Member) -> None:
        if member.timer:
            member.timer.cancel()
        for answer in (member.join, member.sync):
            if answer and not answer.done():
                answer.set_result({"error": self._unknown(member.id)})

    def _unknown(self, name: str) -> int:
        return FENCED if name in self._fenced else UNKNOWN_MEMBER


def answered(values: Object) -> Answer:
    answer: Answer = asyncio.get_running_loop().create_future()
    answer.set_result(values)
    return answer
