"""The one place where a message is settled: handled and acked, or set aside and acked.

| what happened | what is done |
| --- | --- |
| handled | remembered as completed, acked |
| completed before (the same id again) | acked, not handled again |
| undecodable, or rejected for good | dead letter with the raw body, then acked |
| failed | retried in its lane; past the limits dead letter, then acked |
| kills the process that runs it (`suspects.py`) | dead letter, then acked |
| drained or connection lost while running or waiting | not settled: it comes again, in order |

Knows nothing of Rasa, services or aio_pika.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Hashable
from contextlib import suppress
from typing import Generic, TypeVar

import msgspec

from bridge.broker.queues import Queues
from bridge.dead_letters.filter import DeadLetter
from bridge.errors import BrokerError, MessageError, Poison, RejectedDeliveryError
from bridge.messages import Delivery, InboundMessage, Reply, decode
from bridge.messages.recent_ids import RecentIds
from bridge.processing.admission import Slots
from bridge.processing.attempts import Failure
from bridge.processing.gate import Gate, OpenGate
from bridge.processing.lanes import Lanes
from bridge.processing.suspects import Suspects
from bridge.runtime.retry import RetryPolicy, backoff
from bridge.telemetry import logs, metrics
from bridge.telemetry.holdings import Held
from bridge.telemetry.logs import described, frames
from bridge.telemetry.reports import Consuming

log = logging.getLogger(__name__)

M = TypeVar("M", bound=InboundMessage | Reply)


async def _nothing(message: M, error: str | None) -> None:
    return None


class Processor(Generic[M]):
    """How the messages of one flow are worked on; shared by all generations of its consumer."""

    def __init__(
        self,
        kind: type[M],
        flow: str,
        handle: Callable[[M], Awaitable[None]],
        lane_of: Callable[[M], Hashable],
        queues: Queues,
        *,
        concurrency: int,
        policy: RetryPolicy | None = None,
        gate: Gate | None = None,
        finished: Callable[[M, str | None], Awaitable[None]] = _nothing,
        channel: str = "",
    ) -> None:
        """`handle` runs at most `concurrency` messages at a time, one at a time per lane.

        `finished(message, error)` is awaited once the outcome is certain, before the ack: `error`
        is None for a success or a repeated id, else the class of the last error. `channel` is the
        only one whose messages come, if there is one.
        """
        self.kind = kind
        self.flow = flow
        self.channel = channel
        self.handle = handle
        self.lane_of = lane_of
        self.queues = queues
        self.slots = Slots(concurrency)
        self.policy = policy or RetryPolicy()
        self.gate: Gate = gate or OpenGate()
        self.suspects = Suspects(queues)
        self.finished = finished
        self.completed = RecentIds()
        self.generation: ProcessorGeneration[M] | None = None
        """The newest one."""
        metrics.slots.labels(flow, channel).set(concurrency)
        metrics.slots_busy.labels(flow, channel).set_function(lambda: self.slots.busy)

    def open(self) -> ProcessorGeneration[M]:
        """Start a generation: the lanes of one channel."""
        self.generation = ProcessorGeneration(self)
        return self.generation

    def report(self) -> Consuming:
        """Return what is in memory and what runs now."""
        return Consuming(
            self.flow,
            self.channel,
            lanes=self.generation.lanes() if self.generation else 0,
            slots=self.slots.concurrency,
            busy=self.slots.busy,
            paused=not self.gate.is_open,
            held=self.generation.held.queues() if self.generation else {},
        )


class ProcessorGeneration(Generic[M]):
    """The lanes over which one channel's messages run; see `bridge.links.Generation`."""

    def __init__(self, processor: Processor[M]) -> None:
        self._processor = processor
        self._lanes: Lanes[tuple[Delivery, M | MessageError]] = Lanes(self._settle)
        self.held = Held()
        open_lanes = metrics.lanes.labels(processor.flow, processor.channel)
        open_lanes.set_function(self.lanes)
        oldest = metrics.oldest_held.labels(processor.flow, processor.channel)
        oldest.set_function(self.held.oldest_age)

    def lanes(self) -> int:
        """Number of conversations, or recipients, with messages in memory."""
        return len(self._lanes)

    def admit(self, delivery: Delivery) -> None:
        """Decode a delivery and put it on its conversation's lane."""
        if delivery.redelivered:
            metrics.redeliveries.labels(self._processor.flow, self._processor.channel).inc()
        try:
            message = decode(delivery.body, self._processor.kind)
        except MessageError as error:
            self.held.add(delivery, time.time())
            self._lanes.put(("undecodable", delivery.queue), (delivery, error))
            return
        if delivery.redelivered and isinstance(message, Reply):
            message = msgspec.structs.replace(message, redelivered=True)
        self.held.add(delivery, message.at)
        self._lanes.put(self._processor.lane_of(message), (delivery, message))

    async def drain(self, grace: float) -> bool:
        return await self._lanes.drain(grace)

    async def cancel(self) -> None:
        await self._lanes.cancel()

    async def _settle(self, work: tuple[Delivery, M | MessageError]) -> None:
        """Bring one message to its end, unless the generation ends first."""
        delivery, message = work
        ids = delivery.ids if isinstance(message, MessageError) else message.ids
        with suppress(_Drained), logs.bound(**ids, partition=delivery.partition):
            if isinstance(message, MessageError):
                failure = Failure(message, "undecodable")
                await self._set_aside(delivery, self._letter(delivery, None, failure))
                channel, outcome = self._processor.channel, "dead"
            else:
                channel, outcome = message.channel, await self._conclude(delivery, message)
            await delivery.ack()
            self.held.remove(delivery)
            metrics.messages.labels(self._processor.flow, channel, outcome).inc()

    async def _conclude(self, delivery: Delivery, message: M) -> str:
        """Handle a message, or set it aside; return which, as `metrics.messages` calls it.

        `finished` hears of it before the ack.
        """
        processor = self._processor
        key = (message.channel, processor.lane_of(message)), message.id
        if key in processor.completed:
            log.info("completed before: not run again")
            await processor.finished(message, None)
            return "repeated"
        failure = await self._attempts(delivery, message)
        if failure is None:
            processor.completed.add(key)
        else:
            await self._set_aside(delivery, self._letter(delivery, message, failure))
        await processor.finished(message, type(failure.error).__name__ if failure else None)
        return "dead" if failure else "handled"

    async def _attempts(self, delivery: Delivery, message: M) -> Failure | None:
        """Handle a message until it succeeds (None) or may not be tried again.

        Raises:
            _Drained: draining began; no attempt was started since.
        """
        processor = self._processor
        lane = processor.lane_of(message)
        failure = Failure()
        while True:
            await self._gate(lane)
            logs.bind(attempt=failure.attempts)
            try:
                await self._attempt(delivery, message, failure)
                processor.slots.succeeded(lane)
                return None
            except _Drained:
                raise
            except Poison as error:
                return Failure(error, "poison", error.attempts)
            except Exception as error:
                failure.error = error
            if not processor.gate.is_open:
                # The service is down as a whole: no attempt is counted, the gate says when.
                failure = Failure(is_first=False)
                continue
            processor.slots.failed(lane)
            failure.reason, delay = self._verdict(failure)
            self._log(failure, delay)
            if delay is None:
                return failure
            failure.attempts += 1
            metrics.retries.labels(processor.flow, message.channel).inc()
            await self._pause(delay)

    async def _attempt(self, delivery: Delivery, message: M, failure: Failure) -> None:
        processor = self._processor
        lane = processor.lane_of(message)
        key = processor.flow, message.channel, str(lane), message.id
        async with processor.suspects.place(delivery), processor.slots.hold(lane):
            self._go_on()
            if failure.begin():
                waited = metrics.since(message.at)
                metrics.queueing.labels(processor.flow, message.channel).observe(waited)
            async with processor.suspects.attempt(delivery, key):
                await processor.handle(message)

    def _verdict(self, failure: Failure) -> tuple[str, float | None]:
        """Return a reason, and the seconds until the next attempt, or None if there is none."""
        if isinstance(failure.error, (RejectedDeliveryError, MessageError)):
            return "rejected", None
        retry_after: float | None = getattr(failure.error, "retry_after", None)
        age = time.monotonic() - failure.started
        return "failed", self._processor.policy.delay(failure.attempts, age, retry_after)

    def _log(self, failure: Failure, delay: float | None) -> None:
        log.log(
            logging.WARNING if delay is not None else logging.ERROR,
            "attempt failed (%s)%s",
            described(failure.error),
            f"; again in {delay:.1f} s" if delay is not None else frames(failure.error),
        )

    async def _gate(self, lane: Hashable) -> None:
        """Wait until the gate lets an attempt through, or raise _Drained."""
        self._go_on()
        if self._processor.gate.is_open:
            return
        passage = asyncio.ensure_future(self._processor.gate.passage(lane))
        draining = asyncio.ensure_future(self._lanes.draining.wait())
        try:
            await asyncio.wait({passage, draining}, return_when=asyncio.FIRST_COMPLETED)
            self._go_on()
        finally:
            passage.cancel()
            draining.cancel()

    async def _pause(self, delay: float) -> None:
        """Wait `delay` seconds, or raise _Drained as soon as draining begins."""
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._lanes.draining.wait(), delay)
        self._go_on()

    def _go_on(self) -> None:
        if self._lanes.draining.is_set():
            raise _Drained

    async def _set_aside(self, delivery: Delivery, letter: DeadLetter) -> None:
        """Publish a dead letter, for as long as that takes, or raise _Drained."""
        failures = 0
        while True:
            try:
                await self._processor.queues.put_dead(delivery.body, letter, delivery.kind)
                break
            except BrokerError as error:
                failures += 1
                log.warning("dead letter not confirmed yet (%s)", error)
                await self._pause(backoff(failures))
        log.error("set aside: %s (%s)", letter.reason, letter.error.partition(":")[0])

    def _letter(self, delivery: Delivery, message: M | None, failure: Failure) -> DeadLetter:
        return DeadLetter.of(
            message,
            failure.error,
            flow=self._processor.flow,
            reason=failure.reason,
            queue=delivery.queue,
            attempts=failure.attempts if message else 0,
            first_at=failure.first_at or None,
            id=delivery.message_id or "",
        )


class _Drained(Exception):
    """Draining began: the message stays unsettled and comes again."""
