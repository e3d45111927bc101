"""A model of RabbitMQ: quorum queues with a single active consumer, and private ones.

It does what docs/explanation and `tests/integration` found on RabbitMQ 4:

- The active consumer of a queue is the one with the highest priority. If a higher one arrives, the
  active one *fades*: it gets nothing more, and is replaced once it has settled what it holds. It
  fades even if the higher one goes again.
- Messages of a closed channel return in the order of their delivery, before all that were never
  delivered, and behind those that returned earlier. Each one's delivery count rises.
- A consumer holds at most `prefetch` messages of a queue.
- A consumer that is cancelled, instead of its channel being closed, keeps its messages while the
  next consumer starts.
- A message that is requeued likewise goes behind those that returned earlier.
- No consumer becomes active when the one that fades has requeued its last message. It takes a
  consumer that comes or goes.
- Messages of a queue that is deleted are gone, held ones included.
- An exclusive queue ends with the channel that declared it.
- A message that exceeds the TTL of its queue is gone, once no consumer holds it.
- An overflow queue dies with the broker if it is younger than a second, and no other was created
  after it: it never answers again, until it is deleted.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from bridge.broker.topology import Topology
from tests.simulation.loop import Process

UNLIMITED = float("inf")
WRITTEN_AFTER = 1.0
"""Seconds after which the name of a queue is on disk at the latest."""


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
    is_expired: bool = False
    """Whether the TTL of its queue is over."""


class Watcher(Protocol):
    """Sees everything that happens to messages."""

    def stored(self, message: Stored) -> None: ...
    def delivered(self, message: Stored, channel: Channel) -> None: ...
    def arrives(self, process: Process, message: Stored) -> None: ...
    def acked(self, message: Stored, channel: Channel) -> None: ...
    def returned(self, message: Stored, channel: Channel) -> None: ...
    def requeued(self, message: Stored, channel: Channel) -> None: ...
    def deleted(self, message: Stored) -> None: ...
    def unknown_tag(self, channel: Channel) -> None: ...


@dataclass(eq=False)
class Consumer:
    """What one channel consumes of one queue."""

    channel: Channel
    queue: Queue
    priority: int
    number: int
    send: Callable[[int, Stored], None]
    no_ack: bool = False
    held: int = 0
    """Messages that it has not settled."""
    is_fading: bool = False
    """It gets nothing more until it has settled them: one with a higher priority came."""
    is_cancelled: bool = False


class Queue:
    """One quorum queue with `x-single-active-consumer`, or a private one."""

    def __init__(self, name: str, ttl: float | None = None) -> None:
        self.name = name
        self.ttl = ttl
        """Seconds; None: messages do not expire."""
        self.returned: list[Stored] = []
        self.waiting: deque[Stored] = deque()
        self.consumers: list[Consumer] = []
        self.active: Consumer | None = None
        self.is_dead = False
        """It never answers again: the broker was killed before its name was on disk."""

    def __len__(self) -> int:
        """Return how many messages wait."""
        return len(self.returned) + len(self.waiting)

    def take(self) -> Stored:
        """Remove the message that is delivered next."""
        return self.returned.pop(0) if self.returned else self.waiting.popleft()

    def expire(self, message: Stored) -> None:
        message.is_expired = True
        for messages in (self.returned, self.waiting):
            if message in messages:
                messages.remove(message)

    def activate(self) -> None:
        """Activate the consumer with the highest priority, unless another one must fade first."""
        best = max(self.consumers, key=lambda c: (c.priority, -c.number), default=None)
        active = self.active
        if active and best and best.priority > active.priority:
            active.is_fading = True
        if active is None or (active.is_fading and not active.held):
            self.deactivate()
            self.active = best

    def deactivate(self) -> None:
        if self.active:
            self.active.is_fading = False
        self.active = None

    def deliver(self) -> None:
        """Deliver as many messages as the prefetch allows."""
        consumer = self.active
        if self.is_dead or (consumer and consumer.is_fading):
            return
        while consumer and len(self) and consumer.held < (consumer.channel.prefetch or UNLIMITED):
            consumer.channel.hand_out(self.take(), consumer)

    def leave(self, consumer: Consumer) -> None:
        """Forget a consumer; the next one may start."""
        self.consumers.remove(consumer)
        if self.active is consumer:
            self.deactivate()
        self.activate()


class Channel:
    """The broker's side of one channel."""

    def __init__(self, broker: Broker, owner: str, watcher: Watcher, wire: object = None) -> None:
        """`owner` is the name of the process, and `wire` its connection."""
        self.owner = owner
        self.wire = wire
        self.prefetch = 0
        self.is_open = True
        self.is_given_up = False
        """Whether the process has asked to close it."""
        self.is_known_closed = False
        """Whether the process has been told that it is closed."""
        self.unacked: dict[int, tuple[Stored, Consumer | None]] = {}
        self.consumers: dict[str, Consumer] = {}
        self.exclusive: list[str] = []
        """Queues that end with the channel."""
        self._broker = broker
        self._watcher = watcher
        self._tags = itertools.count(1)

    def consume(
        self,
        name: str,
        priority: int,
        send: Callable[[int, Stored], None],
        no_ack: bool = False,
        tag: str = "",
    ) -> None:
        """basic.consume; `tag` is the name of the queue by default."""
        queue = self._broker.queues[name]
        consumer = Consumer(self, queue, priority, self._broker.next_number(), send, no_ack)
        self.consumers[tag or name] = consumer
        queue.consumers.append(consumer)
        queue.activate()
        queue.deliver()

    def cancel(self, tag: str) -> None:
        """basic.cancel: the messages stay with the channel, and the next consumer starts."""
        consumer = self.consumers.pop(tag, None)
        if consumer is None:
            return
        consumer.is_cancelled = True
        consumer.queue.leave(consumer)
        consumer.queue.deliver()

    def hand_out(self, message: Stored, consumer: Consumer) -> None:
        if consumer.no_ack:
            consumer.send(0, message)
            return
        consumer.held += 1
        consumer.send(self._hold(message, consumer), message)

    def _hold(self, message: Stored, consumer: Consumer | None) -> int:
        tag = next(self._tags)
        self.unacked[tag] = message, consumer
        self._watcher.delivered(message, self)
        return tag

    def ack(self, tag: int) -> None:
        if not self.is_open:
            return
        if tag not in self.unacked:
            self._watcher.unknown_tag(self)
            return
        message, consumer = self.unacked.pop(tag)
        self._watcher.acked(message, self)
        if consumer:
            consumer.held -= 1
            consumer.queue.activate()
            consumer.queue.deliver()

    def nack(self, tag: int) -> None:
        """basic.nack with requeue."""
        if not self.is_open:
            return
        if tag not in self.unacked:
            self._watcher.unknown_tag(self)
            return
        message, consumer = self.unacked.pop(tag)
        message.count += 1
        self._watcher.requeued(message, self)
        self._broker.give_back([message])
        if consumer:
            queue = consumer.queue
            consumer.held -= 1
            if consumer.is_fading and not consumer.held:
                queue.deactivate()
            queue.deliver()

    def close(self) -> None:
        """Return every message that is not settled to its queue."""
        if not self.is_open:
            return
        self.is_open = False
        messages = [message for message, _ in self.unacked.values()]
        self.unacked.clear()
        for message in messages:
            message.count += 1
            self._watcher.returned(message, self)
        self._broker.give_back(messages)
        for consumer in self.consumers.values():
            consumer.queue.leave(consumer)
        for consumer in self.consumers.values():
            consumer.queue.deliver()
        for name in self.exclusive:
            self._broker.delete(name)


@dataclass
class Broker:
    """Exchanges and queues; which connections exist is `network`'s business."""

    topology: Topology
    watcher: Watcher
    queues: dict[str, Queue] = field(default_factory=dict)
    after: Callable[[float, Callable[[], None]], None] = lambda seconds, callback: None
    """Calls something in so many seconds."""

    def __post_init__(self) -> None:
        self._bindings: dict[tuple[str, str], list[str]] = {}
        for queue in self.topology.queues():
            self.queues[queue.name] = Queue(queue.name)
            self._bindings[queue.exchange, queue.routing_key] = [queue.name]
        self._positions = itertools.count()
        self._numbers = itertools.count()
        self._unwritten: Queue | None = None
        """The newest overflow queue, if its name is not on disk yet."""

    def next_number(self) -> int:
        return next(self._numbers)

    def declare(self, name: str, ttl: float | None = None) -> Queue:
        """Declare a queue, and bind it to the private exchange, if it does not exist."""
        if name not in self.queues:
            queue = self.queues[name] = Queue(name, ttl)
            if ".overflow." in name:
                self._unwritten = queue
                self.after(WRITTEN_AFTER, partial(self._write, queue))
            self.bind(name, self.topology.private_exchange, name)
        return self.queues[name]

    def bind(self, name: str, exchange: str, key: str) -> None:
        """Bind a queue, unless it was deleted since it was declared."""
        if name not in self.queues:
            return
        bound = self._bindings.setdefault((exchange, key), [])
        if name not in bound:
            bound.append(name)

    def delete(self, name: str) -> None:
        queue = self.queues.pop(name, None)
        if queue is not None:
            for bound in self._bindings.values():
                if name in bound:
                    bound.remove(name)
            for message in (*queue.returned, *queue.waiting):
                self.watcher.deleted(message)

    def _write(self, queue: Queue) -> None:
        if self._unwritten is queue:
            self._unwritten = None

    def crash(self) -> None:
        """Be killed: the newest queue may be dead."""
        queue, self._unwritten = self._unwritten, None
        if queue is not None:
            queue.is_dead = True
            for message in (*queue.returned, *queue.waiting):
                self.watcher.deleted(message)
            queue.returned.clear()
            queue.waiting.clear()

    def answers(self, exchange: str, key: str) -> bool:
        """Return whether no queue that is bound for a message is dead."""
        bound = self._bindings.get((exchange, key), [])
        return not any(self.queues[name].is_dead for name in bound)

    def count(self, counter: str) -> None:
        """Add one to an attempt counter: the depth of a queue is the count."""
        self.declare(counter)
        self.publish(self.topology.private_exchange, counter, b"", "", "", {})

    def give_back(self, messages: list[Stored]) -> None:
        """Put messages back on their queues."""
        for message in messages:
            queue = self.queues.get(message.queue)
            if queue is None:
                self.watcher.deleted(message)
                continue
            if not message.is_expired:
                queue.returned.append(message)

    def publish(
        self, exchange: str, key: str, body: bytes, id: str, kind: str, headers: dict[str, object]
    ) -> bool:
        """Store a message; return whether a queue was bound for it."""
        bound = self._bindings.get((exchange, key), [])
        for name in bound:
            self._store(name, body, id, kind, headers)
        return bool(bound)

    def _store(
        self, name: str, body: bytes, id: str, kind: str, headers: dict[str, object]
    ) -> None:
        message = Stored(next(self._positions), name, body, id, kind, headers)
        self.watcher.stored(message)
        queue = self.queues[name]
        if queue.ttl is not None:
            self.after(queue.ttl, partial(queue.expire, message))
        queue.waiting.append(message)
        queue.deliver()
