"""The link that publishes: it waits for confirms, shows alarms, and has the topology repaired."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Mapping
from functools import partial
from typing import Any, NoReturn

from bridge.broker import alarm
from bridge.broker.confirms import ConfirmChannel, unconfirmed
from bridge.broker.connection import Connection
from bridge.broker.counters import Counters
from bridge.broker.declare import ensure_topology
from bridge.broker.library import answer
from bridge.broker.links import Link
from bridge.broker.repair import Repair
from bridge.broker.topology import Topology
from bridge.broker.unconfirmed import Unconfirmed
from bridge.broker.url import Urls
from bridge.errors import (
    AccessRefused,
    BrokerError,
    BrokerUnavailable,
    MessageTooLarge,
    NotDeclared,
    TopologyError,
    Unroutable,
)
from bridge.telemetry import metrics

log = logging.getLogger(__name__)

CONFIRM_TIMEOUT = 5.0
"""Seconds until a publish must be confirmed."""
LARGE = 1024 * 1024
"""Bytes above which a message has a channel for itself."""
SETTLE = 10.0
"""Seconds after which a private queue that is not bound is gone."""


class Publisher(Link):
    """Publishes on a separate connection, because a memory or disk alarm blocks publishers."""

    kind = "publisher"

    def __init__(
        self, url: Urls, name: str, topology: Topology, confirm_timeout: float = CONFIRM_TIMEOUT
    ) -> None:
        super().__init__(url, name)
        self._topology = topology
        self.confirm_timeout = confirm_timeout
        self._channel: ConfirmChannel | None = None
        self._connection: Connection | None = None
        self.counters = Counters(self.opened, topology.private_exchange, confirm_timeout)
        self.unconfirmed = Unconfirmed(self.opened, name, self._declared_again)
        self._repair: Repair | None = None
        self.separates_priorities = True  # see `Connection.separates_priorities`
        self._since = 0.0
        """When the session began (monotonic clock)."""
        self._blocked = ""
        self._missing: dict[str, float] = {}
        """Routing key of replies without a queue → when that was noticed first."""
        self._is_mending = False
        """True after the broker closed the channel because an exchange is missing."""
        self._renewing: asyncio.Future[None] | None = None
        self._retiring: set[asyncio.Future[None]] = set()

    @property
    def is_blocked(self) -> bool:
        """Whether an alarm of the broker blocks publishers."""
        return bool(self._blocked)

    @property
    def sequence(self) -> object:
        """The channel that publishes now: what it publishes to one queue is stored in order."""
        return self._channel

    async def _session(self, connection: Connection) -> None:
        # Hundreds of declarations take minutes in a webhook that refuses its senders meanwhile. So
        # what was there before is checked later; until then, each publish repairs what it misses.
        is_trusted = self._was_up and not self._is_mending
        if isinstance(self.failure, TopologyError) or not is_trusted:
            await ensure_topology(connection, self._topology, known=self._was_up)
        self._use(connection, await connection.confirm_channel())
        self._connection = connection
        self.separates_priorities = connection.separates_priorities
        self._repair = Repair(connection, self._topology, self._show_state)
        repairing = asyncio.ensure_future(self._repair.run())
        try:
            await alarm.look(connection, self._topology.reports_exchange, self.name)
            self._since = time.monotonic()
            self._is_mending = False
            self._missing.clear()
            self._is_ready("ready to publish")
            connection.health.on_alarm = self._show_state
            self._show_state()
            if is_trusted:
                await ensure_topology(connection, self._topology, known=True)
            await connection.lost()
        finally:
            repairing.cancel()
            for task in (self._renewing, *self._retiring):
                if task is not None:
                    task.cancel()
            connection.health.on_alarm = lambda: None
            self._channel = self._connection = self._repair = None
            self._blocked = ""
            metrics.publishers_blocked.set(0)

    def _show_state(self) -> None:
        """Show an alarm of the broker, or a failed repair, in `ready` and `problem`."""
        if self._connection is None or self._repair is None:
            return
        was_blocked, self._blocked = self._blocked, self._connection.health.problem
        self.problem = self._blocked or self._repair.problem
        metrics.publishers_blocked.set(bool(self._blocked))
        if self._blocked and self._blocked != was_blocked:
            self.ready.clear()
            log.warning("%s", self._blocked)
        elif was_blocked and not self._blocked:
            self.ready.set()
            log.warning("RabbitMQ accepts messages again")

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
        timeout: float | None = None,
        may_repeat: bool = True,
        via: object = None,
        failed: BrokerError | None = None,
    ) -> None:
        """Publish one message and return once it is confirmed; see `ConfirmChannel.publish`.

        `timeout` is in seconds, and by default that of all publishes. `via` is a former value of
        `sequence`: on another channel, the message is not published. If a part of the topology is
        missing, it is declared again first. With `may_repeat`, a second copy of this message is
        harmless. `failed` is the error of a first try, which was made with `begin`.

        Raises:
            BrokerUnavailable: not connected, or blocked (raised at once), no confirm in time, or
                the topology cannot be repaired now.
            MessageTooLarge: the broker will never accept the message.
            PublishRefused: the queue is full.
            Unroutable: no queue is bound for the key, and the topology has none for it.
        """
        within = self.confirm_timeout if timeout is None else timeout
        for tried, is_last in ((failed, False), (None, False), (None, True)):
            if self._is_mending and tried is None:
                await self._mended()
            try:
                if tried is not None:
                    raise tried
                if via is not None and via is not self._channel:
                    raise BrokerUnavailable("the channel of the messages before was replaced")
                how = kind, message_id, reply_to, headers, within
                begun = self.begin(exchange, routing_key, body, *how)
                if begun is None:
                    raise BrokerUnavailable(f"nothing can be published: {self.problem}")
                await begun
                return
            except NotDeclared as error:
                if is_last:
                    raise
                await self._declared_again(error)
                if not may_repeat:
                    raise unconfirmed(error.problem) from error
            except Unroutable as error:
                if is_last:
                    self._refuse_if_final(exchange, routing_key, error)
                await self._bound_again(exchange, routing_key, error)

    async def _bound_again(self, exchange: str, routing_key: str, error: Unroutable) -> None:
        """Return once the queue for this key is bound.

        Raises:
            BrokerUnavailable: not within the time for a confirm.
            Unroutable: there is no such queue.
        """
        topology, connection = self._topology.around(exchange, routing_key), self.opened()
        channel = ""
        if topology is None or self._repair is None:
            self._refuse_if_final(exchange, routing_key, error)
        elif topology is not self._topology:
            # A worker does not know the channels: `deliver` declares their queues.
            channel = topology.channels[-1]
            names = [queue.name for queue in topology.reply_queues(channel)]
            if not await connection.depths(names):
                self._refuse_if_final(exchange, routing_key, error)
        await self._repair.done(error, self.confirm_timeout, channel)

    def _refuse_if_final(self, exchange: str, routing_key: str, error: Unroutable) -> NoReturn:
        """Raise an error that is final if the queue is gone for good.

        Another process may be about to bind it: a private queue after its exchange was missing
        (`private.REBIND`), or the queues of a channel after they were deleted.

        Raises:
            BrokerUnavailable: it may be bound soon.
            Unroutable: it is gone.
        """
        now = time.monotonic()
        if exchange == self._topology.private_exchange:
            is_final = now - self._since > SETTLE
        elif self._topology.routes(exchange, routing_key):
            is_final = False
        elif exchange == self._topology.replies_exchange and not self._topology.channels:
            missing = self._missing.setdefault(routing_key, now)
            is_final = now - missing > SETTLE
        else:
            is_final = True
        if is_final:
            raise error
        raise BrokerUnavailable(error.problem) from error

    def begin(self, exchange: str, key: str, body: bytes, *how: Any) -> Awaitable[None] | None:
        """Try to publish once; see `ConfirmChannel.begin`. None: nothing can be published now."""
        channel = self._channel
        if channel is None or not self.ready.is_set():
            return None
        begin = channel.begin if len(body) <= LARGE else self._publish_alone
        return begin(exchange, key, body, *how)

    async def _publish_alone(self, exchange: str, key: str, body: bytes, *how: Any) -> None:
        """Use another channel: too large a message closes its own, which must not be everyone's."""
        async with self.opened().own_channel() as channel:
            try:
                await channel.begin(exchange, key, body, *how)
            except (AccessRefused, NotDeclared):
                raise
            except TopologyError as error:
                raise MessageTooLarge(f"{len(body)} bytes: {error.problem}") from error

    def _use(self, connection: Connection, channel: ConfirmChannel) -> None:
        channel.on_overdue = partial(self._renew, connection, channel)
        self._channel = channel

    def _renew(self, connection: Connection, overdue: ConfirmChannel) -> None:
        """Publish on another channel from now on, as soon as it is open.

        When the node that leads a queue hangs, the others elect a leader within 10 s. But a channel
        that published to the old leader gets no confirm for that queue any more, not even a minute
        later (measured on 4.0.5).
        """
        is_used = overdue is self._channel and connection is self._connection
        if is_used and (self._renewing is None or self._renewing.done()):
            self._renewing = asyncio.ensure_future(self._replace_channel(connection, overdue))

    async def _replace_channel(self, connection: Connection, overdue: ConfirmChannel) -> None:
        try:
            opened = await answer(connection.confirm_channel(), self.confirm_timeout)
        except (BrokerError, asyncio.TimeoutError):
            return  # the next overdue confirm tries again
        if self._connection is connection:
            self._use(connection, opened)
            log.warning("no confirm within %g s: using another channel", self.confirm_timeout)
            retiring = asyncio.ensure_future(self._retire(connection, overdue))
            self._retiring.add(retiring)
            retiring.add_done_callback(self._retiring.discard)

    async def _retire(self, connection: Connection, channel: ConfirmChannel) -> None:
        await asyncio.sleep(self.confirm_timeout)  # what it still waits for fails by then
        await connection.retire(channel)

    async def _declared_again(self, error: NotDeclared) -> None:
        """Return once the missing exchange exists.

        Raises:
            BrokerUnavailable: not within the time for a confirm.
        """
        if self._repair is not None and self.opened().health.is_alive():  # a channel for itself
            await self._repair.done(error, self.confirm_timeout)
            return
        # The broker closed everyone's channel. The next session declares everything.
        self._is_mending = True
        self.problem = error.problem
        self.ready.clear()
        await self._mended()

    async def _mended(self) -> None:
        try:
            await asyncio.wait_for(self.ready.wait(), self.confirm_timeout)
        except asyncio.TimeoutError as error:
            self._is_mending = False
            raise BrokerUnavailable(f"nothing can be published: {self.problem}") from error

    def opened(self) -> Connection:
        """Return the connection, or raise BrokerUnavailable."""
        if self._connection is None or self._connection.health.blocked:
            raise BrokerUnavailable(f"nothing can be published: {self.problem}")
        return self._connection
