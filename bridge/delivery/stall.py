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
        self._clock = clock
        self._usual: float | None = None
        """The usual duration of a call."""
        self._unanswered: deque[_Call] = deque()
        """Calls in flight, made later than any call that was answered; the first one first."""
        self._latest = float("-inf")
        """When the latest call passed."""

    def lets_pass(self, time: float) -> bool:
        """Return whether the next call may be made now; then it must be made."""
        if self._unanswered and self._usual is not None and time < self._latest + TRICKLE:
            answered_by = self._unanswered[0].made_at + 2 * self._usual + self._patience
            if time > answered_by:
                return False
        self._latest = time
        return True

    def call(self) -> _Call:
        """Return a context manager, to note that a call is made inside its block."""
        return _Call(self, self._clock, self._unanswered)

    def note(self, took: float) -> None:
        """Note that a call is answered, or has failed, after so many seconds."""
        usual = took if self._usual is None else self._usual
        self._usual = usual + (SLOWER if took > usual else QUICKER) * (took - usual)


class _Call:
    __slots__ = ("_clock", "_stall", "_unanswered", "is_latest", "made_at")

    def __init__(self, stall: Stall, clock: Callable[[], float], unanswered: deque[_Call]) -> None:
        self._stall = stall
        self._clock = clock
        self._unanswered = unanswered
        self.is_latest = True
        """Whether no call that was made later is answered yet."""
        self.made_at = 0.0

    def __enter__(self) -> None:
        self.made_at = self._clock()
        self._unanswered.append(self)

    def __exit__(self, *error: object) -> None:
        self._stall.note(self._clock() - self.made_at)
        # The service answers, so earlier calls stall alone.
        while self.is_latest:
            self._unanswered.popleft().is_latest = False
