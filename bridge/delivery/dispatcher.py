"""From a reply to the calls of its connector: circuit breaker, rate limit, one call at a time."""

from __future__ import annotations

from collections.abc import Hashable

from aiolimiter import AsyncLimiter

from bridge.connectors.base import Connector
from bridge.connectors.toolkit.replies import MALFORMED, malformed
from bridge.delivery.circuit_breaker import CircuitBreaker
from bridge.errors import (
    DeadlineExceeded,
    RejectedDeliveryError,
    RetryableDeliveryError,
    ServiceUnavailable,
)
from bridge.http.client import HttpClient
from bridge.messages import RecentIds, Reply, as_redelivered
from bridge.runtime.deadline import deadline
from bridge.telemetry import metrics

CALL_TIMEOUT = 60.0
"""Seconds for one call of a connector, with everything that belongs to it, such as a login."""


class Dispatcher:
    """Delivers the replies of one channel; `processing.attempts` retries what fails."""

    def __init__(
        self,
        connector: Connector,
        http: HttpClient,
        breaker: CircuitBreaker,
        rate: float | None = None,
    ) -> None:
        """`rate` limits the calls per second; they are evenly spaced."""
        self._connector = connector
        self._http = http
        self._breaker = breaker
        self._limiter = AsyncLimiter(1, 1 / rate) if rate else None
        self._made = RecentIds()
        """Parts that were accepted,"""
        self._uncertain = RecentIds()
        """and parts that were sent without being accepted."""

    async def deliver(self, reply: Reply) -> None:
        """Make all calls of a reply; a retry continues after the last accepted call.

        Raises:
            RetryableDeliveryError, RejectedDeliveryError: see `Connector.deliver`.
        """
        lane = reply.lane()
        try:
            for part in self._parts(reply):
                if (lane, part.identity) not in self._made:
                    await self._call(lane, part)
                    self._made.add((lane, part.identity))
        finally:
            self._breaker.left(lane)

    async def _call(self, lane: Hashable, part: Reply) -> None:
        """Make one call, and tell the breaker what it says about the service."""
        if self._limiter:
            await self._limiter.acquire()
        if not self._breaker.may_call(lane):
            # The breaker opened while this call waited for its slot or the rate limit.
            raise ServiceUnavailable("held back: the service is down")
        self._breaker.started(lane)
        try:
            with metrics.delivery.labels(part.channel).time():
                await self._marked(lane, part)
        except RetryableDeliveryError as error:
            self._breaker.failed(lane, error)
            raise
        except RejectedDeliveryError:
            self._breaker.succeeded(lane)
            raise
        except MALFORMED as error:
            # This tells nothing about the service.
            raise malformed(error) from error
        self._breaker.succeeded(lane)

    async def _marked(self, lane: Hashable, part: Reply) -> None:
        """Make the call; mark the part if the service may have it from an earlier attempt."""
        key = lane, part.identity
        try:
            await self._in_time(as_redelivered(part) if key in self._uncertain else part)
        except ServiceUnavailable:
            # Nothing was sent, or nothing of it was looked at.
            raise
        except BaseException:
            self._uncertain.add(key)
            raise

    async def _in_time(self, part: Reply) -> None:
        try:
            async with deadline(CALL_TIMEOUT):
                await self._connector.deliver(part, self._http)
        except DeadlineExceeded as error:
            raise RetryableDeliveryError(
                f"the service did not answer within {CALL_TIMEOUT:g} s"
            ) from error

    def _parts(self, reply: Reply) -> list[Reply]:
        try:
            return list(self._connector.split(self._connector.unprefixed(reply)))
        except MALFORMED as error:
            raise malformed(error) from error
