"""From a reply to the calls of its connector: rate limit, breaker, one call after the other."""

from __future__ import annotations

from collections.abc import Hashable

from aiolimiter import AsyncLimiter

from bridge.connectors.base import Connector
from bridge.connectors.toolkit.replies import MALFORMED, malformed
from bridge.delivery.breaker import Breaker
from bridge.errors import RejectedDeliveryError, RetryableDeliveryError, ServiceUnavailable
from bridge.http.client import HttpClient
from bridge.messages import Reply
from bridge.messages.recent_ids import RecentIds
from bridge.telemetry import metrics


class Dispatcher:
    """Delivers the replies of one channel. Retries are the settlement's part."""

    def __init__(
        self, connector: Connector, http: HttpClient, breaker: Breaker, rate: float | None = None
    ) -> None:
        """`rate`: calls a second at most, evenly spaced."""
        self._connector = connector
        self._http = http
        self._breaker = breaker
        self._limiter = AsyncLimiter(1, 1 / rate) if rate else None
        self._made = RecentIds()

    async def deliver(self, reply: Reply) -> None:
        """Make every call that a reply takes; a retry goes on after the last accepted one.

        Raises:
            RetryableDeliveryError, RejectedDeliveryError: see `Connector.deliver`.
        """
        lane = lane_of(reply)
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
            # It opened while this one waited for its slot or the rate limit: back to the gate.
            raise ServiceUnavailable("held back, its service is down")
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
            # Says nothing about the service.
            raise malformed(error) from error
        self._breaker.succeeded(lane)

    def _parts(self, reply: Reply) -> list[Reply]:
        try:
            return list(self._connector.split(reply))
        except MALFORMED as error:
            raise malformed(error) from error


def lane_of(reply: Reply) -> Hashable:
    """The replies to one recipient go out in order."""
    return reply.recipient_id
