"""Whether a message was dead-lettered too early: what must have happened before."""

from __future__ import annotations

from collections import Counter

from tests.simulation.plan import Script

STRIKES = {"timed out": 3, "poison": 2}
"""Attempts after which a message has exceeded its time too often, or may be convicted: a process
may die after it has counted an attempt, and before that begins."""
RETRIED = 45.0
"""Seconds for which a failing message is retried at least, unless its lane has used them up."""


class Trials:
    """The attempts at each message, and the conversations whose retry time is used up."""

    def __init__(self, is_paced: bool) -> None:
        """`is_paced`: an attempt waits for a rate limit before the ledger sees it."""
        self._is_paced = is_paced
        self._runs: Counter[str] = Counter()
        self._first: dict[str, float] = {}
        """Id → when its first attempt began."""
        self._exhausted: set[str] = set()
        self._convicted_by_fault: dict[str, bool] = {}
        """Id → whether a fault killed the process that died with its third counted attempt."""

    def begins(self, scripts: list[Script], now: float) -> None:
        """Note an attempt at the messages of a turn."""
        for script in scripts:
            self._runs[script.id] += 1
            self._first.setdefault(script.id, now)

    def succeeds(self, script: Script) -> None:
        """Note that a message was handled: its conversation has all its retry time again."""
        self._exhausted.discard(script.conversation)

    def exhausts(self, script: Script) -> None:
        """Note that a turn of several messages was given up: its conversation has no retry time."""
        self._exhausted.add(script.conversation)

    def convicts(self, id: str, *, by_fault: bool) -> None:
        """Note that a process died with a message's third counted attempt; the first one counts.

        `by_fault`: a fault killed it, and no other message ran in it.
        """
        self._convicted_by_fault.setdefault(id, by_fault)

    def is_excused(self, id: str, reason: str) -> bool:
        """Whether an innocent message may be dead-lettered: no process can tell who killed it."""
        return reason == "poison" and self._convicted_by_fault.get(id, False)

    def is_late(self, script: Script, reason: str) -> bool:
        """Whether a message was tried again although its conversation had no retry time left."""
        was_exhausted = script.conversation in self._exhausted
        return reason == "failed" and was_exhausted and self._runs[script.id] > 1

    def verdict(self, script: Script, reason: str, now: float) -> str:
        """Return why a message must not be dead-lettered yet, or ""."""
        runs = self._runs[script.id]
        early = f"dead-lettered as {reason} after {runs} attempts"
        if runs < STRIKES.get(reason, 0) and not self._is_paced:
            return early
        if reason == "failed":
            lasted = now - self._first.get(script.id, now)
            was_exhausted = script.conversation in self._exhausted
            self._exhausted.add(script.conversation)
            fails = script.kind in ("fails", "fails for ever")
            if fails and not was_exhausted and lasted < RETRIED and runs < 20:
                return f"{early} and {lasted:.1f} s"
        return ""
