"""A model of RabbitMQ: quorum queues with a single active consumer, and counters. No time.

It does what docs/explanation and `tests/integration` found on RabbitMQ 4:

- The active consumer of a queue is the one with the highest priority. If a higher one arrives, the
  active one *fades*: it gets nothing more, and is replaced once it has settled what it holds.
- Messages of a closed channel return in their original order, before all others, and each one's
  delivery count rises.
- A consumer holds at most `prefetch` messages of a queue.
- A consumer that is cancelled, instead of its channel being closed, keeps its messages while the
  next consumer starts.
"""

from __future__ import annotations

import itertools
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from bridge.broker.topology import Topology


@dataclass(eq=False)
class Stored:
    """A message in a queue."""

    position: int
    queue: str
    body: bytes
    id: str
    kind: str
    headers: dict[str, object]
    count: int = 0
    """How often it was returned."""


class Watcher(Protocol):
    """Sees everything that happens to messages."""

    def stored(self, message: Stored) -> None: ...
    def delivered(self, message: Stored, channel: Channel) -> None: ...
    def acked(self, message: Stored, channel: Channel) -> None: ...
    def returned(self, message: Stored, channel: Channel) -> None: ...
    def unknown_tag(self, channel: Channel) -> None: ...


@dataclass(eq=False)
class Consumer:
    """What one channel consumes of one queue."""

    channel: Channel
    queue: Queue
    priority: int
    number: int
    send: Callable[[int, Stored], None]
    held: int = 0
    """Messages that it has not settled."""
    is_cancelled: bool = False


class Queue:
    """One quorum queue with `x-single-active-consumer`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.returned: list[Stored] = []
        self.waiting: deque[Stored] = deque()
        self.consumers: list[Consumer] = []
        self.active: Consumer | None = None

    def __len__(self) -> int:
        """Return how many messages wait."""
        return len(self.returned) + len(self.waiting)

    def take(self) -> Stored:
        """Remove the message that is delivered next."""
        return self.returned.pop(0) if self.returned else self.waiting.popleft()

    def choose(self) -> Consumer | None:
        """Return the consumer that gets messages now; None while the active one fades."""
        best = max(self.consumers, key=lambda c: (c.priority, -c.number), default=None)
        if self.active is None or (best is not self.active and not self.active.held):
            self.active = best
        return self.active if self.active is best else None

    def deliver(self) -> None:
        """Deliver as many messages as the prefetch allows."""
        consumer = self.choose()
        while consumer and len(self) and consumer.held < consumer.channel.prefetch:
            consumer.channel.hand_out(self.take(), consumer)

    def leave(self, consumer: Consumer) -> None:
        """Forget a consumer; the next one may start."""
        self.consumers.remove(consumer)
        if self.active is consumer:
            self.active = None


class Channel:
    """The broker's side of one channel."""

    def __init__(self, broker: Broker, owner: str, watcher: Watcher) -> None:
        """`owner` is the name of the process."""
        self.owner = owner
        self.prefetch = 0
        self.is_open = True
        self.is_given_up = False
        """Whether the process has asked to close it."""
        self.is_known_closed = False
        """Whether the process has been told that it is closed."""
        self.unacked: dict[int, tuple[Stored, Consumer]] = {}
        self.consumers: dict[str, Consumer] = {}
        self._broker = broker
        self._watcher = watcher
        self._tags = itertools.count(1)

    def consume(self, name: str, priority: int, send: Callable[[int, Stored], None]) -> None:
        queue = self._broker.queues[name]
        consumer = Consumer(self, queue, priority, self._broker.next_number(), send)
        self.consumers[name] = consumer
        queue.consumers.append(consumer)
        queue.deliver()

    def cancel(self, name: str) -> None:
        """basic.cancel: the messages stay with the channel, and the next consumer starts."""
        consumer = self.consumers.pop(name)
        consumer.is_cancelled = True
        consumer.queue.leave(consumer)
        consumer.queue.deliver()

    def hand_out(self, message: Stored, consumer: Consumer) -> None:
        tag = next(self._tags)
        self.unacked[tag] = message, consumer
        consumer.held += 1
        self._watcher.delivered(message, self)
        consumer.send(tag, message)

    def ack(self, tag: int) -> None:
        if not self.is_open:
            return
        if tag not in self.unacked:
            self._watcher.unknown_tag(self)
            return
        message, consumer = self.unacked.pop(tag)
        consumer.held -= 1
        self._watcher.acked(message, self)
        consumer.queue.deliver()

    def nack(self, tag: int) -> None:
        """basic.nack with requeue: the message returns, and its count does not rise."""
        if self.is_open and tag in self.unacked:
            message, consumer = self.unacked.pop(tag)
            consumer.held -= 1
            self._give_back([message])
            consumer.queue.deliver()

    def close(self) -> None:
        """Return every message that is not settled to its queue."""
        if not self.is_open:
            return
        self.is_open = False
        messages = [message for message, _ in self.unacked.values()]
        self.unacked.clear()
        for message in messages:
            message.count += 1
        self._give_back(messages)
        for consumer in self.consumers.values():
            consumer.queue.leave(consumer)
        for queue in dict.fromkeys(self._broker.queues[m.queue] for m in messages):
            queue.deliver()
        for consumer in self.consumers.values():
            consumer.queue.deliver()

    def _give_back(self, messages: list[Stored]) -> None:
        for message in messages:
            queue = self._broker.queues[message.queue]
            queue.returned.append(message)
            queue.returned.sort(key=lambda m: m.position)
            self._watcher.returned(message, self)


@dataclass
class Broker:
    """Exchanges, queues and counters; which connections exist is `network`'s business."""

    topology: Topology
    watcher: Watcher
    queues: dict[str, Queue] = field(default_factory=dict)
    counters: Counter[str] = field(default_factory=Counter)
    """Attempt counters: queues, bound to the private exchange, whose depth is the count."""

    def __post_init__(self) -> None:
        self._bindings: dict[tuple[str, str], str] = {}
        for queue in self.topology.queues():
            self.queues[queue.name] = Queue(queue.name)
            self._bindings[queue.exchange, queue.routing_key] = queue.name
        self._positions = itertools.count()
        self._numbers = itertools.count()

    def next_number(self) -> int:
        return next(self._numbers)

    def publish(
        self, exchange: str, key: str, body: bytes, id: str, kind: str, headers: dict[str, object]
    ) -> bool:
        """Store a message; return whether a queue was bound for it."""
        if exchange == self.topology.private_exchange:
            self.counters[key] += 1
            return True
        name = self._bindings.get((exchange, key))
        if name is None:
            return False
        message = Stored(next(self._positions), name, body, id, kind, headers)
        self.watcher.stored(message)
        self.queues[name].waiting.append(message)
        self.queues[name].deliver()
        return True
