"""The circuit breaker of one channel: holds back every call while its service is down.

While the breaker is open, no attempt is made or counted. The prefetched replies wait in their
lanes, the backlog waits in RabbitMQ. Returning the replies to their queues would make each probe
count as a redelivery of every held reply, up to the delivery limit.

The breaker must open for a service, not for some of its recipients. A number of consecutive
failures is not enough evidence: stalled calls time out together (aiohttp rounds deadlines up to
whole seconds), 429s return together after the same Retry-After, and at night only failing
recipients may have replies. So a failure counts against the service only
- if no call was accepted in the last `SILENCE` seconds, and
- if its recipient was not already failing while others were served.
If the breaker opens nevertheless, a recipient that has not failed probes first.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Hashable

from bridge.errors import ServiceUnavailable
from bridge.runtime.retry import backoff
from bridge.telemetry import metrics

log = logging.getLogger(__name__)

SILENCE = 2.0
"""Seconds without an accepted call before failures count at all."""
FAILURES = 10
"""Failed calls since the last accepted one that open the breaker,"""
RECIPIENTS = 3
"""if they concern at least this many recipients: one broken recipient is not a broken service."""
LONGEST_PAUSE = 5.0
"""Maximum seconds between two probes, and so the longest wait once the service is back."""
PROBE_TIMEOUT = 30.0
"""Seconds after which a probe that made no call is abandoned (its lane may be cancelled)."""
REMEMBERED = 10_000
"""Maximum number of remembered recipients that fail while others are served."""


class CircuitBreaker:
    """Closed (all calls pass), open (none passes), or half open (one probe passes); a `Gate`."""

    def __init__(self, channel: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._accepted_at = float("-inf")
        self._failing: dict[Hashable, int] = {}
        """Recipient → failed calls since the last accepted call to any recipient."""
        self._broken: dict[Hashable, None] = {}
        """Recipients that failed while others were served; the oldest first."""
        self._waiting: dict[asyncio.Future[None], Hashable] = {}
        self._open = False
        self._pauses = 0
        self._probe: list[Hashable] = []
        """The recipient that may make the one call of a half-open breaker, if any."""
        self._pausing = False
        self._timer: asyncio.TimerHandle | None = None
        metrics.breaker_open.labels(channel).set_function(lambda: self._open)

    @property
    def is_open(self) -> bool:
        """Whether calls pass: the gate is open while the breaker is closed."""
        return not self._open

    def may_call(self, recipient: Hashable) -> bool:
        """Whether a call may be made now, without waiting."""
        return self.is_open or recipient in self._probe

    async def passage(self, recipient: Hashable) -> None:
        """Return when a call may be made: the service is back, or this call is the probe."""
        if self.is_open:
            return
        passed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[passed] = recipient
        self._let_probe()
        try:
            await passed
        except asyncio.CancelledError:
            if not passed.cancelled():
                self.left(recipient)
            raise
        finally:
            self._waiting.pop(passed, None)

    def succeeded(self, recipient: Hashable) -> None:
        """Note that a call was accepted or rejected for good: the service is up."""
        self._accepted_at = self._clock()
        self._broken.update(dict.fromkeys(self._failing))
        self._broken.pop(recipient, None)
        while len(self._broken) > REMEMBERED:
            del self._broken[next(iter(self._broken))]
        self._failing.clear()
        if self._open:
            self._close()

    def failed(self, recipient: Hashable, error: Exception) -> None:
        """Note that a call failed in a way that may be the fault of the service."""
        if self._open:
            self._failing[recipient] = self._failing.get(recipient, 0) + 1
            if recipient in self._probe:
                self._pause(error)
            return
        if recipient in self._broken or self._clock() - self._accepted_at < SILENCE:
            return
        self._failing[recipient] = self._failing.get(recipient, 0) + 1
        many = sum(self._failing.values()) >= FAILURES and len(self._failing) >= RECIPIENTS
        if many or isinstance(error, ServiceUnavailable):
            self._pause(error)

    def left(self, recipient: Hashable) -> None:
        """Note that a reply ended; if it was the probe and reported nothing, pause again."""
        if recipient in self._probe:
            self._pause(None)

    def _pause(self, error: Exception | None) -> None:
        self._open = True
        self._pauses += 1
        self._probe.clear()
        # Never near zero: an immediate probe would find the same.
        pause = 0.5 + backoff(self._pauses, base=0.5, cap=LONGEST_PAUSE - 0.5)
        log.warning(
            "circuit breaker open: the service is down (%s); next probe in %.1f s",
            error or "the last probe made no call",
            pause,
        )
        self._wait(pause)

    def _close(self) -> None:
        log.warning("circuit breaker closed: the service is back")
        self._open = False
        self._pauses = 0
        self._probe.clear()
        if self._timer is not None:
            self._timer.cancel()
        for passed in self._waiting:
            if not passed.done():
                passed.set_result(None)

    def _wait(self, seconds: float) -> None:
        """Allow no probe for `seconds`."""
        if self._timer is not None:
            self._timer.cancel()
        self._pausing = True
        self._timer = asyncio.get_running_loop().call_later(seconds, self._end_wait)

    def _end_wait(self) -> None:
        self._pausing = False
        self._let_probe()

    def _let_probe(self) -> None:
        """Let one lane probe, if none does: preferably one that has not failed."""
        waiting = {lane: passed for passed, lane in self._waiting.items() if not passed.done()}
        if self.is_open or self._pausing or not waiting:
            return
        failing = {*self._failing, *self._broken}
        lane = next((lane for lane in waiting if lane not in failing), next(iter(waiting)))
        self._probe[:] = [lane]
        waiting[lane].set_result(None)
        self._wait(PROBE_TIMEOUT)
