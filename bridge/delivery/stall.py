"""Notices when calls pile up on their way to a service. No I/O.

While a service, the network or this process stands still for a moment, the calls that are made
reach the service together afterwards, and break its rate limit. So while it does not answer as
usual, hardly any call is made. A recipient that stalls alone does not matter: calls that were made
later are answered.
"""

from __future__ import annotations

from collections import deque

SLOWER, QUICKER = 1 / 64, 1 / 4
"""Weight of the latest call in the usual duration, if it was slower or quicker. The usual duration
is a low one, because a longer stall would hide a shorter one."""
TRICKLE = 0.1
"""Seconds between two calls while the service stands still."""


class Stall:
    """What the calls in flight tell about one service."""

    def __init__(self, patience: float) -> None:
        self.patience = patience
        """Seconds beyond twice the usual duration after which an answer is overdue."""
        self.usual: float | None = None
        """The usual duration of a call."""
        self.unanswered: deque[float] = deque()
        """When the calls in flight began that are later than any that was answered."""
        self._latest = float("-inf")
        """When the latest call passed."""

    def lets_pass(self, time: float) -> bool:
        """Return whether the next call may be made now; then it must be made."""
        if self.stands_still(time):
            return False
        self._latest = time
        return True

    def stands_still(self, time: float) -> bool:
        """Return whether no call may be made now."""
        if not self.unanswered or self.usual is None or time >= self._latest + TRICKLE:
            return False
        return time > self.unanswered[0] + 2 * self.usual + self.patience

    def began(self, time: float) -> None:
        """Note that a call is made."""
        self._latest = time
        self.unanswered.append(time)

    def ended(self, began: float, took: float) -> None:
        """Note that the call that began then has ended, after so many seconds."""
        usual = self.usual
        if usual is None:
            self.usual = took
        else:
            self.usual = usual + (SLOWER if took > usual else QUICKER) * (took - usual)
        # The service answers, so earlier calls stall alone.
        unanswered = self.unanswered
        while unanswered and unanswered[0] <= began:
            unanswered.popleft()
