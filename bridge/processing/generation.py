"""The one place where a message is settled: handled and acked, or dead-lettered and acked.

| what happened | what is done |
| --- | --- |
| handled, alone or in the turn of an earlier message | id remembered as completed, acked |
| superseded by a newer message (`turns: latest`) | acked, not handled |
| completed before (the same id again) | acked, not handled again |
| undecodable, or rejected for good | dead-lettered with the raw body, then acked |
| failed | retried in its lane; past the limits dead-lettered, then acked |
| not finished in time, three times | dead-lettered, then acked |
| it kills or blocks the process that runs it (`quarantine.py`) | dead-lettered, then acked |
| the broker does not accept what it sends | held: repeated, and the attempt does not count |
| drained, or connection lost, before it ended | not settled: redelivered in order |
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Generic

from bridge.broker.overflow import Window
from bridge.broker.queues import LOCK, until_confirmed
from bridge.errors import MessageError
from bridge.messages import HIGH, Delivery, as_redelivered, decode
from bridge.messages.keys import message_key
from bridge.processing import lanes, outcomes
from bridge.processing.ahead import is_dead
from bridge.processing.attempts import Attempts
from bridge.processing.gathering import Gathering
from bridge.processing.handover import Handover
from bridge.processing.lanes import Lanes
from bridge.processing.outcomes import Drained, Failure, M
from bridge.processing.overflow import Overflows
from bridge.processing.partitions import Call, Partitions
from bridge.processing.spilling import identity
from bridge.processing.windows import Item
from bridge.telemetry import logs, metrics, trace
from bridge.telemetry.holdings import Holdings

if TYPE_CHECKING:
    from bridge.processing.processor import Processor

log = logging.getLogger(__name__)

AFTER_DRAIN = 5.0
"""Seconds at most that cancelled work has to end after it was drained."""


class ProcessorGeneration(Generic[M]):
    """The lanes on which the messages of one AMQP channel run; see `links.Generation`."""

    def __init__(self, processor: Processor[M], window: Window | None = None) -> None:
        self._processor = processor
        self._lanes: Lanes[Item[M]] = Lanes(self._settle)
        self._handover: Handover[M] = Handover(processor.slots, self._lanes, self)
        self._partitions: Partitions[Item[M]] = Partitions(
            processor.owners,
            self._put_on_lane,
            processor.queues.put_lock,
            processor.queues.ask_for,
            self._handover.leave,
        )
        self.attempts = Attempts(processor, self._lanes.draining)
        self.overflows = Overflows(processor, self._lanes, self.attempts, window, self)
        self._handover.connect(self._partitions, self.overflows)
        self.gathering = Gathering(processor, self._lanes, self.overflows)
        self.attempts.gathering = self.overflows.ahead.gathering = self.gathering
        self.overflows.windows.hurry = self.gathering.hurry
        self._held: dict[int, tuple[Delivery, M]] = {}  # every decoded one that is not settled
        self._drained = False
        self.holdings = Holdings()
        labels = processor.kind.flow, processor.channel
        metrics.lanes.labels(*labels).set_function(self.lanes)
        metrics.oldest_held.labels(*labels).set_function(self.holdings.oldest_age)

    def lanes(self) -> int:
        """Return the number of conversations, or recipients, with messages in memory."""
        return len(self._lanes)

    def admit(self, delivery: Delivery) -> None:
        """Decode a delivery and put it on its lane, once it may run. Never raises."""
        if delivery.kind == LOCK:
            self._partitions.take_token(delivery)
            return
        self.overflows.windows.enter(delivery)
        self.enter((delivery, self.take(delivery)))

    def enter(self, item: Item[M]) -> None:
        """Put a message on its lane once it may run, or return it behind others that were."""
        delivery, message = item
        overflows = self.overflows
        if (overflows.leaving or overflows.returned) and not isinstance(message, MessageError):
            lane, returns = message.lane(), overflows.returns
            if overflows.defer(item, lane):
                return
            is_back = returns.is_back(delivery, lane, identity(delivery, message))
            if not is_back and returns.is_overtaking(delivery, lane):
                log.info("returned: one of its lane was returned before")
                self._handover.leave([item])
                return
        self._partitions.admit(delivery, item)

    def _put_on_lane(self, work: Item[M]) -> None:
        delivery, message = work
        if isinstance(message, MessageError):
            self._lanes.put(("undecodable", delivery.queue), work)
            return
        self.overflows.put(delivery, message)
        if message.turns is not None or self.gathering.waiting:
            self.gathering.arrived(delivery, message)
        if message.priority == HIGH:
            self._processor.slots.hurry(message.lane(), HIGH)

    async def drain(self, grace: float) -> bool:
        """Start no further attempt, wait up to `grace` seconds; return whether all ended."""
        self._drained = True
        self._lanes.draining.set()
        self.gathering.wake_all()
        ended = await self._lanes.drain(grace)
        if ended:
            await self._partitions.release()
        return ended

    async def cancel(self) -> None:
        """Cancel what runs and wait for its end: afterwards nothing acts on these messages.

        Drained work has had its time already. Work that does not end ends the process.
        """
        clean_up = self._processor.clean_up
        self.overflows.windows.close()
        self._partitions.close()
        try:
            await self._lanes.cancel(min(clean_up, AFTER_DRAIN) if self._drained else clean_up)
        finally:
            for delivery, message in self._held.values():
                if message.priority == HIGH:
                    self._processor.slots.urgent(-1)
                self._processor.quarantine.returned(delivery, message_key(message))

    def take(self, delivery: Delivery) -> M | MessageError:
        """Decode a delivery, and note that it is in flight. Never raises."""
        processor = self._processor
        if delivery.redelivered:
            metrics.redeliveries.labels(processor.kind.flow, processor.channel).inc()
        try:
            if delivery.malformed:
                raise MessageError(delivery.malformed)
            message = decode(delivery.body, processor.kind)
            if delivery.redelivered:
                message = as_redelivered(message)
        except Exception as error:
            # Whatever it is: a delivery that is not admitted would never be settled.
            self.holdings.add(delivery, time.time())
            return error if isinstance(error, MessageError) else MessageError(logs.described(error))
        self.holdings.add(delivery, message.at)
        self._held[id(delivery)] = delivery, message
        if message.priority == HIGH:
            processor.slots.urgent(1)
        return message

    def ack(self, delivery: Delivery, then: Call | None = None) -> Awaitable[None]:
        """Note that a delivery is settled, or was moved. Return what acks it, as soon as it is not
        needed as a lock; the caller awaits that at once."""
        self._release(delivery)
        return delivery.ack() if delivery.overflowed else self._partitions.settle(delivery, then)

    async def requeue(self, delivery: Delivery) -> None:
        """Return a delivery to its queue, as soon as it is not needed as a lock.

        Raises:
            Drained: draining began before that.
        """
        await self.attempts.undrained(self._partitions.give_up(delivery))
        self.note_return(delivery)
        async with self._handover.in_order:
            await delivery.requeue()

    def hand_over(self, queue: str) -> None:
        """Return what did not start yet of a partition: another process waits for it."""
        self._handover.hand_over(queue)

    def note_return(self, delivery: Delivery) -> None:
        """Note that a message is about to return to its queue."""
        message = self._release(delivery)
        if message is not None:
            self._processor.quarantine.returned(delivery, message_key(message))
            if not delivery.overflowed:
                key = identity(delivery, message)
                self.overflows.returns.note(delivery.queue, message.lane(), key)

    def _release(self, delivery: Delivery) -> M | None:
        """Note that a delivery is not in flight any more; return the message, if there is one."""
        self.holdings.remove(delivery)
        if delivery.redelivered:
            self.overflows.arrived.pop(id(delivery), None)
        if not delivery.overflowed:
            self.overflows.windows.leave(delivery)
        _, message = self._held.pop(id(delivery), (None, None))
        if message is not None:
            if message.turns is not None:
                self.gathering.forget(delivery)
            if message.priority == HIGH:
                self._processor.slots.urgent(-1)
        return message

    async def _settle(self, work: Item[M]) -> None:
        """Bring one message to its end, unless the generation ends first."""
        delivery, message = work
        overflows = self.overflows
        try:
            with self._bound(delivery, message):
                if isinstance(message, MessageError):
                    await self._conclude(delivery, message)
                else:
                    is_back = delivery.redelivered
                    if not (is_back and await overflows.was_settled(delivery, message)):
                        _, delivery = await self._conclude(delivery, message)
                    is_spilled = overflows.spilled and message.lane() in overflows.spilled
                    if is_spilled and await overflows.work_off(delivery, message):
                        return
                lanes.ended()
                if overflows.indexes.unneeded:
                    await overflows.indexes.close(delivery)
                await self.ack(delivery)
        except Drained:
            pass

    async def settle_overflowed(self, item: Item[M], dead: set[str]) -> None:
        """Settle a message of an overflow queue; `dead` are the identities of dead letters."""
        delivery, message = item
        with self._bound(delivery, message):
            if isinstance(message, MessageError) or not is_dead(delivery, message, dead):
                outcome, delivery = await self._conclude(delivery, message)
                if outcome == "dead" and not isinstance(message, MessageError):
                    dead.add(message.identity)
            await self.ack(delivery)

    def _bound(self, delivery: Delivery, message: M | MessageError) -> AbstractContextManager[None]:
        ids = delivery.ids if isinstance(message, MessageError) else message.ids
        ids["partition"] = delivery.partition
        return logs.bound(ids)

    async def _conclude(
        self, delivery: Delivery, message: M | MessageError
    ) -> tuple[str, Delivery]:
        """Handle or dead-letter a message, and tell `finished`; return the outcome, and what must
        be acked now."""
        processor = self._processor
        count = metrics.messages.of
        if isinstance(message, MessageError):
            await self._dead_letter(delivery, None, Failure(message, "undecodable"))
            count(processor.kind.flow, processor.channel, "dead").inc()
            return "dead", delivery
        key = (message.channel, message.lane()), message.identity
        outcome, failure, turn = "handled", None, ""
        if self.gathering.ends and (ended := self.gathering.ended(message)):
            log.info("its turn, that of a later message, has ended")
            failure, turn = ended.failure, ended.group
        elif key in processor.completed:
            log.info("completed before: not run again")
            outcome = "repeated"
        else:
            try:
                failure, delivery, is_superseded = await self.attempts.run(delivery, message)
            except Drained:
                self.gathering.give_up(message)
                raise
            if is_superseded:
                log.info("superseded by a newer message: not run")
                outcome = "superseded"
            elif message.turns is not None:
                failure, turn = self.gathering.end(message, failure)
        if failure is None:
            processor.completed.add(key)
        else:
            outcome = "dead"
            await self._dead_letter(delivery, message, failure, turn)
        if processor.finished is not None and outcome != "superseded":
            await processor.finished(message, type(failure.error).__name__ if failure else None)
        trace.settled(message, outcome)
        count(processor.kind.flow, message.channel, outcome).inc()
        return outcome, delivery

    async def _dead_letter(
        self, delivery: Delivery, message: M | None, failure: Failure, turn: str = ""
    ) -> None:
        """Publish a dead letter until the broker confirms it, or raise Drained."""
        letter = outcomes.dead_letter(self._processor.kind.flow, delivery, message, failure, turn)
        await until_confirmed(
            lambda: self._processor.queues.put_dead(delivery.body, letter, delivery.kind),
            "dead letter",
            pause=self.attempts.pause,
        )
        lanes.gave_up()
        trace.dead(message, letter)
        log.error("dead-lettered: %s (%s)", letter.reason, letter.error_class)
