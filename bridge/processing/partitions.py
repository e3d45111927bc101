"""Which process may run the messages of a partition that has several queues. No AMQP.

Each inbound partition has one queue per priority, so that urgent messages never stand behind the
prefetched others. RabbitMQ chooses the active consumer of each queue separately: during a takeover,
two processes may be active on the queues of one partition. The lock decides.

- The lock of a partition is any unacked message of its normal queue. RabbitMQ activates another
  consumer there only once the old one has settled everything, so one process at most has the lock.
- A message of the normal queue is the lock itself. One of another queue runs only while its process
  has the lock. So two processes never run one conversation at a time.
- In a quiet partition there is nothing to hold. Then the process *rings*: it publishes a token to
  the normal queue, and holds it unacked when it arrives. It holds it a moment longer than needed,
  so a steady flow of urgent messages rings rarely. A token that is not needed is acked.
- The lock must last as long as what it protects. While messages of another queue run, the last
  message of the normal queue stays unacked until a token has replaced it.

A takeover need not wait until the old process has worked off what it had prefetched: the new one
asks for the partition, and gets what did not start yet (`handover.py`).

New messages do not hold up a takeover. It is pending on all queues of the partition, because the
consumer priorities are the same on all: none of them delivers to the old process any more. What
arrived before, and finds the lock taken, returns to its queue, and so goes to the new process; see
`returns.py`. If the old one is still preferred there, it comes back, in order (`takeover.py`).
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Generic, TypeVar

from bridge.errors import BrokerError
from bridge.messages import Delivery
from bridge.telemetry.logs import described

log = logging.getLogger(__name__)

W = TypeVar("W")
Call = Callable[[], Awaitable[None]]

LEASE = 0.5
"""Seconds for which a token is held after the last message that needed it."""
ASK_AFTER = 0.05
"""Seconds without a lock after which a process asks the one that holds the partition for it."""
RING_AGAIN = 1.0
"""Seconds without a lock after which a process rings again; doubled each time."""
RING_AT_LEAST = 30.0
"""The longest such pause in seconds."""


class _Partition(Generic[W]):
    """The state of one partition in this process."""

    def __init__(self, queue: str) -> None:
        self.queue = queue
        """The normal queue."""
        self.held = 0
        """Unsettled messages of the normal queue."""
        self.others = 0
        """Unsettled messages of its other queues that may run."""
        self.waiting: deque[W] = deque()
        """Messages of its other queues that wait for the lock."""
        self.kept: Call | None = None
        """The ack of a settled message of the normal queue that is kept as the lock."""
        self.token: Delivery | None = None
        """A token that is held as the lock."""
        self.changed: asyncio.Event | None = None
        """Set whenever the lock may be needed no more, if something has waited for that."""
        self.lease: asyncio.TimerHandle | None = None
        self.ringing: asyncio.Task[None] | None = None

    @property
    def is_locked(self) -> bool:
        return bool(self.held or self.token or self.kept)

    def note_change(self) -> None:
        if self.changed is not None:
            self.changed.set()


class Partitions(Generic[W]):
    """Passes on the work of each queue when it may run. One per generation."""

    def __init__(
        self,
        owners: Mapping[str, str],
        run: Callable[[W], None],
        ring: Callable[[str], Awaitable[None]],
        ask: Callable[[str], Awaitable[None]],
        leave: Callable[[list[W]], None],
    ) -> None:
        """`owners` maps each further queue of a partition to its normal queue.

        `run` receives the work that may run now, and `leave` what another process must run: it
        returns that to its queue, in order. `ring` publishes a token to a normal queue, and `ask`
        asks the process that holds a partition for it.
        """
        self._owners = owners
        self._run = run
        self._ring = ring
        self._ask = ask
        self._leave = leave
        self._partitions: dict[str, _Partition[W]] = {}
        """Those of which a message has arrived, by their normal queue,"""
        self._by_queue: dict[str, _Partition[W]] = {}
        """and by each of their queues."""
        self._acks: set[asyncio.Future[None]] = set()

    def admit(self, delivery: Delivery, work: W) -> None:
        """Pass on the work of a delivery now, or as soon as its partition is locked."""
        if not self._owners:
            self._run(work)
            return
        queue = delivery.queue
        partition = self._by_queue.get(queue) or self._of(delivery)
        if queue == partition.queue:
            partition.held += 1
            if (partition.ringing or partition.changed) is not None:
                self._locked(partition)
            self._run(work)
        elif partition.is_locked:
            partition.others += 1
            self._run(work)
        else:
            partition.waiting.append(work)
            self._start_ringing(partition)

    def owner(self, delivery: Delivery) -> str:
        """Return the normal queue of a delivery's partition."""
        return self._owners.get(delivery.queue, delivery.queue)

    def queues(self, owner: str) -> list[str]:
        """Return the queues of the partition with this normal queue."""
        return [owner, *(queue for queue, normal in self._owners.items() if normal == owner)]

    def may_run(self, delivery: Delivery) -> bool:
        """Whether messages of a delivery's queue may run in this process now."""
        partition = self._of(delivery)
        return delivery.queue == partition.queue or partition.is_locked

    def take_token(self, delivery: Delivery) -> None:
        """Hold a token if it is needed as the lock, else ack it."""
        partition = self._of(delivery)
        if partition.token is None and (partition.waiting or partition.others):
            partition.token = delivery
            self._locked(partition)
        else:
            self._start(delivery.ack)

    def settle(self, delivery: Delivery, then: Call | None = None) -> Awaitable[None]:
        """Note that a delivery is done. Return what acks it, once it is not needed as the lock, and
        then awaits `then`, unless the delivery returns; the caller awaits that at once."""
        if self._owners and self._is_kept(delivery, then):
            return _nothing()
        return delivery.ack() if then is None else _ack(delivery, then)

    def _is_kept(self, delivery: Delivery, then: Call | None) -> bool:
        """Note that a delivery is done; return whether it is kept as the lock for now."""
        partition = self._by_queue[delivery.queue]
        if delivery.queue != partition.queue:
            partition.others -= 1
            self._unlock_if_idle(partition)
            partition.note_change()
            return False
        partition.held -= 1
        if partition.changed is not None:
            partition.changed.set()
        if not partition.others or partition.is_locked:
            return False
        partition.kept = partial(_ack, delivery, then)
        self._start_ringing(partition)
        return True

    async def give_up(self, delivery: Delivery) -> None:
        """Return once a delivery may return to its queue, because it is not needed as the lock."""
        if not self._owners:
            return
        partition = self._of(delivery)
        if delivery.queue != partition.queue:
            partition.others -= 1
            self._unlock_if_idle(partition, at_once=True)  # the next process needs the lock
            partition.note_change()
            return
        while partition.others and partition.held == 1 and not (partition.token or partition.kept):
            if partition.changed is None:
                partition.changed = asyncio.Event()
            partition.changed.clear()
            await partition.changed.wait()
        partition.held -= 1
        partition.note_change()

    async def release(self) -> None:
        """Ack everything that is held as a lock: nothing runs any more."""
        for partition in self._partitions.values():
            self._stop_ringing(partition)
            self._unlock(partition)
        if self._acks:
            await asyncio.wait(self._acks)

    def close(self) -> None:
        """Stop ringing. What is held returns to its queue."""
        for partition in self._partitions.values():
            self._stop_ringing(partition)
            if partition.lease:
                partition.lease.cancel()

    def _of(self, delivery: Delivery) -> _Partition[W]:
        partition = self._by_queue.get(delivery.queue)
        if partition is None:
            owner = self.owner(delivery)
            partition = self._partitions.setdefault(owner, _Partition(owner))
            self._by_queue[delivery.queue] = partition
        return partition

    def _locked(self, partition: _Partition[W]) -> None:
        """Pass on what waits for the lock; ack a message that was kept as the lock till now."""
        if partition.kept is not None:
            self._start(partition.kept)
            partition.kept = None
        self._stop_ringing(partition)
        partition.note_change()
        while partition.waiting:
            partition.others += 1
            self._run(partition.waiting.popleft())

    def _unlock_if_idle(self, partition: _Partition[W], *, at_once: bool = False) -> None:
        if partition.others:
            return
        if partition.kept is not None:
            self._stop_ringing(partition)
            self._unlock(partition)
        elif partition.token is not None:
            if partition.lease:
                partition.lease.cancel()
            loop = asyncio.get_running_loop()
            partition.lease = loop.call_later(0.0 if at_once else LEASE, self._end_lease, partition)

    def _end_lease(self, partition: _Partition[W]) -> None:
        if not partition.others:
            self._unlock(partition)

    def _unlock(self, partition: _Partition[W]) -> None:
        if partition.kept is not None:
            self._start(partition.kept)
        if partition.token is not None:
            self._start(partition.token.ack)
        partition.kept = partition.token = None
        if partition.lease:
            partition.lease.cancel()
            partition.lease = None

    def _start(self, ack: Call) -> None:
        task = asyncio.ensure_future(ack())
        self._acks.add(task)
        task.add_done_callback(self._acks.discard)

    def _start_ringing(self, partition: _Partition[W]) -> None:
        if partition.ringing is None:
            partition.ringing = asyncio.ensure_future(self._keep_ringing(partition))

    def _stop_ringing(self, partition: _Partition[W]) -> None:
        if partition.ringing is not None:
            partition.ringing.cancel()
            partition.ringing = None

    async def _keep_ringing(self, partition: _Partition[W]) -> None:
        pause = RING_AGAIN
        while partition.waiting or partition.kept:
            is_confirmed = False
            try:
                await self._ring(partition.queue)
                is_confirmed = True
                await asyncio.sleep(ASK_AFTER)
                if partition.waiting:
                    await self._ask(partition.queue)
            except BrokerError as error:
                log.warning("a token, or a request, is not confirmed (%s)", described(error))
            await asyncio.sleep(pause)
            pause = min(2 * pause, RING_AT_LEAST)
            if is_confirmed and partition.waiting:
                # The token went to another process, which then waits for these messages.
                log.info("%s has moved: %d returned", partition.queue, len(partition.waiting))
                left, partition.waiting = list(partition.waiting), deque()
                self._leave(left)
        partition.ringing = None


async def _ack(delivery: Delivery, then: Call | None) -> None:
    """Ack a delivery, then await `then`, unless the ack came too late: the message returns."""
    await delivery.ack()
    if then is not None and delivery.is_current():
        await then()


async def _nothing() -> None: ...
