"""Supervised connections: publisher, consumer, private queue. Knows no aio_pika, no message.

aio_pika's `RobustConnection` is not used: it reconnects at a fixed interval, restores with old
arguments and can come back with zero consumers (aio-pika#231, #626). A `Link` is a loop of its
own: connect → set up → wait until lost → back off with jitter → again.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol

from bridge.amqp import ConfirmChannel, Connection, ConsumerChannel, connect
from bridge.broker_url import safe_url
from bridge.declare import ensure_topology
from bridge.errors import BrokerError, BrokerUnavailable, TopologyError
from bridge.messages import Delivery
from bridge.retry import backoff
from bridge.topology import Topology

log = logging.getLogger(__name__)

CHECK_INTERVAL = 1.0
"""Seconds between two looks at whether the broker has cancelled a consumer."""
GATHER = 60.0
"""Seconds that running work has to end before suspects are run alone."""


class Link(ABC):
    """One supervised connection. `run` it as a task; cancel the task to close it."""

    def __init__(self, url: str, name: str) -> None:
        self.url = url
        self.name = name
        self.ready = asyncio.Event()
        """Set while connected and set up."""
        self.problem = "not connected yet"
        """Why it is not ready, for /readyz and logs."""

    async def run(self) -> None:
        """Keep the connection up until cancelled.

        Raises:
            TopologyError: before it was ever ready: the settings and the broker disagree.
        """
        failures = 0
        was_ready = False
        while True:
            try:
                async with connect(self.url, self.name) as connection:
                    await self._session(connection)
            except TopologyError as error:
                if not was_ready:
                    raise
                self.problem = str(error)
            except BrokerError as error:
                self.problem = str(error)
            finally:
                # A session that was up starts the back-off afresh.
                failures = 1 if self.ready.is_set() else failures + 1
                was_ready = was_ready or self.ready.is_set()
                self.ready.clear()
            delay = backoff(failures)
            log.warning("no broker: %s; next try in %.1f s", self.problem, delay)
            await asyncio.sleep(delay)

    @abstractmethod
    async def _session(self, connection: Connection) -> None:
        """Set up, call `_is_ready`, wait; raise `BrokerError` when the connection is lost."""

    def _is_ready(self, what: str) -> None:
        self.problem = ""
        self.ready.set()
        log.info("connected to %s, %s", safe_url(self.url), what)


class Publisher(Link):
    """Publishes on a connection of its own, since a memory or disk alarm blocks publishers."""

    def __init__(
        self, url: str, name: str, topology: Topology, confirm_timeout: float = 5.0
    ) -> None:
        super().__init__(url, name)
        self._topology = topology
        self._confirm_timeout = confirm_timeout
        self._channel: ConfirmChannel | None = None

    async def _session(self, connection: Connection) -> None:
        await ensure_topology(connection, self._topology)
        self._channel = await connection.confirm_channel()
        try:
            self._is_ready("ready to publish")
            await connection.lost()
        finally:
            self._channel = None

    async def publish(
        self, exchange: str, routing_key: str, body: bytes, **properties: Any
    ) -> None:
        """Publish one message, see `ConfirmChannel.publish`.

        Raises:
            BrokerUnavailable: at once when not connected, or no confirm in time.
            PublishRefused: the queue is full.
            Unroutable: no queue is bound for the key.
        """
        if self._channel is None:
            raise BrokerUnavailable(f"no connection to RabbitMQ: {self.problem}")
        await self._channel.publish(
            exchange, routing_key, body, timeout=self._confirm_timeout, **properties
        )


class Generation(Protocol):
    """Whatever works on the deliveries of one channel; it ends with that channel."""

    @property
    def suspects(self) -> Mapping[str, int]:
        """Queue → delivery count of a message that may have killed the processes that ran it."""

    @property
    def calm(self) -> bool:
        """Whether no suspect is left."""

    def admit(self, delivery: Delivery) -> None: ...
    async def drain(self, grace: float) -> bool: ...
    async def cancel(self) -> None: ...


class Consumer(Link):
    """Consumes queues and hands their messages to a generation.

    Each channel is a generation: when its connection is lost, everything that still works on its
    messages is cancelled before the next one is given the same messages again.

    A message that was handed out several times and never settled may be poison: running it may
    kill the process, and each crash counts for everything that was prefetched beside it. So a
    generation does not run such a suspect. It is drained, and the queues with suspects are
    consumed one after the other with prefetch 1: what dies with the process then is the suspect
    alone. The least suspected queue comes first, so that a bystander is done with before the
    culprit runs.
    """

    def __init__(
        self,
        url: str,
        name: str,
        topology: Topology,
        queues: Mapping[str, int],
        prefetch: int,
        open_generation: Callable[[bool], Generation],
    ) -> None:
        """`queues` gives the consumer priority of each queue (see `consumer_priority`);
        `open_generation(alone)` makes a generation that runs suspects, or does not.
        """
        super().__init__(url, name)
        self._topology = topology
        self._queues = queues
        self._prefetch = prefetch
        self._open_generation = open_generation
        self._generation: Generation | None = None
        self._channel: ConsumerChannel | None = None
        self._stopping = False

    async def _session(self, connection: Connection) -> None:
        await ensure_topology(connection, self._topology)
        while True:
            suspects = await self._consume_together(connection)
            for queue in sorted(suspects, key=lambda name: suspects[name]):
                log.warning("%s: a message came back %d times, run alone", queue, suspects[queue])
                await self._consume_alone(connection, queue)

    async def _consume_together(self, connection: Connection) -> Mapping[str, int]:
        """Consume every queue until a suspect turns up; return all suspects."""
        async with self._consuming(connection, self._queues, self._prefetch) as generation:
            self._is_ready(f"consuming {len(self._queues)} queues")
            while not generation.suspects:
                await self._look(connection)
            # The first one is seldom the only one: each crash counts for all that was prefetched.
            await self._look(connection)
            await self._gather(connection, generation)
            return generation.suspects

    async def _consume_alone(self, connection: Connection, queue: str) -> None:
        """Run the messages of one queue, nothing else meanwhile, until no suspect is left."""
        only = {queue: self._queues[queue]}
        async with self._consuming(connection, only, 1, alone=True) as generation:
            while True:
                await self._look(connection)
                if generation.calm:
                    await self._gather(connection, generation)
                    return

    @asynccontextmanager
    async def _consuming(
        self,
        connection: Connection,
        queues: Mapping[str, int],
        prefetch: int,
        alone: bool = False,
    ) -> AsyncIterator[Generation]:
        if self._stopping:
            await connection.lost()
        self._channel = channel = await connection.consumer_channel(prefetch)
        self._generation = generation = self._open_generation(alone)
        try:
            for queue, priority in queues.items():
                await channel.consume(queue, generation.admit, priority=priority)
            yield generation
        finally:
            channel.abandon()
            await generation.cancel()
            await channel.close()

    async def _gather(self, connection: Connection, generation: Generation) -> None:
        """Wait until what runs has ended, `GATHER` seconds at most; raise as `_look` does."""
        ended = asyncio.ensure_future(generation.drain(GATHER))
        watching = asyncio.ensure_future(self._watch(connection))
        try:
            await asyncio.wait({ended, watching}, return_when=asyncio.FIRST_COMPLETED)
            if watching.done():
                watching.result()
        finally:
            ended.cancel()
            watching.cancel()

    async def _watch(self, connection: Connection) -> None:
        while True:
            await self._look(connection)

    async def _look(self, connection: Connection) -> None:
        """Wait a moment; raise BrokerUnavailable if the connection or a consumer is gone."""
        await connection.lost(timeout=CHECK_INTERVAL)
        assert self._channel is not None
        self._channel.check()

    async def drain(self, grace: float) -> bool:
        """Start nothing new, wait for what runs; return whether it ended within `grace` seconds.

        The channel stays open meanwhile, so that what ends is acked, and no other one is opened
        whatever happens to it. Cancel `run` afterwards.
        """
        self._stopping = True
        return await self._generation.drain(grace) if self._generation else True


class PrivateQueue(Link):
    """A queue of this process alone. It and its messages end with the connection."""

    def __init__(
        self,
        url: str,
        name: str,
        on_message: Callable[[Delivery], None],
        on_lost: Callable[[], None],
    ) -> None:
        super().__init__(url, name)
        self._on_message = on_message
        self._on_lost = on_lost
        self.queue: str | None = None
        """Name for `reply_to`; None while disconnected."""

    async def _session(self, connection: Connection) -> None:
        channel = await connection.consumer_channel(prefetch=0)
        try:
            self.queue = await channel.consume_private(self._on_message)
            self._is_ready("collecting replies")
            await connection.lost()
        finally:
            self.queue = None
            self._on_lost()
            await channel.close()
