"""Notices when calls pile up on their way to a service. No I/O.

While a service, the network or this process stands still for a moment, the calls that are made
reach the service together afterwards, and break its rate limit. So while it does not answer as
usual, hardly any call is made. A recipient that stalls alone does not matter: calls that were made
later are answered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

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
        self._unanswered: dict[object, float] = {}
        """Calls in flight, made later than any call that was answered → when they were made."""
        self._latest = float("-inf")
        """When the latest call passed."""

    def lets_pass(self) -> bool:
        """Return whether the next call may be made now; then it must be made."""
        time = self._clock()
        if self._is_on(time) and time < self._latest + TRICKLE:
            return False
        self._latest = time
        return True

    def _is_on(self, time: float) -> bool:
        first = next(iter(self._unanswered.values()), None)
        if first is None or self._usual is None:
            return False
        return time - first > 2 * self._usual + self._patience

    def _note(self, took: float) -> None:
        usual = took if self._usual is None else self._usual
        self._usual = usual + (SLOWER if took > usual else QUICKER) * (took - usual)

    @contextmanager
    def call(self) -> Iterator[None]:
        """Note that a call is made inside the block."""
        key = object()
        made_at = self._unanswered[key] = self._clock()
        try:
            yield
        finally:
            took = self._clock() - made_at
            self._note(took)
            if key in self._unanswered:
                # It is answered, so the service answers: earlier calls stall alone.
                for earlier in list(self._unanswered):
                    del self._unanswered[earlier]
                    if earlier is key:
                        break
