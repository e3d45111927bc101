"""A channel that publishes with confirms, on the fast path."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from bridge.broker.confirms import OVERSIZED, ConfirmChannel
from bridge.broker.fast_path.publishing import Publishing
from bridge.errors import (
    AccessRefused,
    BrokerError,
    BrokerUnavailable,
    MessageTooLarge,
    TopologyError,
)

SECOND_LOOK = 0.1
"""Seconds after the deadline of a confirm until it is missed: time to read the socket."""


class FastConfirmChannel(ConfirmChannel):
    """Publishes as `ConfirmChannel` does; a confirm completes a future that nothing else uses."""

    def __init__(
        self, channel: Any, lost: asyncio.Future[BrokerError], publishing: Publishing
    ) -> None:
        super().__init__(channel, lost)
        self._publishing = publishing
        lost.add_done_callback(self._on_lost)

    def block(self, problem: str) -> None:
        """See `ConfirmChannel.block`. What was not sent yet never will be."""
        super().block(problem)
        self._publishing.fail(lambda: BrokerUnavailable(problem))

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
        if self._blocked.done():
            raise BrokerUnavailable(self._blocked.result())
        if self._lost.done():
            error = self._lost.result()
            # A permission that another publish lacked says nothing about this one.
            raise _loss(
                BrokerUnavailable(str(error)) if isinstance(error, AccessRefused) else error
            )
        try:
            confirmed = self._publishing.publish(
                exchange,
                routing_key,
                body,
                kind=kind,
                message_id=message_id,
                reply_to=reply_to,
                headers=headers,
            )
        except ValueError as error:
            raise MessageTooLarge(OVERSIZED) from error
        timer = asyncio.get_running_loop().call_later(timeout, self._late, confirmed, timeout)
        try:
            await confirmed
        except BrokerUnavailable as error:
            error.unconfirmed = True
            raise
        finally:
            timer.cancel()

    def _late(self, confirmed: asyncio.Future[None], timeout: float) -> None:
        """Give a confirm up, but not before what the socket holds has been read.

        After a process stood still, uvloop runs its timers first. The confirm may be there.
        """
        if not confirmed.done():
            loop = asyncio.get_running_loop()
            loop.call_later(SECOND_LOOK, self._overdue, confirmed, timeout)

    def _overdue(self, confirmed: asyncio.Future[None], timeout: float) -> None:
        if not confirmed.done():
            self.is_overdue = True
            confirmed.set_exception(BrokerUnavailable(f"no confirm within {timeout:g} s"))

    def _on_lost(self, lost: asyncio.Future[BrokerError]) -> None:
        if not lost.cancelled():
            error = lost.result()
            self._publishing.fail(lambda: _loss(error))

    async def close(self, on_close: Callable[..., object]) -> None:
        """See `ConfirmChannel.close`."""
        self._lost.remove_done_callback(self._on_lost)
        self._publishing.close()
        await super().close(on_close)


def _loss(error: BrokerError) -> BrokerError:
    """Return what a publish raises because the channel closed with `error`."""
    if isinstance(error, TopologyError):
        return error
    return BrokerUnavailable(f"connection lost before the confirm: {error}")
