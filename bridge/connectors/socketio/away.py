"""Clients that are away: how long their replies are kept, and when to try again. No I/O."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

SOONEST, LATEST = 0.5, 3.0
"""Seconds between two attempts: at first, and later."""
SLOWDOWN = 4.0
"""An attempt is made after a quarter of the time for which the client has been away."""
REMEMBERED = 10_000
"""Clients at most whose absence is known; beyond it, the first are forgotten."""


class Absences:
    """The clients of one channel that did not receive their last reply."""

    def __init__(self, keep: float, clock: Callable[[], float] = time.monotonic) -> None:
        """`keep` is the number of seconds for which a reply waits for its client."""
        self._keep = keep
        self._clock = clock
        self._since: OrderedDict[str, float] = OrderedDict()
        """Client → since when it is away."""

    def is_back(self, client: str) -> None:
        """Note that a client has received a reply."""
        self._since.pop(client, None)

    def next_attempt(self, client: str) -> float | None:
        """Return the seconds until the next attempt; None: the reply has waited long enough."""
        now = self._clock()
        since = self._since.setdefault(client, now)
        while len(self._since) > REMEMBERED:
            self._since.popitem(last=False)
        away = now - since
        if away >= self._keep:
            return None
        return min(max(SOONEST, away / SLOWDOWN), LATEST)
