"""The calls that a rate-limited service receives, and how many it should at most.

- of all processes: `rate` × t + `burst` in any t seconds, from one second on; if there was an alarm
  of the broker within them, each process may have counted alone, so it is one call for each process
  if that is more than `burst`
- to a recipient, from a process: the same, and a third of the burst when it takes a partition over
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any

from bridge.connectors.limits import RateLimit
from tests.simulation.loop import Universe
from tests.simulation.plan import Pace

WINDOWS = (1.0, 3.0, 10.0)
"""Seconds in which calls are counted."""


class _Counted:
    """Calls within the windows."""

    def __init__(self, limit: RateLimit) -> None:
        self._limit = limit
        self._calls: deque[float] = deque()
        self.total = 0

    def add(self, time: float, alone: Callable[[float], int] = lambda seconds: 0) -> str:
        """Count a call; return what is wrong, or "".

        `alone(seconds)` is the number of processes if they may have counted alone in that time.
        """
        calls = self._calls
        calls.append(time)
        self.total += 1
        while calls[0] <= time - WINDOWS[-1]:
            calls.popleft()
        for seconds in WINDOWS:
            number = sum(at > time - seconds for at in calls)
            most = self._limit.rate * seconds
            if number > most + self._limit.burst and number > most + alone(seconds):
                return f"{number} calls in {seconds:g} s"
        return ""


class Calls:
    """Counts calls when they arrive."""

    def __init__(
        self,
        pace: Pace,
        universe: Universe,
        seed: int,
        wrong: Callable[[str], None],
        alone: Callable[[float], int],
    ) -> None:
        """`wrong(what)` is told when a limit does not hold.

        `alone(seconds)` is the number of processes if they may have counted alone in that time.
        """
        self._alone = alone
        self._pace = pace
        self._universe = universe
        self._random = Random(f"calls {seed}")
        self._wrong = wrong
        self._all = _Counted(pace.total)
        self._each: dict[tuple[Any, str, RateLimit], _Counted] = {}
        """(generation, recipient, limit) → the calls of one that counts alone."""

    def make(self, generation: Any, recipient: str, held_since: float) -> None:
        """Note that a call is made now. It arrives later, even if its process dies at once.

        The broker first gave a reply of the recipient's partition to the generation at
        `held_since`.
        """
        delay = self._random.random() * self._pace.way
        self._universe.after(delay, lambda: self._arrives(generation, recipient, held_since))

    def _arrives(self, generation: Any, recipient: str, held_since: float) -> None:
        time = self._universe.now
        if what := self._all.add(time, self._alone):
            self._wrong(f"{what} ({self._pace.total})")
        for limit in self._pace.each:
            counted = self._each.setdefault((generation, recipient, limit), _Counted(limit))
            what = counted.add(time)
            if counted.total > (limit.burst + 2) // 3 + limit.rate * (time - held_since) + 1e-6:
                what = what or f"{counted.total} calls after a takeover"
            if what:
                self._wrong(f"{what} to {recipient} ({limit})")
