"""From a reply to the calls of its connector: rate limits, circuit breaker, one call at a time."""

from __future__ import annotations

import time
from collections.abc import Hashable

from bridge.connectors.base import Connector
from bridge.connectors.toolkit.receipts import accepted_ids
from bridge.connectors.toolkit.replies import MALFORMED, malformed, pieces
from bridge.delivery.circuit_breaker import CircuitBreaker
from bridge.delivery.grants import Grants
from bridge.delivery.receipts import Notes
from bridge.delivery.recipients import Recipients, unlimited
from bridge.errors import (
    DeadlineExceeded,
    RecipientAway,
    RejectedDeliveryError,
    RetryableDeliveryError,
    ServiceUnavailable,
)
from bridge.http.client import HttpClient
from bridge.messages import RecentIds, Reply, as_redelivered
from bridge.processing.outcomes import Drained, Unfinished
from bridge.processing.pause import PausableGate
from bridge.runtime import work
from bridge.runtime.deadline import deadline
from bridge.telemetry import metrics, trace

CALL_TIMEOUT = 60.0
"""Seconds for one call of a connector, with everything that belongs to it, such as a login."""
Key = tuple[Hashable, str]
"""Lane and identity of a part."""


class Dispatcher:
    """Delivers the replies of one channel; `processing.attempts` retries what fails."""

    def __init__(
        self,
        connector: Connector,
        http: HttpClient,
        breaker: CircuitBreaker,
        recipients: Recipients | None = None,
    ) -> None:
        self.breaker = breaker
        """Holds back the calls of the channel while its service is down."""
        self.gate = PausableGate(breaker)
        """The same, and while an operator has paused the channel."""
        self.recipients = recipients or unlimited()
        """Paces the calls to each recipient."""
        self._connector = connector
        self._http = http
        self._grants: Grants | None = None
        self.notes: Notes | None = None
        """Where accepted calls are noted; None if the channel's receipts are only counted."""
        self._made = RecentIds()
        """Parts that were accepted,"""
        self._uncertain = RecentIds()
        """and parts that were sent without being accepted."""

    def limit(self, grants: Grants) -> None:
        """From now on, make calls only when they are granted."""
        self._grants = grants
        self.breaker.on_open = self.gate.on_pause = lambda: grants.refuse(_held_back)

    @property
    def paced(self) -> int:
        """The number of recipients and calls that wait for a rate limit."""
        return self.recipients.waiting + (self._grants.waiting if self._grants else 0)

    async def deliver(self, reply: Reply) -> None:
        """Make all calls of a reply; a retry continues after the last accepted call.

        Raises:
            RetryableDeliveryError, RejectedDeliveryError: see `Connector.deliver`.
            Unfinished: its recipient's next call must wait.
            Drained: draining began, or the reply was returned to its queue, while it waited for the
                rate limit.
        """
        lane, recipients = reply.lane(), self.recipients
        try:
            for part in self._parts(reply):
                key = lane, part.identity
                if key in self._made:
                    continue
                if lane not in recipients.reserved and recipients.wait(reply) > 0:
                    raise Unfinished
                if self.notes is None:
                    await self._call(key, reply, part)
                    self._made.add(key)
                else:
                    await self._noted(self.notes, key, reply, part)
        finally:
            if recipients.reserved:
                recipients.left(lane)
            self.breaker.left(lane)

    def drain(self) -> None:
        """Make no further call that must wait for the rate limit."""
        if self._grants is not None:
            self._grants.close(Drained)

    async def _noted(self, notes: Notes, key: Key, reply: Reply, part: Reply) -> None:
        """Make one call, and note it for its receipts."""
        with accepted_ids() as ids:
            try:
                began = await self._call(key, reply, part)
            except RejectedDeliveryError as error:
                if not await notes.replaced(reply, part, error.code):
                    raise
                began = time.time()
        self._made.add(key)
        await notes.put(reply, part, ids, began)

    def _may_call(self, lane: Hashable) -> bool:
        return self.breaker.may_call(lane) and not self.gate.is_paused

    async def _call(self, key: Key, reply: Reply, part: Reply) -> float:
        """Make one call, and tell the breaker what it says about the service.

        Return the Unix time at which it began.
        """
        lane, breaker, grants, current = key[0], self.breaker, self._grants, work.current()
        is_first = part is reply and not reply.redelivered  # then nothing was awaited before
        if not is_first and current is not None and not current.is_current():
            raise Drained  # a connector swallowed the cancellation during the call before
        if self.gate.is_paused or not (breaker.is_open or breaker.may_call(lane)):
            # The breaker opened, or the channel was paused, while this call waited for its slot.
            raise _held_back()
        if grants is not None:
            if not grants.take_now():
                await self._passage(grants, lane)
            elif current is not None:
                current.paced = current.paced or 0.0
        if self.recipients.reserved:
            self.recipients.called(lane)
        breaker.started(lane)
        ended_with: type[BaseException] | None = None
        began, started = time.time(), time.perf_counter()
        granted = 0.0
        if grants is not None:
            granted = grants.made_at
            grants.stall.began(granted)
        try:
            try:
                if trace.has_spans():
                    with trace.call(reply, current):
                        await self._marked(key, part)
                else:
                    await self._marked(key, part)
            except BaseException as error:
                ended_with = type(error)
                raise
            finally:
                took = time.perf_counter() - started
                if grants is not None:
                    grants.stall.ended(granted, took)
                metrics.delivery.of(part.channel).observe(took)
                trace.called(reply, began + took, took, ended_with, current)
        except RecipientAway as error:
            breaker.succeeded(lane)
            self.recipients.hold(reply, error.retry_after)
            raise Unfinished from error
        except RetryableDeliveryError as error:
            breaker.failed(lane, error)
            raise
        except RejectedDeliveryError:
            breaker.succeeded(lane)
            raise
        except MALFORMED as error:
            # This tells nothing about the service.
            raise malformed(error) from error
        breaker.succeeded(lane)
        return began

    async def _passage(self, grants: Grants, lane: Hashable) -> None:
        """Return when the rate limit allows a call.

        In the slot: a promised moment would pass while the call waits for one.
        """
        work.paced(await grants.take())
        if not work.is_current():
            raise Drained  # the broker gives the reply to another process
        if not self._may_call(lane):
            raise _held_back()

    async def _marked(self, key: Key, part: Reply) -> None:
        """Make the call; mark the part if the service may have it from an earlier attempt."""
        try:
            with deadline(CALL_TIMEOUT):
                await self._connector.deliver(
                    as_redelivered(part) if key in self._uncertain else part, self._http
                )
        except (ServiceUnavailable, RecipientAway):
            # Nothing was sent, or nothing of it was looked at.
            raise
        except DeadlineExceeded as error:
            self._uncertain.add(key)
            raise RetryableDeliveryError(
                f"the service did not answer within {CALL_TIMEOUT:g} s"
            ) from error
        except BaseException:
            self._uncertain.add(key)
            raise

    def _parts(self, reply: Reply) -> list[Reply]:
        try:
            reply = self._connector.unprefixed(reply)
            if reply.kind != "response" or self._connector.whole_responses:
                return list(self._connector.split(reply))
            return [part for piece in pieces(reply) for part in self._connector.split(piece)]
        except MALFORMED as error:
            raise malformed(error) from error


def _held_back() -> ServiceUnavailable:
    return ServiceUnavailable("held back: the service is down")
