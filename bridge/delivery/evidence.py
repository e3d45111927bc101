"""Whether failed calls prove that a service is down, or only that some recipients fail. No clock.

Counting failures is not enough, because the first failures are a biased sample. Failing recipients
often answer faster than the others. Stalled calls time out together, 429s return together after the
same Retry-After, and at night only failing recipients may have replies. So the evidence is complete
only
- if no call was accepted since the first failure, for `OPENING` seconds,
- if every call that was in flight at the first failure has ended, and none was accepted,
- if at least `FAILURES` calls to at least `RECIPIENTS` recipients failed.
A recipient that failed while others were served does not count, until the service accepts nothing
for `LONG_SILENCE` seconds.
"""

from __future__ import annotations

from collections.abc import Hashable

SILENCE = 2.0
"""Seconds without an accepted call before failures count at all."""
OPENING = 3.0
"""Minimum seconds between the first failure that counts and the proof."""
FAILURES = 10
"""Minimum number of failed calls,"""
RECIPIENTS = 3
"""and of recipients that they concern: one broken recipient is not a broken service."""
LONG_SILENCE = 60.0
"""Seconds without an accepted call after which recipients that failed before count again. It is
shorter than the age limit of a reply: an unstable service opens the breaker in time."""
REMEMBERED = 10_000
"""Maximum number of remembered recipients that fail while others are served."""


class Evidence:
    """What the calls of one channel tell about its service. All times are monotonic seconds."""

    def __init__(self) -> None:
        self.accepted_at = float("-inf")
        """Time of the last accepted call."""
        self._first_at = 0.0
        """Time of the first failure that counts."""
        self._failing: dict[Hashable, int] = {}
        """Recipient → failed calls since the last accepted call to any recipient."""
        self._broken: dict[Hashable, None] = {}
        """Recipients that failed while others were served; the oldest first."""
        self.in_flight: set[Hashable] = set()
        """Recipients of the calls in flight. A recipient has one call at a time."""
        self._witnesses: set[Hashable] = set()
        """Recipients of the calls that were in flight at the first failure, and still are."""

    def has_failed(self, recipient: Hashable) -> bool:
        """Return whether the recipient's last call failed, as far as it is remembered."""
        return recipient in self._failing or recipient in self._broken

    def is_broken(self, recipient: Hashable) -> bool:
        """Return whether the recipient failed while others were served."""
        return recipient in self._broken

    def ended(self, recipient: Hashable) -> None:
        """Note that the call is no longer in flight, whatever its result."""
        self.in_flight.discard(recipient)
        if self._witnesses:
            self._witnesses.discard(recipient)

    def accepted(self, recipient: Hashable, now: float) -> None:
        """Note that a call was accepted or rejected for good: the service is up."""
        self.in_flight.discard(recipient)
        self.accepted_at = now
        if self._witnesses:
            self._witnesses.clear()
        if self._failing or self._broken:
            self._broken.update(dict.fromkeys(self._failing))
            self._broken.pop(recipient, None)
            while len(self._broken) > REMEMBERED:
                del self._broken[next(iter(self._broken))]
            self._failing.clear()

    def failed(self, recipient: Hashable, now: float) -> bool:
        """Note that a call failed; return whether the failure counts against the service."""
        self.ended(recipient)
        silence = now - self.accepted_at
        if silence < (LONG_SILENCE if recipient in self._broken else SILENCE):
            return False
        if not self._failing:
            self._first_at = now
            self._witnesses = set(self.in_flight)
        self._failing[recipient] = self._failing.get(recipient, 0) + 1
        return True

    def is_complete(self, now: float) -> bool:
        """Return whether the failures so far prove that the service is down."""
        return (
            sum(self._failing.values()) >= FAILURES
            and len(self._failing) >= RECIPIENTS
            and now - self._first_at >= OPENING
            and not self._witnesses
        )
