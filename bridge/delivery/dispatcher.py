"""From a reply to the calls of its connector: circuit breaker, rate limit, one call at a time."""

from __future__ import annotations

from collections.abc import Hashable

from aiolimiter import AsyncLimiter

from bridge.connectors.base import Connector
from bridge.connectors.toolkit.replies import MALFORMED, malformed
from bridge.delivery.circuit_breaker import CircuitBreaker
from bridge.errors import RejectedDeliveryError, RetryableDeliveryError, ServiceUnavailable
from bridge.http.client import HttpClient
from bridge.messages import RecentIds, Reply
from bridge.telemetry import metrics


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

    async def deliver(self, reply: Reply) -> None:
        """Make all calls of a reply; a retry continues after the last accepted call.

        Raises:
            RetryableDeliveryError, RejectedDeliveryError: see `Connector.deliver`.
        """
        lane = reply.lane()
        try:
            for part in self._parts(reply):
                if (lane, part.id) not in self._made:
                    await self._call(lane, part)
                    self._made.add((lane, part.id))
        finally:
            self._breaker.left(lane)

    async def _call(self, lane: Hashable, part: Reply) -> None:
        if self._limiter:
            await self._limiter.acquire()
        if not self._breaker.may_call(lane):
            # The breaker opened while this call waited for its slot or the rate limit.
            raise ServiceUnavailable("held back: the service is down")
        self._breaker.started(lane)
        try:
            with metrics.delivery.labels(part.channel).time():
                await self._connector.deliver(part, self._http)
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

    def _parts(self, reply: Reply) -> list[Reply]:
        try:
            return list(self._connector.split(reply))
        except MALFORMED as error:
            raise malformed(error) from error
