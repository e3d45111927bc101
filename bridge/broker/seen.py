"""Tells `deliver` which events for sockets have reached a client.

An event goes to every webhook process, and none of them knows whether another holds the client's
socket. A process that has sent an event to a client says so, on the private queue of the `deliver`
process that published it. Silence means that the client is away.
"""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress

from bridge.broker.connection import Connection
from bridge.broker.declare import ensure_topology
from bridge.broker.links import CHECK_INTERVAL, Link
from bridge.broker.topology import Topology
from bridge.broker.url import Urls
from bridge.errors import AccessRefused
from bridge.messages import Delivery, RecentIds

HEADER = "x-bridge-seen"
"""AMQP header of an event: where to say that a client has it."""
PING = "ping"
"""AMQP `type` of an event for no client, which every process answers that answers at all."""


class Seen(Link):
    """The answers to one `deliver` process."""

    kind = "seen"

    def __init__(self, url: Urls, name: str, topology: Topology, channel: str) -> None:
        super().__init__(url, f"{name} {channel} seen", channel)
        self.address: str | None = None
        """The routing key for answers; None while disconnected."""
        self.is_answered = False
        """Whether webhook processes answer: those of an earlier version do not."""
        self._topology = topology
        self._seen = RecentIds()
        self._awaited: dict[str, asyncio.Event] = {}

    async def _session(self, connection: Connection) -> None:
        await ensure_topology(connection, self._topology, known=self._was_up)
        exchange = self._topology.sockets_exchange
        channel = await connection.consumer_channel(prefetch=0)
        name = f"{exchange}.seen.{secrets.token_hex(8)}"
        try:
            try:
                await channel.consume_private(self._on_answer, exchange, name=name)
            except AccessRefused as error:
                raise AccessRefused(
                    error.problem,
                    fix=f"deliver needs the permissions to read {exchange}, and to configure, write"
                    f" and read {exchange}.seen.*; or set keep_replies: 0",
                ) from error
            self.address = name
            self._is_ready("hearing which replies reach a client")
            while True:
                await connection.lost(timeout=CHECK_INTERVAL)
                channel.check()
        finally:
            self.address = None
            await channel.close()

    def _on_answer(self, delivery: Delivery) -> None:
        self.is_answered = True
        id = delivery.body.decode(errors="replace")
        self._seen.add((self.channel, id))
        if id in self._awaited:
            self._awaited[id].set()

    def has(self, id: str) -> bool:
        """Return whether the event has reached a client."""
        return (self.channel, id) in self._seen

    async def wait(self, id: str, timeout: float) -> bool:
        """Return whether the event has reached a client, after `timeout` seconds at most."""
        event = self._awaited.setdefault(id, asyncio.Event())
        try:
            with suppress(asyncio.TimeoutError):
                if not self.has(id):
                    await asyncio.wait_for(event.wait(), timeout)
            return self.has(id)
        finally:
            self._awaited.pop(id, None)
