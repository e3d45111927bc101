"""The circuit breaker of one channel: holds back every call while its service is down.

While the breaker is open, no attempt is made or counted. The prefetched replies wait in their
lanes, the backlog waits in RabbitMQ. Returning the replies to their queues would make each probe
count as a redelivery of every held reply, up to the delivery limit.

The breaker opens for a service, not for some of its recipients (`bridge.delivery.evidence`). Even
if it opens wrongly, recipients that have not failed hardly notice: they probe first, a few at a
time, chosen at random, every `FRESH_PAUSE` seconds. One accepted call closes the breaker.
Recipients that have failed probe less and less often.

A service that asks the whole channel to wait (Retry-After) pauses it: until then, nothing probes.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Hashable
from random import Random

from bridge.delivery.evidence import Evidence
from bridge.errors import RetryableDeliveryError, ServiceUnavailable
from bridge.processing.gate import HeldBack
from bridge.runtime.durations import spelled
from bridge.runtime.retry import LONGEST_WAIT, backoff
from bridge.telemetry import metrics

log = logging.getLogger(__name__)

PROBES = 2
"""Lanes that probe at a time: one of them may stall or be a broken recipient."""
FRESH_PAUSE = 0.5
"""Seconds between two probes of lanes that have not failed."""
LONGEST_PAUSE = 5.0
"""Maximum seconds between two probes of lanes that have failed."""
LOG_EVERY = 30.0
"""Seconds between two log lines about a breaker that stays open."""

Waiting = dict["asyncio.Future[None]", Hashable]


class CircuitBreaker:
    """Closed (all calls pass), open (only probes pass), or paused (none passes); a `Gate`."""

    def __init__(
        self,
        channel: str,
        clock: Callable[[], float] = time.monotonic,
        random: Random | None = None,
    ) -> None:
        self._clock = clock
        self._random = random or Random()
        self._evidence = Evidence()
        self.is_open = True
        """Whether calls pass: the gate is open while the breaker is closed."""
        self._paused_until = float("-inf")
        self._fresh: Waiting = {}
        """Waiting lanes that have not failed,"""
        self._failed: Waiting = {}
        """and those that have."""
        self._fresh_at = 0.0
        """When the next fresh lanes may probe,"""
        self._failed_at = 0.0
        """and the next failed ones."""
        self._pauses = 0
        self._probes: set[Hashable] = set()
        """Recipients that may call although the breaker is open, until their reply ends."""
        self._earlier: set[Hashable] = set()
        """Recipients of the calls that were in flight when it opened, and still are."""
        self.on_open: Callable[[], None] = lambda: None
        """Called when the breaker opens: calls that wait for something else must not be made."""
        self._timer: asyncio.TimerHandle | None = None
        self._logged_at = float("-inf")
        self._why = ""
        """The error for which the breaker is open,"""
        self._since = 0.0
        """and since when it is (Unix time)."""
        metrics.breaker_open.labels(channel).set_function(lambda: not self.is_open)

    @property
    def held_back(self) -> HeldBack | None:
        """Why calls are held back, for monitors."""
        if self.is_open:
            return None
        due = [at for at, lanes in self._schedule() if lanes]
        left = max(0.0, min(due) - self._clock()) if due else None
        return HeldBack(self._why, self._since, 0.0 if left is None else time.time() + left)

    @property
    def accepted_at(self) -> float:
        """When the service accepted a call last (monotonic clock)."""
        return self._evidence.accepted_at

    def may_call(self, recipient: Hashable) -> bool:
        """Whether a call may be made now, without waiting."""
        return self.is_open or recipient in self._probes

    async def passage(self, recipient: Hashable) -> None:
        """Return when a call may be made: the service is back, or this call is a probe."""
        if self.is_open:
            return
        passed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = self._failed if self._evidence.has_failed(recipient) else self._fresh
        waiting[passed] = recipient
        # Not at once: lanes that arrive together are chosen from at random.
        self._set_timer()
        try:
            await passed
        except asyncio.CancelledError:
            if not passed.cancelled():
                self.left(recipient)
            raise
        finally:
            waiting.pop(passed, None)

    def try_now(self) -> None:
        """Let lanes probe now, even if the service asked to wait: someone knows that it is back."""
        self._paused_until = float("-inf")
        self._fresh_at = self._failed_at = self._clock()
        self._pauses = 0
        self._let_probe()

    def started(self, recipient: Hashable) -> None:
        """Note that a call is being made."""
        if self._earlier:
            self._earlier.discard(recipient)
        self._evidence.in_flight.add(recipient)

    def succeeded(self, recipient: Hashable) -> None:
        """Note that a call was accepted or rejected for good: the service is up."""
        now = self._clock()
        if not self.is_open and recipient in self._earlier:
            # The service may have taken that call before it went down.
            self.left(recipient)
            return
        self._evidence.accepted(recipient, now)
        if not self.is_open and now >= self._paused_until:
            self._close()

    def failed(self, recipient: Hashable, error: RetryableDeliveryError) -> None:
        """Note that a call failed in a way that may be the fault of the service."""
        now = self._clock()
        if error.scope == "channel" and 0 < (error.retry_after or 0) <= LONGEST_WAIT:
            self._evidence.ended(recipient)
            self._pause(now + (error.retry_after or 0), error)
            return
        counts = self._evidence.failed(recipient, now)
        if not self.is_open:
            self._why = str(error)
            self._probes.discard(recipient)
            if now >= self._logged_at + LOG_EVERY:
                self._log(error)
        elif counts and (isinstance(error, ServiceUnavailable) or self._evidence.is_complete(now)):
            self._log(error)
            self._hold_back(now, error)

    def left(self, recipient: Hashable) -> None:
        """Note that a reply ended, or that its lane was cancelled."""
        if recipient in self._evidence.in_flight:
            self._evidence.ended(recipient)
        if self._probes or self._earlier:
            self._probes.discard(recipient)
            self._earlier.discard(recipient)

    def _log(self, error: RetryableDeliveryError) -> None:
        self._logged_at = self._clock()
        log.warning("circuit breaker open: the service is down (%s)", error)

    def _pause(self, until: float, error: RetryableDeliveryError) -> None:
        if until > self._paused_until + 1:
            seconds = spelled(until - self._clock())
            log.warning("channel paused for %s: the service asks to wait (%s)", seconds, error)
        self._paused_until = max(until, self._paused_until)
        self._probes.clear()
        self._hold_back(self._paused_until, error)

    def _hold_back(self, probe_at: float, error: RetryableDeliveryError) -> None:
        """Open the breaker. The first lanes probe at `probe_at`; lanes that failed, later."""
        self._why = str(error)
        if self.is_open:
            self._since = time.time()
            self._earlier = set(self._evidence.in_flight)
        self.is_open = False
        self._pauses = 0
        self._fresh_at = probe_at
        self._failed_at = probe_at if probe_at > self._clock() else probe_at + self._next_pause()
        self._set_timer()
        self.on_open()

    def _close(self) -> None:
        log.warning("circuit breaker closed: the service is back")
        self.is_open = True
        self._probes.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for passed in (*self._fresh, *self._failed):
            if not passed.done():
                passed.set_result(None)

    def _next_pause(self) -> float:
        self._pauses += 1
        # Never near zero: an immediate probe would find the same.
        return 0.5 + backoff(
            self._pauses, base=0.5, cap=LONGEST_PAUSE - 0.5, uniform=self._random.uniform
        )

    def _let_probe(self) -> None:
        """Let the lanes probe that are due, and set a timer for the next ones."""
        if self.is_open:
            return
        now = self._clock()
        if self._fresh and now >= self._fresh_at:
            self._release(list(self._fresh), self._fresh)
            self._fresh_at = now + FRESH_PAUSE
        if self._failed and now >= self._failed_at:
            # Recipients that failed while others were served tell the least.
            down = [p for p, who in self._failed.items() if not self._evidence.is_broken(who)]
            self._release(down or list(self._failed), self._failed)
            self._failed_at = now + self._next_pause()
        self._set_timer()

    def _release(self, among: list[asyncio.Future[None]], waiting: Waiting) -> None:
        among = [passed for passed in among if not passed.done()]
        for passed in self._random.sample(among, min(PROBES, len(among))):
            self._probes.add(waiting.pop(passed))
            passed.set_result(None)

    def _set_timer(self) -> None:
        due = [at for at, lanes in self._schedule() if lanes]
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if due:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(0.0, min(due) - self._clock()), self._let_probe)

    def _schedule(self) -> tuple[tuple[float, Waiting], ...]:
        return (self._fresh_at, self._fresh), (self._failed_at, self._failed)
