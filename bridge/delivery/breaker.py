"""The breaker of one channel: holds back every call while its service is down as a whole.

While it is open no attempt is made or counted; the prefetched replies wait in their lanes, the
backlog in RabbitMQ. They are not given back to their queues: each probe would then count as a
redelivery of everything that was held, up to the delivery limit.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Hashable

from bridge.errors import ServiceUnavailable
from bridge.retry import backoff

log = logging.getLogger(__name__)

FAILURES = 10
"""Failed calls in a row, without a success between, that open the breaker …"""
RECIPIENTS = 3
"""… if they concern this many recipients: one broken recipient is no broken service."""
LONGEST_PAUSE = 30.0
PROBE_TIMEOUT = 30.0
"""Seconds after which a probe that reported nothing (its lane was cancelled) is given up."""


class Breaker:
    """Closed (calls go through), open (none does), half open (one probe does); see `Gate`."""

    def __init__(self, channel: str) -> None:
        self._channel = channel
        self._failing: dict[Hashable, int] = {}
        self._pauses = 0
        self._closed = asyncio.Event()
        self._closed.set()
        self._probes = asyncio.Semaphore(0)
        self._probing = False
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_open(self) -> bool:
        """Whether the gate is open: calls go through."""
        return self._closed.is_set()

    async def passage(self) -> None:
        """Return when a call may be made: calls go through again, or this one is the probe."""
        probe = asyncio.ensure_future(self._probes.acquire())
        closed = asyncio.ensure_future(self._closed.wait())
        try:
            await asyncio.wait({probe, closed}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            closed.cancel()
            if not probe.cancel() and not probe.cancelled() and not self.is_open:
                self._probing = True
                self._arm(PROBE_TIMEOUT)

    def succeeded(self) -> None:
        """A call was accepted, or rejected for good: the service is there."""
        self._failing.clear()
        if not self.is_open:
            log.warning("channel %s: its service is back", self._channel)
            self._pauses = 0
            self._probing = False
            self._disarm()
            self._closed.set()

    def failed(self, recipient: Hashable, error: Exception) -> None:
        """A call failed in a way that may be the service's."""
        self._failing[recipient] = self._failing.get(recipient, 0) + 1
        many = sum(self._failing.values()) >= FAILURES and len(self._failing) >= RECIPIENTS
        if self._probing or (self.is_open and (many or isinstance(error, ServiceUnavailable))):
            self._open(error)

    def _open(self, error: Exception) -> None:
        self._pauses += 1
        self._probing = False
        self._closed.clear()
        # Never almost zero: a probe right away would find what was found just now.
        pause = 0.5 + backoff(self._pauses, base=0.5, cap=LONGEST_PAUSE)
        log.warning(
            "channel %s: paused, its service is down (%s); next probe in %.1f s",
            self._channel,
            error,
            pause,
        )
        self._arm(pause)

    def _arm(self, pause: float) -> None:
        self._disarm()
        self._timer = asyncio.get_running_loop().call_later(pause, self._allow_probe)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _allow_probe(self) -> None:
        self._probing = False
        if self._probes.locked():
            self._probes.release()
