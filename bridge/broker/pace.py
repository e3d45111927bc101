"""The link of a rate-limited channel: requests to its pacer, and the answers to this process.

The pace queue has a single active consumer, which is the pacer; the others stand by. If the pacer
dies, the broker returns its unanswered requests to the queue, and the next consumer answers them.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress

from bridge.broker.channels import ConsumerChannel
from bridge.broker.connection import Connection
from bridge.broker.declare import ensure_topology
from bridge.broker.links import CHECK_INTERVAL, Link
from bridge.broker.publisher import Publisher
from bridge.broker.topology import Queue, Topology
from bridge.broker.url import Urls, beating
from bridge.errors import AccessRefused, BrokerError
from bridge.messages import Delivery

EXPIRES = 3600_000
"""Milliseconds after which RabbitMQ deletes the pace queue of a channel without processes."""
REQUEST_EXPIRES = 2000
"""Milliseconds after which a request is worthless, because its process has repeated it."""
KIND = "pace"
"""AMQP `type` of requests and answers."""
HEARTBEAT = 1
"""Seconds. A pacer that is frozen (SIGSTOP, a suspended machine) is replaced within three."""


def pace_queue(topology: Topology, channel: str) -> Queue:
    """Return the queue for requests to the pacer of a channel.

    The topology does not list it: the processes of a rate-limited channel declare it.
    """
    arguments = {
        # Replicated: without the queue, a rate-limited channel makes no call.
        "x-queue-type": "quorum",
        # Its active consumer is the pacer.
        "x-single-active-consumer": True,
        "x-message-ttl": REQUEST_EXPIRES,
        "x-expires": EXPIRES,
    }
    name = f"{topology.namespace}.pace.{channel}"
    return Queue(name, topology.private_exchange, name, arguments)


class PaceLink(Link):
    """Carries requests and answers of one channel. Messages are lost, not queued, while it is down.

    `answers` is the queue for the answers to this process; None while disconnected.
    """

    kind = "pacer"

    def __init__(
        self,
        url: Urls,
        name: str,
        topology: Topology,
        channel: str,
        publisher: Publisher,
        on_request: Callable[[Delivery], None],
        on_answer: Callable[[Delivery], None],
    ) -> None:
        super().__init__(beating(url, HEARTBEAT), f"{name} {channel} pace", channel)
        self.on_change: Callable[[], None] = lambda: None
        """Called when the link is up, and when it is lost; `answers` tells which."""
        self.answers: str | None = None
        self._topology = topology
        self._exchange = topology.private_exchange
        self._queue = pace_queue(topology, channel)
        self._publisher = publisher
        self._on_request = on_request
        self._on_answer = on_answer
        self._channel: ConsumerChannel | None = None
        """On which requests come."""
        self._tasks: set[asyncio.Future[None]] = set()

    async def _session(self, connection: Connection) -> None:
        await ensure_topology(connection, self._topology, known=self._was_up)
        await self._declare(connection)
        channel = await connection.consumer_channel(prefetch=0)
        try:
            name = f"{self._queue.name}.{secrets.token_hex(8)}"
            await channel.consume_private(self._on_answer, self._exchange, name=name)
            self.answers, self._channel = name, channel
            await channel.consume(self._queue.name, self._on_request)
            self._is_ready("sharing the rate limit")
            self.on_change()
            while True:
                await connection.lost(timeout=CHECK_INTERVAL)
                channel.check()
        finally:
            channel.abandon()
            self.answers = self._channel = None
            self.on_change()
            if not connection.health.is_blocked():  # else there is no answer to wait for
                await channel.close()

    async def _declare(self, connection: Connection) -> None:
        try:
            await connection.declare((), [self._queue], passive=False)
        except AccessRefused as error:
            raise AccessRefused(
                error.problem,
                fix="a deliver process with a rate limit needs the permissions to configure, write"
                f" and read {self._queue.name.rpartition('.')[0]}.*",
            ) from error

    def ask(self, body: bytes) -> None:
        """Send a request to the pacer."""
        self._start(self._publish(body))

    def answer(self, queue: str, body: bytes) -> None:
        """Answer a request of the process with this queue.

        The answer goes the way that the request came, back. So once the broker has made another
        process the pacer, no answer of this one is delivered, even if this one does not know it.
        """
        # An answer would block this connection until the alarm ends, and then be worthless.
        if self._channel is not None and not self._publisher.is_blocked:
            self._start(self._reply(self._channel, queue, body))

    def settle(self, delivery: Delivery) -> None:
        """Ack a request, so that it is not passed on to the next pacer."""
        self._start(delivery.ack())

    def _start(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _publish(self, body: bytes) -> None:
        # What is lost is repeated, and so it is when an answer is.
        with suppress(BrokerError):
            await self._publisher.publish(
                self._exchange, self._queue.name, body, kind=KIND, message_id=self.name
            )

    async def _reply(self, channel: ConsumerChannel, queue: str, body: bytes) -> None:
        with suppress(BrokerError):
            await channel.send(self._exchange, queue, body, KIND, self.name)
