"""Whether messages wait for others that must not go first: less urgent ones, or a failing lane."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Protocol

from bridge.broker.topology import partition_of
from bridge.messages import PRIORITIES
from tests.simulation.broker import Stored
from tests.simulation.loop import Universe
from tests.simulation.plan import Plan, Script

OVERTAKEN = 3
"""Less urgent messages of other conversations that may start while a message waits, beside those
that have a slot when it arrives: one in four slots goes to the lane that waits longest."""
OF_ITS_OWN = 1
"""Those of its conversation: one that has its slot, or is about to have it."""


HELD_UP = 10.0
"""Seconds, beside those of the faults, for which a message may be held up.

Its process returns it to its queue: a consumer comes and goes on each queue before, so that takes
five frames. Or a turn of its conversation has ended, but is not settled: an overflow queue must be
declared, copied to, or found to be empty, and each confirm that is lost takes two seconds."""


class Seen(Protocol):
    """What the ledger knows."""

    plan: Plan
    universe: Universe

    @property
    def is_held_up(self) -> Callable[[str, Script, Script], bool]:
        """Whether a message that a process was given cannot start there while another one does."""

    def is_next(self, script: Script) -> bool:
        """Whether a message that waits could run now."""


class Precedence:
    """The messages that wait in each process, and the less urgent ones that started meanwhile."""

    def __init__(self, ledger: Seen) -> None:
        self._ledger = ledger
        self._partitions = ledger.plan.partitions
        self._most = ledger.plan.concurrency + OVERTAKEN
        self._held_up = HELD_UP + sum(fault.seconds for fault in ledger.plan.faults)
        self._since: dict[tuple[str, str], float] = {}
        """(process, id) → since when a message is held up."""
        self._waiting: defaultdict[str, dict[str, Script]] = defaultdict(dict)
        self._queues: dict[tuple[str, str], str] = {}
        """(process, id) → the queue from which the process got a message last."""
        self._passed: defaultdict[tuple[str, str], list[set[str]]] = defaultdict(
            lambda: [set(), set()]
        )
        self._troubled: set[tuple[str, str]] = set()
        """(process, conversation) with a redelivered message, or one whose attempt has failed."""

    def arrives(self, process: str, message: Stored, script: Script) -> None:
        """Note that a message has reached a process."""
        if message.count or self._ledger.plan.policies:
            self._troubled.add((process, script.conversation))
        elif self._ledger.plan.flow == "inbound":
            self._waiting[process][script.id] = script
            self._queues[process, script.id] = message.queue

    def forget(self, name: str, message: Stored) -> None:
        """Note that a process, by its name, does not hold a message of a queue any more.

        If the message was moved, the process may hold it already from its overflow queue.
        """
        if self._queues.get((name, message.id)) == message.queue:
            self._waiting[name].pop(message.id, None)
            self._passed.pop((name, message.id), None)

    def starts(self, process: str, script: Script) -> str:
        """Note that a message starts; return for what others it should have waited, or ""."""
        waiting = self._waiting[process]
        if waiting.pop(script.id, None) is None:
            self._troubled.add((process, script.conversation))
        self._passed.pop((process, script.id), None)
        for other in waiting.values():
            if self._is_passed_over(process, other, script):
                passed = self._passed[process, other.id]
                own = other.conversation == script.conversation
                passed[own].add(script.id)
                if len(passed[own]) > (OF_ITS_OWN if own else self._most):
                    first = ", ".join(sorted(passed[own]))
                    return f"{other.id} ({other.priority}) waits in {process} while {first} run"
        return ""

    def fails(self, process: str, script: Script) -> None:
        """Note that an attempt has failed: failing lanes wait for each other, in one slot of four.

        So do the other messages of its conversation from now on, not only once it is tried again.
        """
        self._troubled.add((process, script.conversation))

    def _is_passed_over(self, process: str, waiting: Script, started: Script) -> bool:
        """Whether a message that waits could have started instead of a less urgent one.

        One that an urgent message of its conversation waits for is as urgent to all others.
        """
        rank = PRIORITIES.index
        return (
            rank(waiting.priority) < rank(started.priority)
            and self._partition(waiting) == self._partition(started)
            and (process, waiting.conversation) not in self._troubled
            and not any(
                rank(other.priority) <= rank(waiting.priority)
                for other in self._waiting[process].values()
                if other.conversation == started.conversation != waiting.conversation
            )
            and self._ledger.is_next(waiting)
            and not self._is_held_up(process, waiting, started)
        )

    def _is_held_up(self, process: str, script: Script, started: Script) -> bool:
        """Whether a message is held up, and not for too long."""
        key, now = (process, script.id), self._ledger.universe.now
        if not self._ledger.is_held_up(process, script, started):
            self._since.pop(key, None)
            return False
        return now - self._since.setdefault(key, now) <= self._held_up

    def _partition(self, script: Script) -> int:
        return partition_of(script.conversation, self._partitions)
