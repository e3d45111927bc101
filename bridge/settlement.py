"""The one place where a message is settled: handled and acked, or set aside and acked.

| what happened | what is done |
| --- | --- |
| handled | remembered as completed, acked |
| completed before (the same id again) | acked, not handled again |
| undecodable, or rejected for good | dead letter with the raw body, then acked |
| failed | retried in its lane; past the limits dead letter, then acked |
| drained or connection lost while running or waiting | not settled: it comes again, in order |

Knows nothing of Rasa, services or aio_pika.
"""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, Protocol, TypeVar

import msgspec

from bridge.amqp import Delivery
from bridge.errors import BridgeError, BrokerError, MessageError, RejectedDeliveryError
from bridge.lanes import Lanes
from bridge.messages import InboundMessage, Reply, decode
from bridge.queues import DeadLetter, Queues
from bridge.retry import RetryPolicy, backoff

log = logging.getLogger(__name__)

M = TypeVar("M", bound=InboundMessage | Reply)


class RecentIds:
    """Remembers the last `size` ids that were added, each within its conversation.

    Ids of two providers, or of two careless clients, may be alike.
    """

    def __init__(self, size: int = 50_000) -> None:
        self._size = size
        self._ids: OrderedDict[tuple[Hashable, str], None] = OrderedDict()

    def __contains__(self, key: tuple[Hashable, str]) -> bool:
        return key in self._ids

    def add(self, key: tuple[Hashable, str]) -> None:
        self._ids[key] = None
        if len(self._ids) > self._size:
            self._ids.popitem(last=False)


class Gate(Protocol):
    """Holds back attempts while a service is down as a whole."""

    @property
    def is_open(self) -> bool: ...

    async def passage(self) -> None:
        """Return when an attempt may be made."""


class OpenGate:
    is_open = True

    async def passage(self) -> None:
        return None


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
    ) -> None:
        """`handle` runs at most `concurrency` messages at a time, one at a time per lane.

        `finished(message, error)` is awaited once the outcome is certain, before the ack: `error`
        is None for a success or a repeated id, else the class of the last error.
        """
        self.kind = kind
        self.flow = flow
        self.handle = handle
        self.lane_of = lane_of
        self.queues = queues
        self.slots = asyncio.Semaphore(concurrency)
        self.policy = policy or RetryPolicy()
        self.gate: Gate = gate or OpenGate()
        self.finished = finished
        self.completed = RecentIds()

    def open(self) -> ProcessorGeneration[M]:
        """Start a generation: the lanes of one connection."""
        return ProcessorGeneration(self)


class ProcessorGeneration(Generic[M]):
    """The lanes over which one connection's messages run."""

    def __init__(self, processor: Processor[M]) -> None:
        self._processor = processor
        self._lanes: Lanes[tuple[Delivery, M | MessageError]] = Lanes(self._settle)

    def admit(self, delivery: Delivery) -> None:
        """Decode a delivery and put it on its conversation's lane."""
        processor = self._processor
        try:
            message = decode(delivery.body, processor.kind)
        except MessageError as error:
            self._lanes.put(("undecodable", delivery.queue), (delivery, error))
            return
        if delivery.redelivered and isinstance(message, Reply):
            message = msgspec.structs.replace(message, redelivered=True)
        self._lanes.put(processor.lane_of(message), (delivery, message))

    async def drain(self, grace: float) -> bool:
        return await self._lanes.drain(grace)

    async def cancel(self) -> None:
        await self._lanes.cancel()

    async def _settle(self, work: tuple[Delivery, M | MessageError]) -> None:
        """Bring one message to its end, unless the generation ends first."""
        delivery, message = work
        now = time.time()
        if isinstance(message, MessageError):
            letter = self._letter(delivery, None, message, 0, now)
            if await self._set_aside(delivery, letter):
                await delivery.ack()
            return
        key = (message.channel, self._processor.lane_of(message)), message.id
        if key in self._processor.completed:
            log.info("%s %s was completed before: not run again", self._processor.flow, message.id)
            await self._processor.finished(message, None)
            await delivery.ack()
            return
        outcome = await self._attempts(message)
        if outcome is None:
            return
        error, attempts = outcome
        if error is None:
            self._processor.completed.add(key)
        elif not await self._set_aside(
            delivery, self._letter(delivery, message, error, attempts, now)
        ):
            return
        await self._processor.finished(message, type(error).__name__ if error else None)
        await delivery.ack()

    async def _attempts(self, message: M) -> tuple[Exception | None, int] | None:
        """Handle a message until it succeeds or may not be retried.

        Return (None, attempts) or (the last error, attempts), or None when draining began: no
        attempt is started then, and the message is left unsettled.
        """
        processor = self._processor
        started = time.monotonic()
        attempt = 1
        while True:
            if not await self._may_start():
                return None
            async with processor.slots:
                if self._lanes.draining.is_set():
                    return None
                try:
                    await processor.handle(message)
                    return None, attempt
                except Exception as caught:
                    error = caught
            if not processor.gate.is_open:
                # The service is down as a whole: no attempt is counted, the gate says when.
                attempt, started = 1, time.monotonic()
                continue
            delay = self._delay(error, attempt, time.monotonic() - started)
            log.log(
                logging.WARNING if delay is not None else logging.ERROR,
                "%s %s channel=%s attempt=%d failed (%s)%s",
                processor.flow,
                message.id,
                message.channel,
                attempt,
                _describe(error),
                f"; again in {delay:.1f} s" if delay is not None else _frames(error),
            )
            if delay is None:
                return error, attempt
            attempt += 1
            if await self._pause(delay):
                return None

    def _delay(self, error: Exception, attempt: int, age: float) -> float | None:
        if isinstance(error, (RejectedDeliveryError, MessageError)):
            return None
        retry_after: float | None = getattr(error, "retry_after", None)
        return self._processor.policy.delay(attempt, age, retry_after)

    async def _may_start(self) -> bool:
        """Wait for the gate; return False when draining began first."""
        if self._processor.gate.is_open:
            return not self._lanes.draining.is_set()
        passage = asyncio.ensure_future(self._processor.gate.passage())
        draining = asyncio.ensure_future(self._lanes.draining.wait())
        try:
            await asyncio.wait({passage, draining}, return_when=asyncio.FIRST_COMPLETED)
            return not self._lanes.draining.is_set()
        finally:
            passage.cancel()
            draining.cancel()

    async def _pause(self, delay: float) -> bool:
        """Wait `delay` seconds; return True, at once, when draining begins."""
        try:
            await asyncio.wait_for(self._lanes.draining.wait(), delay)
            return True
        except asyncio.TimeoutError:
            return False

    async def _set_aside(self, delivery: Delivery, letter: DeadLetter) -> bool:
        """Publish a dead letter, for as long as it takes; return False when draining began."""
        failures = 0
        while True:
            try:
                await self._processor.queues.put_dead(delivery.body, letter, delivery.kind)
            except BrokerError as error:
                failures += 1
                log.warning("dead letter %s not confirmed yet (%s)", letter.id, error)
                if await self._pause(backoff(failures)):
                    return False
                continue
            log.error(
                "%s %s channel=%s set aside: %s (%s)",
                letter.flow,
                letter.id,
                letter.channel,
                letter.reason,
                letter.error.split(":")[0],
            )
            return True

    def _letter(
        self, delivery: Delivery, message: M | None, error: Exception, attempts: int, first: float
    ) -> DeadLetter:
        if message is None:
            reason = "undecodable"
        elif isinstance(error, (RejectedDeliveryError, MessageError)):
            reason = "rejected"
        else:
            reason = "failed"
        conversation = ""
        if message is not None:
            conversation = message.recipient_id if isinstance(message, Reply) else message.sender_id
        return DeadLetter(
            flow=self._processor.flow,
            reason=reason,
            error=f"{type(error).__name__}: {error}",
            attempts=attempts,
            first_at=first,
            last_at=time.time(),
            queue=delivery.queue,
            id=message.id if message else delivery.message_id or "",
            channel=message.channel if message else "",
            conversation=conversation,
        )


def _describe(error: Exception) -> str:
    """Class and, for our own errors, text: a foreign error's text may quote a message's."""
    if isinstance(error, BridgeError):
        return f"{type(error).__name__}: {error}"
    return type(error).__name__


def _frames(error: Exception) -> str:
    """Where a foreign error was raised, without its text, for the log of a last attempt."""
    if isinstance(error, BridgeError):
        return ""
    return "\n" + "".join(traceback.format_tb(error.__traceback__)).rstrip()
