"""The one place where a message is settled: handled and acked, or dead-lettered and acked.

| what happened | what is done |
| --- | --- |
| handled | id remembered as completed, acked |
| completed before (the same id again) | acked, not handled again |
| undecodable, or rejected for good | dead-lettered with the raw body, then acked |
| failed | retried in its lane; past the limits dead-lettered, then acked |
| not finished in time, three times | dead-lettered, then acked |
| it kills or blocks the process that runs it (`quarantine.py`) | dead-lettered, then acked |
| the broker does not accept what it sends | held: repeated, and the attempt does not count |
| drained, or connection lost, before it ended | not settled: redelivered in order |

Knows nothing of Rasa, services or aio_pika.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Generic

from bridge.broker.queues import Queues, until_confirmed
from bridge.errors import MessageError
from bridge.messages import DeadLetter, Delivery, RecentIds, as_redelivered, decode
from bridge.processing.admission import Gate, OpenGate, Pace, Slots, Unpaced
from bridge.processing.attempts import Attempts, Drained, Failure, M, message_key
from bridge.processing.lanes import Lanes
from bridge.processing.quarantine import Quarantine
from bridge.runtime.deadline import CLEAN_UP
from bridge.runtime.retry import RetryPolicy
from bridge.telemetry import logs, metrics
from bridge.telemetry.holdings import Holdings
from bridge.telemetry.reports import Consuming

log = logging.getLogger(__name__)

AFTER_DRAIN = 5.0
"""Seconds at most that cancelled work has to end after it was drained."""


async def _nothing(message: M, error: str | None) -> None:
    return None


class Processor(Generic[M]):
    """How the messages of one flow are processed; shared by all generations of its consumer."""

    def __init__(
        self,
        kind: type[M],
        handle: Callable[[M], Awaitable[None]],
        queues: Queues,
        *,
        concurrency: int,
        slow: int = 0,
        timeout: float | None = None,
        clean_up: float = CLEAN_UP,
        policy: RetryPolicy | None = None,
        gate: Gate | None = None,
        pace: Pace[M] | None = None,
        finished: Callable[[M, str | None], Awaitable[None]] = _nothing,
        channel: str = "",
    ) -> None:
        """`handle` runs for at most `concurrency` messages at once, and one at a time per lane.

        Beyond them, `slow` may run that have taken longer than `SLOW_AFTER` (`admission.Slots`).

        One attempt may take `timeout` seconds (None: any), and cancelled work has `clean_up`
        seconds to end, or the process ends (`runtime.deadline`).

        `finished(message, error)` is awaited once the outcome is certain, before the ack. `error`
        is None after a success or for a repeated id, else the class name of the last error.
        `channel` is given if all messages belong to one channel.
        """
        self.kind = kind
        self.channel = channel
        self.handle = handle
        self.queues = queues
        self.slots = Slots(concurrency, slow)
        self.timeout = timeout
        self.clean_up = clean_up
        self.policy = policy or RetryPolicy()
        self.gate: Gate = gate or OpenGate()
        self.pace: Pace[M] = pace or Unpaced()
        self.quarantine = Quarantine(queues, self.slots)
        self.finished = finished
        self.completed = RecentIds()
        self.generation: ProcessorGeneration[M] | None = None
        """The newest one."""
        metrics.slots.labels(kind.flow, channel).set(concurrency)
        metrics.slots_busy.labels(kind.flow, channel).set_function(lambda: self.slots.busy)

    def open(self) -> ProcessorGeneration[M]:
        """Start a generation: the lanes of one AMQP channel."""
        self.pace.opened()
        self.generation = ProcessorGeneration(self)
        return self.generation

    def report(self) -> Consuming:
        """Return what is in memory and what is running."""
        return Consuming(
            self.kind.flow,
            self.channel,
            lanes=self.generation.lanes() if self.generation else 0,
            slots=self.slots.concurrency,
            busy=self.slots.busy,
            paused=not self.gate.is_open,
            held=self.generation.holdings.queues() if self.generation else {},
        )


class ProcessorGeneration(Generic[M]):
    """The lanes on which the messages of one AMQP channel run; see `links.Generation`."""

    def __init__(self, processor: Processor[M]) -> None:
        self._processor = processor
        self._lanes: Lanes[tuple[Delivery, M | MessageError]] = Lanes(self._settle)
        self._attempts = Attempts(processor, self._lanes.draining)
        self._held: dict[int, tuple[Delivery, str]] = {}
        """Every decoded message that is not settled, with its key."""
        self._drained = False
        self.holdings = Holdings()
        open_lanes = metrics.lanes.labels(processor.kind.flow, processor.channel)
        open_lanes.set_function(self.lanes)
        oldest = metrics.oldest_held.labels(processor.kind.flow, processor.channel)
        oldest.set_function(self.holdings.oldest_age)

    def lanes(self) -> int:
        """Return the number of conversations, or recipients, with messages in memory."""
        return len(self._lanes)

    def admit(self, delivery: Delivery) -> None:
        """Decode a delivery and put it on the lane of its conversation."""
        processor = self._processor
        if delivery.redelivered:
            metrics.redeliveries.labels(processor.kind.flow, processor.channel).inc()
        try:
            message = decode(delivery.body, processor.kind)
        except MessageError as error:
            self.holdings.add(delivery, time.time())
            self._lanes.put(("undecodable", delivery.queue), (delivery, error))
            return
        if delivery.redelivered:
            message = as_redelivered(message)
        self.holdings.add(delivery, message.at)
        self._held[id(delivery)] = delivery, message_key(message)
        self._lanes.put(message.lane(), (delivery, message))

    async def drain(self, grace: float) -> bool:
        """Start no further attempt, wait up to `grace` seconds; return whether all ended."""
        self._drained = True
        return await self._lanes.drain(grace)

    async def cancel(self) -> None:
        """Cancel what runs and wait for its end: afterwards nothing acts on these messages.

        Drained work has had its time already. Work that does not end ends the process.
        """
        clean_up = self._processor.clean_up
        try:
            await self._lanes.cancel(min(clean_up, AFTER_DRAIN) if self._drained else clean_up)
        finally:
            for delivery, key in self._held.values():
                self._processor.quarantine.returned(delivery, key)

    async def _settle(self, work: tuple[Delivery, M | MessageError]) -> None:
        """Bring one message to its end, unless the generation ends first."""
        delivery, message = work
        ids = delivery.ids if isinstance(message, MessageError) else message.ids
        with suppress(Drained), logs.bound(**ids, partition=delivery.partition):
            if isinstance(message, MessageError):
                failure = Failure(message, "undecodable")
                await self._dead_letter(delivery, None, failure)
                channel, outcome = self._processor.channel, "dead"
            else:
                channel, outcome = message.channel, await self._conclude(delivery, message)
            await delivery.ack()
            self.holdings.remove(delivery)
            self._held.pop(id(delivery), None)
            metrics.messages.labels(self._processor.kind.flow, channel, outcome).inc()

    async def _conclude(self, delivery: Delivery, message: M) -> str:
        """Handle or dead-letter a message, tell `finished`; return the outcome for the metrics."""
        processor = self._processor
        key = (message.channel, message.lane()), message.identity
        if key in processor.completed:
            log.info("completed before: not run again")
            await processor.finished(message, None)
            return "repeated"
        failure = await self._attempts.run(delivery, message)
        if failure is None:
            processor.completed.add(key)
        else:
            await self._dead_letter(delivery, message, failure)
        await processor.finished(message, type(failure.error).__name__ if failure else None)
        return "dead" if failure else "handled"

    async def _dead_letter(self, delivery: Delivery, message: M | None, failure: Failure) -> None:
        """Publish a dead letter until the broker confirms it, or raise Drained."""
        letter = DeadLetter.of(
            message,
            failure.error,
            flow=self._processor.kind.flow,
            reason=failure.reason,
            queue=delivery.queue,
            attempts=failure.attempts if message else 0,
            first_at=failure.first_at or None,
            id=delivery.message_id or "",
        )
        await until_confirmed(
            lambda: self._processor.queues.put_dead(delivery.body, letter, delivery.kind),
            "dead letter",
            pause=self._attempts.pause,
        )
        log.error("dead-lettered: %s (%s)", letter.reason, letter.error_class)
