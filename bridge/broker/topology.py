"""Exchanges, queues and routing as plain data; `declare.py` declares them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

from bridge.broker.arguments import DEAD, RECEIPTS, SOCKETS_EXPIRE, partition_arguments
from bridge.broker.delays import delay_queues
from bridge.broker.hashing import (
    MOST_PARTITIONS,
    consumer_priority as consumer_priority,
    partition_of as partition_of,
)
from bridge.broker.places import Address as Address, Depth as Depth, Queue as Queue
from bridge.messages import (
    FLOWS,
    HIGH,
    INBOUND,
    LOW,
    NORMAL,
    REPLIES,
    Flow,
    InboundMessage,
    Priority,
    Reply,
)

QUEUE_NAME = re.compile(r"[\w.:@#,/-]{1,200}", re.ASCII)
"""A channel in the name of a queue: what every version of pamqp sends."""


@dataclass(frozen=True)
class Topology:
    """The exchanges and queues of one bridge. `channels` are those that have reply queues."""

    namespace: str = "bridge"
    """Prefix of every name."""
    inbound_partitions: int = 32
    reply_partitions: int = 8
    channels: Sequence[str] = ()
    sockets: bool = False
    """True if clients of a channel hold sockets: an exchange carries the events for them."""
    receipts: Sequence[str] = ()
    """The channels whose receipts are joined to their replies."""

    @cached_property
    def inbound_exchange(self) -> str:
        return f"{self.namespace}.inbound"

    @cached_property
    def replies_exchange(self) -> str:
        return f"{self.namespace}.replies"

    @property
    def dead_exchange(self) -> str:
        return f"{self.namespace}.dead"

    @cached_property
    def private_exchange(self) -> str:
        """Routes to the private queues of processes and to attempt counters, by queue name.

        The default exchange would do the same, but the right to publish there is the right to
        write to every queue.
        """
        return f"{self.namespace}.private"

    @property
    def reports_exchange(self) -> str:
        """Carries the processes' reports; each observer binds a queue to it."""
        return f"{self.namespace}.reports"

    @property
    def reminders_exchange(self) -> str:
        return f"{self.namespace}.reminders"

    @property
    def sockets_exchange(self) -> str:
        return f"{self.namespace}.socketio"

    @property
    def receipts_exchange(self) -> str:
        """Carries reports of receipts to other systems, by `<channel>.<outcome>`."""
        return f"{self.namespace}.receipts"

    @property
    def incoming_receipts_exchange(self) -> str:
        """Carries notes and receipts to `deliver`. Other systems need no right to write to it."""
        return f"{self.receipts_exchange}.in"

    @property
    def exchanges(self) -> tuple[str, ...]:
        """All exchanges; each is direct and durable."""
        always = (
            self.inbound_exchange,
            self.replies_exchange,
            self.dead_exchange,
            self.private_exchange,
            self.reports_exchange,
            self.reminders_exchange,
        )
        sockets = (self.sockets_exchange,) if self.sockets else ()
        both = (self.receipts_exchange, self.incoming_receipts_exchange)
        receipts = both if self.receipts else ()
        return (*always, *sockets, *receipts)

    def address(self, message: InboundMessage | Reply, *, separate: bool = True) -> Address:
        """Return where a message is published: its partition is that of its conversation.

        With `separate`, each priority has its queue; see `Connection.separates_priorities`.
        """
        if isinstance(message, InboundMessage):
            count = self.inbound_partitions
            prefix = _prefix(message.priority) if separate and message.priority != NORMAL else ""
            partition = partition_of(message.sender_id, count)
            return _address(self.inbound_exchange, prefix, partition, count)
        count = self.reply_partitions
        partition = partition_of(message.recipient_id, count)
        return _address(self.replies_exchange, f"{message.channel}.", partition, count)

    def inbound_key(self, sender_id: str, priority: Priority = NORMAL) -> str:
        """Return the routing key of a conversation's messages with this priority.

        The partition depends on `sender_id` alone, because Rasa finds a tracker by nothing else.
        """
        count = self.inbound_partitions
        return _prefix(priority) + _key(partition_of(sender_id, count), count)

    def reply_key(self, channel: str, recipient_id: str) -> str:
        """Return the routing key of a channel's replies to one recipient."""
        count = self.reply_partitions
        return f"{channel}.{_key(partition_of(recipient_id, count), count)}"

    def attempts_counter(self, key: str) -> str:
        """Return the name of the attempt counter of one message (`processing.quarantine`)."""
        return f"{self.namespace}.attempts.{hashlib.sha256(key.encode()).hexdigest()[:32]}"

    def sockets_queue(self, channel: str, process: str) -> Queue:
        """Return the event queue of one webhook process and channel.

        `queues` does not list it, because it comes and goes with its process.
        """
        arguments = {
            "x-queue-type": "quorum",
            # It must outlive a lost connection of its process, but not the process for long.
            "x-expires": SOCKETS_EXPIRE,
        }
        # pamqp 3 (aio-pika 8) accepts no blanks.
        name = f"{self.sockets_exchange}.{channel}.{process.replace(' ', '.')}"
        return Queue(name, self.sockets_exchange, channel, arguments)

    def inbound_queue(self, partition: int, priority: Priority = NORMAL) -> str:
        return f"{self.inbound_exchange}.{_prefix(priority)}{partition:02}"

    def key_of(self, inbound_queue: str) -> str:
        """Return the routing key of a normal inbound queue."""
        return _key(int(inbound_queue.rpartition(".")[2]), self.inbound_partitions)

    def inbound_queues(self, priority: Priority = NORMAL) -> list[Queue]:
        """Return the queue of each inbound partition for the messages with this priority."""
        prefix, count = _prefix(priority), self.inbound_partitions
        return self._partitions(self.inbound_exchange, prefix, count, INBOUND)

    def owners(self) -> dict[str, str]:
        """Map each inbound queue of another priority to the normal queue of its partition.

        That one decides which process owns the partition (`processing.partitions`).
        """
        normal = [queue.name for queue in self.inbound_queues()]
        return {
            queue.name: owner
            for priority in (HIGH, LOW)
            for queue, owner in zip(self.inbound_queues(priority), normal, strict=True)
        }

    def reply_queues(self, channel: str) -> list[Queue]:
        return self._partitions(
            self.replies_exchange, f"{channel}.", self.reply_partitions, REPLIES
        )

    def dead_queues(self) -> list[Queue]:
        """Return one queue per flow; without single active consumer, so several people may read."""
        return [
            Queue(f"{self.dead_exchange}.{flow}", self.dead_exchange, flow, DEAD) for flow in FLOWS
        ]

    def receipt_queue(self, channel: str) -> Queue:
        """Return the queue of a channel's notes and receipts (`broker.receipts`)."""
        exchange = self.incoming_receipts_exchange
        return Queue(f"{exchange}.{channel}", exchange, channel, RECEIPTS)

    def reminder_queues(self) -> list[Queue]:
        """Return the queue of what is due, then one per delay, which passes on to it."""
        exchange = self.reminders_exchange
        queues = delay_queues(exchange, self.dead_exchange).items()
        return [Queue(f"{exchange}.{key}", exchange, key, arguments) for key, arguments in queues]

    def queues(self) -> Iterator[Queue]:
        """Yield all queues, dead-letter queues first, so that the others can dead-letter at once.

        Partitions come last to first: if the first one exists, all of them do, or the broker has
        fewer.
        """
        yield from self.dead_queues()
        yield from self.reminder_queues()
        yield from map(self.receipt_queue, self.receipts)
        for partitions in self.flows():
            yield from reversed(partitions)

    def flows(self) -> list[list[Queue]]:
        """Return the inbound queues of each priority, then those of each channel's replies."""
        return [
            *self.inbound_flows(),
            *(self.reply_queues(channel) for channel in self.channels),
        ]

    def inbound_flows(self) -> list[list[Queue]]:
        """Return the inbound queues of each priority, one per partition."""
        return [self.inbound_queues(priority) for priority in (NORMAL, HIGH, LOW)]

    @property
    def resizing(self) -> str:
        """Name of a queue that exists while a resize must not be disturbed (`resize.py`)."""
        return f"{self.namespace}.resizing"

    @property
    def closed(self) -> str:
        """Name of a queue that exists while a resize keeps the inbound queues unbound."""
        return f"{self.namespace}.closed"

    @property
    def resized(self) -> str:
        """Name of an exchange that exists once the number of partitions was changed."""
        return f"{self.namespace}.resized"

    def around(self, exchange: str, routing_key: str) -> Topology | None:
        """Return the topology with the queue for this address; None if there cannot be one.

        A worker knows no channels, but the key of a reply names one.
        """
        if self.routes(exchange, routing_key):
            return self
        if self.channels:
            return None
        channel = routing_key.rpartition(".")[0]
        if not QUEUE_NAME.fullmatch(channel):
            return None
        with_channel = replace(self, channels=(*self.channels, channel))
        return with_channel if with_channel.routes(exchange, routing_key) else None

    def routes(self, exchange: str, routing_key: str) -> bool:
        """Return whether a queue of `queues` is bound to this exchange with this key."""
        return (exchange, routing_key) in self._bindings

    @cached_property
    def _bindings(self) -> frozenset[tuple[str, str]]:
        return frozenset((queue.exchange, queue.routing_key) for queue in self.queues())

    def surplus_queues(self) -> list[str]:
        """Return names that exist only if another process declared more partitions."""
        return [
            *(self.inbound_queue(self.inbound_partitions, p) for p in (NORMAL, HIGH, LOW)),
            *(f"{self.replies_exchange}.{c}.{self.reply_partitions:02}" for c in self.channels),
        ]

    def _partitions(self, exchange: str, prefix: str, count: int, flow: Flow) -> list[Queue]:
        arguments = partition_arguments(self.dead_exchange, flow)
        return [
            Queue(f"{exchange}.{prefix}{n:02}", exchange, f"{prefix}{_key(n, count)}", arguments)
            for n in range(count)
        ]


def _prefix(priority: Priority) -> str:
    return "" if priority == NORMAL else f"{priority}."


@lru_cache(8 * MOST_PARTITIONS)  # each message needs one
def _address(exchange: str, prefix: str, partition: int, count: int) -> Address:
    return Address(exchange, prefix + _key(partition, count))


def _key(partition: int, count: int) -> str:
    """Return the routing key of a partition.

    It contains the number of partitions, so that a publisher configured with another number is
    refused instead of putting one conversation on two queues.
    """
    return f"{partition:02}/{count}"


@lru_cache(4 * MOST_PARTITIONS)
def partition_in(routing_key: str) -> str:
    """Return the number of the partition in a routing key, as in the names of its queues."""
    return routing_key.partition("/")[0].rpartition(".")[2]
