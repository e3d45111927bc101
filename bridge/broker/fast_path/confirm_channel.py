"""A channel that publishes with confirms, on the fast path."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from math import inf
from typing import Any

from bridge.broker.confirms import OVERSIZED, ConfirmChannel, unconfirmed
from bridge.broker.fast_path.publishing import Publish, Publishing
from bridge.errors import (
    AccessRefused,
    BrokerError,
    BrokerUnavailable,
    MessageTooLarge,
    TopologyError,
)

LOST = "connection lost before the confirm: {}"
SECOND_LOOK = 0.1
"""Seconds after the deadline of a confirm until it is missed: time to read the socket."""


class FastConfirmChannel(ConfirmChannel):
    """Publishes as `ConfirmChannel` does; a confirm completes a future that nothing else uses."""

    def __init__(
        self, channel: Any, lost: asyncio.Future[BrokerError], publishing: Publishing
    ) -> None:
        super().__init__(channel, lost)
        self._publishing = publishing
        self._loop = asyncio.get_running_loop()
        self._look: asyncio.TimerHandle | None = None
        """Looks at the next deadline of all messages. A timer for each would cost more."""
        self._look_at = inf
        lost.add_done_callback(self._on_lost)

    def block(self, problem: str) -> None:
        """See `ConfirmChannel.block`. What was not sent yet never will be."""
        super().block(problem)
        self._publishing.fail(lambda: unconfirmed(problem))

    async def publish(
        self,
        exchange: str,
        routing_key: str,
        body: bytes,
        *,
        kind: str,
        message_id: str,
        reply_to: str | None = None,
        headers: Mapping[str, Any] | None = None,
        timeout: float,
    ) -> None:
        """See `ConfirmChannel.publish`."""
        await self.begin(exchange, routing_key, body, kind, message_id, reply_to, headers, timeout)

    def begin(
        self,
        exchange: str,
        routing_key: str,
        body: bytes,
        kind: str,
        message_id: str,
        reply_to: str | None,
        headers: Mapping[str, Any] | None,
        timeout: float,
    ) -> asyncio.Future[None]:
        """Send a message; return what completes with the confirm. See `ConfirmChannel.begin`."""
        if self._blocked.done():
            raise BrokerUnavailable(self._blocked.result())
        if self._lost.done():
            error = self._lost.result()
            # A permission that another publish lacked says nothing about this one.
            if isinstance(error, TopologyError) and not isinstance(error, AccessRefused):
                raise error
            raise BrokerUnavailable(LOST.format(error))
        try:
            published = self._publishing.publish(
                exchange,
                routing_key,
                body,
                kind,
                message_id,
                reply_to,
                headers,
                timeout,
            )
        except ValueError as error:
            raise MessageTooLarge(OVERSIZED) from error
        if published.deadline < self._look_at:
            self._look_again(published.deadline)
        return published.confirmed

    def _look_again(self, at: float) -> None:
        if self._look:
            self._look.cancel()
        self._look_at = at
        self._look = self._loop.call_at(at, self._late) if at < inf else None

    def _late(self) -> None:
        """Give up what is overdue, but not before what the socket holds has been read.

        After a process stood still, uvloop runs its timers first. The confirms may be there.
        """
        now = max(self._loop.time(), self._look_at)
        overdue, following = self._publishing.overdue(now)
        self._look_again(following)
        if overdue:
            self._loop.call_later(SECOND_LOOK, self._give_up, overdue)

    def _give_up(self, overdue: list[Publish]) -> None:
        for each in overdue:
            if not each.confirmed.done():
                self.on_overdue()
                problem = f"no confirm within {each.timeout:g} s"
                each.confirmed.set_exception(unconfirmed(problem))

    def _on_lost(self, lost: asyncio.Future[BrokerError]) -> None:
        if not lost.cancelled():
            error = lost.result()
            problem = LOST.format(error)
            self._publishing.fail(
                lambda: error if isinstance(error, TopologyError) else unconfirmed(problem)
            )

    async def close(self, on_close: Callable[..., object]) -> None:
        """See `ConfirmChannel.close`."""
        self._lost.remove_done_callback(self._on_lost)
        self._publishing.close()
        await super().close(on_close)
