"""Exchanges, queues and routing as plain data. Declaring them is `amqp.py`'s part.

Every argument has its reason beside it; the facts behind them are RabbitMQ's documents on quorum
queues (https://www.rabbitmq.com/docs/quorum-queues), consumers (…/docs/consumers) and
consumer priorities (…/docs/consumer-priority).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from zlib import crc32

DELIVERY_LIMIT = 100
"""Returns to the queue before the broker itself sets a message aside. Every restart of a consumer
counts for everything that it had prefetched, so the default of RabbitMQ 4 (20) is too low."""
HELD_AT_MOST = 7 * 24 * 3600_000
"""Milliseconds that a consumer may hold a reply. While a service is down its replies are held on
purpose (`bridge.delivery.breaker`); after RabbitMQ's half an hour all of them would come back to
their queues, time and again, until each was suspected to be what ends its process."""
SOCKETS_EXPIRE = 300_000
"""Milliseconds after which the queue of a webhook process that is gone is deleted."""


@dataclass(frozen=True)
class Queue:
    name: str
    exchange: str
    routing_key: str
    arguments: dict[str, Any] = field(hash=False)


class Depth(NamedTuple):
    """What a broker tells of a queue."""

    ready: int
    """Messages that wait; those that a consumer holds are not among them."""
    consumers: int
    """Of a queue with a single active consumer that one alone (measured on 4.0.5)."""
    unacked: int | None = None
    """Messages that a consumer holds. Only the management API tells it."""


@dataclass(frozen=True)
class Topology:
    """The queues of one bridge: `namespace` begins every name, `channels` have reply queues."""

    namespace: str = "bridge"
    inbound_partitions: int = 32
    reply_partitions: int = 8
    channels: Sequence[str] = ()
    sockets: bool = False
    """Clients of one of the channels hold sockets: there is an exchange for events to them."""

    @property
    def inbound_exchange(self) -> str:
        return f"{self.namespace}.inbound"

    @property
    def replies_exchange(self) -> str:
        return f"{self.namespace}.replies"

    @property
    def dead_exchange(self) -> str:
        return f"{self.namespace}.dead"

    @property
    def private_exchange(self) -> str:
        """Leads to queues by their own names: what one process or one message has for itself.

        Not the default exchange: whoever may publish there may write to every queue.
        """
        return f"{self.namespace}.private"

    @property
    def reports_exchange(self) -> str:
        """Where processes report on themselves. Who wants to know binds a queue of its own."""
        return f"{self.namespace}.reports"

    @property
    def exchanges(self) -> tuple[str, ...]:
        """All are direct and durable."""
        always = (
            self.inbound_exchange,
            self.replies_exchange,
            self.dead_exchange,
            self.private_exchange,
            self.reports_exchange,
        )
        return (*always, self.sockets_exchange) if self.sockets else always

    @property
    def sockets_exchange(self) -> str:
        return f"{self.namespace}.socketio"

    def sockets_queue(self, channel: str, process: str) -> Queue:
        """The queue of one webhook process, with all events for a channel's clients.

        Not among `queues`: it comes and goes with its process.
        """
        arguments = {
            "x-queue-type": "quorum",
            # Outlives a lost connection of its process, but not for long the process.
            "x-expires": SOCKETS_EXPIRE,
        }
        # pamqp 3 (aio-pika 8) takes no blanks.
        name = f"{self.sockets_exchange}.{channel}.{process.replace(' ', '.')}"
        return Queue(name, self.sockets_exchange, channel, arguments)

    def inbound_key(self, sender_id: str) -> str:
        """Routing key of a conversation's messages. Rasa's tracker knows no key but sender_id."""
        count = self.inbound_partitions
        return _key(partition_of(sender_id, count), count)

    def reply_key(self, channel: str, recipient_id: str) -> str:
        count = self.reply_partitions
        return f"{channel}.{_key(partition_of(recipient_id, count), count)}"

    def attempts_counter(self, key: str) -> str:
        """Name of the counter of attempts at one message; see `bridge.suspects`."""
        return f"{self.namespace}.attempts.{hashlib.sha256(key.encode()).hexdigest()[:32]}"

    def inbound_queue(self, partition: int) -> str:
        return f"{self.inbound_exchange}.{partition:02}"

    def inbound_queues(self) -> list[Queue]:
        return self._partitions(self.inbound_exchange, "", self.inbound_partitions, "inbound", {})

    def reply_queues(self, channel: str) -> list[Queue]:
        return self._partitions(
            self.replies_exchange,
            f"{channel}.",
            self.reply_partitions,
            "replies",
            {"x-consumer-timeout": HELD_AT_MOST},
        )

    def dead_queues(self) -> list[Queue]:
        """One queue a flow. Not single-active-consumer: several people may look at once."""
        arguments = {
            "x-queue-type": "quorum",
            # Every look gives the messages back: with a low limit the broker would drop them some
            # day. Not -1, which means no limit: pamqp 3 (aio-pika 8) cannot encode it, and its
            # writer ends without a word.
            "x-delivery-limit": 1_000_000_000,
        }
        return [
            Queue(f"{self.dead_exchange}.{flow}", self.dead_exchange, flow, arguments)
            for flow in ("inbound", "replies")
        ]

    def queues(self) -> Iterator[Queue]:
        """All queues; the dead-letter queues first, so that the others always have where to go.

        Partitions from the last to the first: where the first one is, all of them are, or there
        are fewer.
        """
        yield from self.dead_queues()
        for partitions in self.flows():
            yield from reversed(partitions)

    def flows(self) -> list[list[Queue]]:
        """The partitions of inbound, then those of each channel's replies."""
        return [self.inbound_queues(), *(self.reply_queues(channel) for channel in self.channels)]

    @property
    def resizing(self) -> str:
        """Name of a queue that exists while a resize must not be disturbed; see `resize.py`."""
        return f"{self.namespace}.resizing"

    def surplus_queues(self) -> list[str]:
        """Names that exist only if somebody declared more partitions than these settings say."""
        return [
            self.inbound_queue(self.inbound_partitions),
            *(f"{self.replies_exchange}.{c}.{self.reply_partitions:02}" for c in self.channels),
        ]

    def _partitions(
        self, exchange: str, prefix: str, count: int, flow: str, further: dict[str, Any]
    ) -> list[Queue]:
        arguments = {
            # Replicated and on disk: survives a broker's crash.
            "x-queue-type": "quorum",
            # One consumer at a time keeps order, the others stand by. Only an argument can set it.
            "x-single-active-consumer": True,
            "x-delivery-limit": DELIVERY_LIMIT,
            # Last resort, past the delivery limit; else a message would be dropped there.
            "x-dead-letter-exchange": self.dead_exchange,
            "x-dead-letter-routing-key": flow,
            # Keep the message until the dead-letter queue has confirmed it; needs reject-publish,
            # which also makes a full queue refuse (→ 503) instead of dropping its head.
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
            **further,
        }
        return [
            Queue(f"{exchange}.{prefix}{n:02}", exchange, f"{prefix}{_key(n, count)}", arguments)
            for n in range(count)
        ]


def _key(partition: int, count: int) -> str:
    """Routing key of a partition. It holds their number, so that a publisher that is set to
    another number is refused, instead of putting a conversation on two queues."""
    return f"{partition:02}/{count}"


def partition_of(conversation: str, partitions: int) -> int:
    """Partition of a conversation: crc32 of its UTF-8 bytes, which any language can compute."""
    return crc32(conversation.encode("utf-8", "surrogatepass")) % partitions


def consumer_priority(worker_id: str, queue: str) -> int:
    """Consumer argument `x-priority`: rendezvous hashing, done by the broker.

    RabbitMQ ≥ 4.0 makes the consumer with the highest priority the active one, so every worker
    that joins takes over a fair share. crc32 would not do: it is linear, so that two workers'
    rankings would follow each other from partition to partition.
    """
    digest = hashlib.blake2b(f"{worker_id}|{queue}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") % 32000
