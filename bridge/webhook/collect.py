"""Collects the replies of turns for which an HTTP request waits.

Each webhook process has one private queue; each waiting request has a ticket.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator
from typing import Protocol
from weakref import WeakValueDictionary

import msgspec

from bridge.broker.private import PrivateQueue
from bridge.broker.topology import Topology
from bridge.broker.url import Urls
from bridge.connectors.base import Connector
from bridge.errors import BrokerUnavailable, MessageError, TurnFailed
from bridge.messages import TYPES, Delivery, InboundMessage, Reply, ReplyTo, TurnEnd, decode
from bridge.telemetry import logs, trace

log = logging.getLogger(__name__)

_LOST = TurnEnd(in_reply_to="", ticket="", error="lost")


class ReplyCollector:
    """Passes the replies on the private queue to the requests that wait for them."""

    def __init__(self, url: Urls, name: str, topology: Topology) -> None:
        self.link = PrivateQueue(url, name, topology, self._on_message, self._on_lost)
        # Weak references: a request that ends without `forget` (its client is gone) disappears too.
        self._waiting: WeakValueDictionary[str, asyncio.Queue[Reply | TurnEnd]] = (
            WeakValueDictionary()
        )

    def expect(self) -> tuple[ReplyTo, asyncio.Queue[Reply | TurnEnd]]:
        """Return a new ticket, and the queue on which its replies will arrive.

        Raises:
            BrokerUnavailable: the private queue is not connected.
        """
        if self.link.queue is None:
            raise BrokerUnavailable(f"no connection to RabbitMQ: {self.link.problem}")
        reply_to = ReplyTo(self.link.queue, secrets.token_urlsafe(12))
        arriving: asyncio.Queue[Reply | TurnEnd] = asyncio.Queue()
        self._waiting[reply_to.ticket] = arriving
        return reply_to, arriving

    def forget(self, ticket: str) -> None:
        """Drop further replies for a ticket."""
        self._waiting.pop(ticket, None)

    def _on_message(self, delivery: Delivery) -> None:
        message: Reply | TurnEnd
        try:
            if delivery.kind == TYPES[TurnEnd]:
                message = decode(delivery.body, TurnEnd)
            else:
                message = decode(delivery.body, Reply)
        except MessageError as error:
            with logs.bound(**delivery.ids):
                log.error("reply dropped: %s", error)
            return
        arriving = self._waiting.get(message.ticket or "")
        if arriving is not None:
            arriving.put_nowait(message)
        elif isinstance(message, Reply):
            with logs.bound(**message.ids):
                log.warning("reply dropped: its request no longer waits")

    def _on_lost(self) -> None:
        for arriving in self._waiting.values():
            arriving.put_nowait(_LOST)


class Enqueues(Protocol):
    """The part of `QueueInbox` that a collected turn needs."""

    async def enqueue(self, message: InboundMessage) -> None: ...


class CollectedReplies:
    """The replies of one turn. Await `enqueued`, then iterate once; implements `Collected`."""

    def __init__(
        self,
        message: InboundMessage,
        inbox: Enqueues,
        collector: ReplyCollector,
        timeout: float,
        connector: Connector | None = None,
    ) -> None:
        """`timeout` is in seconds, counted from the start of the iteration."""
        self._connector = connector
        self._message: InboundMessage | None = message
        self._inbox = inbox
        self._collector = collector
        self._timeout = timeout
        self._arriving: asyncio.Queue[Reply | TurnEnd] | None = None
        self._ticket = ""

    async def enqueued(self) -> None:
        """Publish the message and return once the broker has confirmed it.

        Raises:
            BrokerError: not confirmed.
        """
        assert self._message is not None, "await enqueued() once"
        reply_to, self._arriving = self._collector.expect()
        self._ticket = reply_to.ticket
        try:
            await self._inbox.enqueue(msgspec.structs.replace(self._message, reply_to=reply_to))
            self._message = None  # it may be large, and the turn long
        except BaseException:
            self._collector.forget(self._ticket)
            raise

    async def __aiter__(self) -> AsyncIterator[Reply]:
        """Yield each reply once, until the turn has ended.

        Raises:
            TurnFailed: 500, the turn was dead-lettered; 504, it did not end in time.
        """
        assert self._arriving is not None, "await enqueued() first"
        deadline = asyncio.get_running_loop().time() + self._timeout
        seen: set[str] = set()
        try:
            while True:
                left = deadline - asyncio.get_running_loop().time()
                if left <= 0:
                    # wait_for alone would still return what has already arrived.
                    raise asyncio.TimeoutError
                message = await asyncio.wait_for(self._arriving.get(), left)
                if message is _LOST:
                    raise TurnFailed(
                        504,
                        "accepted, but the connection for its replies was lost",
                        fix="the turn still completes",
                    )
                if isinstance(message, TurnEnd):
                    if message.error:
                        log.warning("the turn failed: %s", message.error)
                        raise TurnFailed(500, "the turn failed; it is kept as a dead letter")
                    return
                # A turn that runs again sends the same replies again.
                if message.identity not in seen:
                    seen.add(message.identity)
                    trace.note("collected", message)
                    yield self._connector.unprefixed(message) if self._connector else message
        except asyncio.TimeoutError:
            raise TurnFailed(
                504,
                f"accepted, but not answered within {self._timeout:g} s; the turn still completes",
            ) from None
        finally:
            self._collector.forget(self._ticket)
