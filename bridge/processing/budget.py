"""Retry time is counted per lane: what one message has used up, the next ones do not have. No I/O.

Otherwise, each message behind a failing one would start its own two minutes of retries.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import NamedTuple

REMEMBERED = 10_000
"""Failing lanes remembered; beyond this number the oldest get a new budget."""


class _Spent(NamedTuple):
    seconds: float
    at: float
    """Time of the latest failure (monotonic clock)."""


class RetryBudgets:
    """The retry time of each failing lane; one per process and flow. All times are in seconds.

    A lane's budget is used up once a message was dead-lettered because it failed for too long.
    Then each further message of the lane has one attempt, until one succeeds, or until no attempt
    has failed for the length of a budget.
    """

    def __init__(self, budget: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._budget = budget
        self._clock = clock
        self.used: OrderedDict[Hashable, _Spent] = OrderedDict()
        """Lanes that have used up their budget."""

    def spent(self, lane: Hashable) -> float:
        """Return the retry time that earlier messages of the lane have used up."""
        spent = self.used.get(lane)
        if spent is None:
            return 0.0
        if self._clock() - spent.at >= self._budget:
            del self.used[lane]
            return 0.0
        return spent.seconds

    def exhaust(self, lane: Hashable) -> None:
        """Note that a message failed for too long: the budget of its lane is used up."""
        self.used[lane] = _Spent(self._budget, self._clock())
        self.used.move_to_end(lane)
        if len(self.used) > REMEMBERED:
            self.used.popitem(last=False)

    def renew(self, lane: Hashable) -> None:
        """Note that a message of the lane was handled."""
        self.used.pop(lane, None)
