"""The breaker of one channel: holds back every call while its service is down as a whole.

While it is open no attempt is made or counted; the prefetched replies wait in their lanes, the
backlog in RabbitMQ. They are not given back to their queues: each probe would then count as a
redelivery of everything that was held, up to the delivery limit.

When is it the service, and not some of its recipients? "So many failures in a row" alone is no
sign: calls that stall are timed out many at a time (aiohttp rounds deadlines up to whole seconds),
429s come back together after the same Retry-After, and at night only failing recipients may be
under way. So a failure is evidence against the service only
- if no call was accepted in the last `SILENCE` seconds, and
- if its recipient was not failing already while others were served.
And should it open all the same, a recipient that has not failed is the first to probe.
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
"""Failed calls since the last accepted one that open the breaker …"""
RECIPIENTS = 3
"""… if they concern this many recipients: one broken recipient is no broken service."""
LONGEST_PAUSE = 5.0
"""Seconds between two probes, and so what a recipient waits at most once the service is back."""
PROBE_TIMEOUT = 30.0
"""Seconds after which a probe that made no call (its lane was cancelled, say) is given up."""
REMEMBERED = 10_000
"""Recipients known to fail on their own account."""


class Breaker:
    """Closed (calls go through), open (none does), half open (one probe does); see `Gate`."""

    def __init__(self, channel: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._accepted_at = float("-inf")
        self._failing: dict[Hashable, int] = {}
        """Recipient → failed calls, since the last accepted call of anybody."""
        self._broken: dict[Hashable, None] = {}
        """Recipients that failed while others were served; the oldest first."""
        self._waiting: dict[asyncio.Future[None], Hashable] = {}
        self._open = False
        self._pauses = 0
        self._probe: list[Hashable] = []
        """The recipient that may make the one call of a half-open breaker, if there is one."""
        self._pausing = False
        self._timer: asyncio.TimerHandle | None = None
        metrics.breaker_open.labels(channel).set_function(lambda: self._open)

    @property
    def is_open(self) -> bool:
        """Whether the gate is open: calls go through."""
        return not self._open

    def may_call(self, recipient: Hashable) -> bool:
        """Whether a call may be made right now, without waiting."""
        return self.is_open or recipient in self._probe

    async def passage(self, recipient: Hashable) -> None:
        """Return when a call may be made: calls go through again, or this one is the probe."""
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
        """A call was accepted, or rejected for good: the service is there."""
        self._accepted_at = self._clock()
        self._broken.update(dict.fromkeys(self._failing))
        self._broken.pop(recipient, None)
        while len(self._broken) > REMEMBERED:
            del self._broken[next(iter(self._broken))]
        self._failing.clear()
        if self._open:
            self._close()

    def failed(self, recipient: Hashable, error: Exception) -> None:
        """A call failed in a way that may be the service's."""
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
        """A lane that may have been the probe has ended, whatever it has told before."""
        if recipient in self._probe:
            self._pause(None)

    def _pause(self, error: Exception | None) -> None:
        self._open = True
        self._pauses += 1
        self._probe.clear()
        # Never almost zero: a probe right away would find what was found just now.
        pause = 0.5 + backoff(self._pauses, base=0.5, cap=LONGEST_PAUSE - 0.5)
        log.warning(
            "paused, its service is down (%s); next probe in %.1f s",
            error or "the last probe told nothing",
            pause,
        )
        self._wait(pause)

    def _close(self) -> None:
        log.warning("its service is back")
        self._open = False
        self._pauses = 0
        self._probe.clear()
        if self._timer is not None:
            self._timer.cancel()
        for passed in self._waiting:
            if not passed.done():
                passed.set_result(None)

    def _wait(self, seconds: float) -> None:
        """Let nobody probe for so long."""
        if self._timer is not None:
            self._timer.cancel()
        self._pausing = True
        self._timer = asyncio.get_running_loop().call_later(seconds, self._end_wait)

    def _end_wait(self) -> None:
        self._pausing = False
        self._let_probe()

    def _let_probe(self) -> None:
        """Let one lane through, if none probes: one that has not failed, if there is one."""
        waiting = {lane: passed for passed, lane in self._waiting.items() if not passed.done()}
        if self.is_open or self._pausing or not waiting:
            return
        suspects = {*self._failing, *self._broken}
        lane = next((lane for lane in waiting if lane not in suspects), next(iter(waiting)))
        self._probe[:] = [lane]
        waiting[lane].set_result(None)
        self._wait(PROBE_TIMEOUT)
