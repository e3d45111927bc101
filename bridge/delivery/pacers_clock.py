"""The clock of another process, as seen from this one: the quickest answers tell it. No I/O."""

from __future__ import annotations

from bridge.delivery.pacer import Grant

ENOUGH = 8
"""Answers of a pacer after which its clock counts as known: then all of them take long."""
DRIFT = 0.0001
"""Seconds per second by which the clocks of two machines may drift apart."""


class PacersClock:
    """The clock of the pacer, as seen from this process: the quickest answers tell it."""

    def __init__(self, precision: float) -> None:
        """Moments are not used while the clock may be wrong by more than `precision` seconds."""
        self._precision = precision
        self._pacer = ""
        self._answers = 0
        self._ahead = 0.0
        """Our clock minus the pacer's, plus the time of the quickest answer."""
        self._error = float("inf")
        """The time of that answer is at most so long."""
        self._noted_at = 0.0

    def moments(self, grant: Grant, sent: float, time: float) -> list[float]:
        """Return the moments of an answer on our clock, however long the answer took.

        Its request was sent at `sent`, and it arrived at `time`.
        """
        ahead = time - grant.at
        error = max(0.0, (time - sent) - (grant.at - grant.asked_at))
        if grant.pacer == self._pacer:
            ahead = min(ahead, self._ahead + DRIFT * (time - self._noted_at))
            error = min(error, self._error)
        else:
            self._answers = 0
        self._pacer, self._ahead, self._error, self._noted_at = grant.pacer, ahead, error, time
        self._answers += 1
        return [grant.at + moment + ahead for moment in grant.moments] if self.is_known else []

    @property
    def is_known(self) -> bool:
        """Whether moments can be used."""
        return self._error <= self._precision or self._answers >= ENOUGH
