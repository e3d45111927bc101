"""Notices when calls pile up on their way to a service. No I/O.

While a service, the network or this process stands still for a moment, the calls that are made
reach the service together afterwards, and break its rate limit. So while it does not answer as
usual, hardly any call is made. A recipient that stalls alone does not matter: calls that were made
later are answered.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

SLOWER, QUICKER = 1 / 64, 1 / 4
"""Weight of the latest call in the usual duration, if it was slower or quicker. The usual duration
is a low one, because a longer stall would hide a shorter one."""
TRICKLE = 0.1
"""Seconds between two calls while the service stands still."""


class Stall:
    """What the calls in flight tell about one service."""

    def __init__(self, patience: float, clock: Callable[[], float]) -> None:
        """`patience`: seconds beyond twice the usual duration after which an answer is overdue."""
        self._patience = patience
        self.clock = clock
        self.usual: float | None = None
        """The usual duration of a call."""
        self.unanswered: deque[_Call] = deque()
        """Calls in flight, made later than any call that was answered; the first one first."""
        self._latest = float("-inf")
        """When the latest call passed."""

    def lets_pass(self, time: float) -> bool:
        """Return whether the next call may be made now; then it must be made."""
        if self.unanswered and self.usual is not None and time < self._latest + TRICKLE:
            answered_by = self.unanswered[0].made_at + 2 * self.usual + self._patience
            if time > answered_by:
                return False
        self._latest = time
        return True

    def call(self) -> _Call:
        """Return a context manager, to note that a call is made inside its block."""
        return _Call(self)


class _Call:
    __slots__ = ("_stall", "is_latest", "made_at")

    def __init__(self, stall: Stall) -> None:
        self._stall = stall
        self.is_latest = True
        """Whether no call that was made later is answered yet."""
        self.made_at = 0.0

    def __enter__(self) -> None:
        stall = self._stall
        self.made_at = stall.clock()
        stall.unanswered.append(self)

    def __exit__(self, *error: object) -> None:
        stall = self._stall
        took = stall.clock() - self.made_at
        usual = took if stall.usual is None else stall.usual
        stall.usual = usual + (SLOWER if took > usual else QUICKER) * (took - usual)
        # The service answers, so earlier calls stall alone.
        while self.is_latest:
            stall.unanswered.popleft().is_latest = False
