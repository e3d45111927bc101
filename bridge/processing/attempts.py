"""Attempts at one message: it runs until it succeeds or must be dead-lettered. No AMQP."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Hashable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Generic

from bridge.errors import BrokerError, DeadlineExceeded, MessageTooLarge
from bridge.messages import Delivery, cause_of
from bridge.processing import lanes
from bridge.processing.outcomes import (
    Drained,
    Ended,
    Failure,
    Interrupted,
    M,
    Superseded,
    Unfinished,
)
from bridge.processing.pause import Paused
from bridge.processing.quarantine import Convicted, NotCurrent
from bridge.processing.verdict import verdict
from bridge.runtime.deadline import deadline
from bridge.runtime.retry import backoff
from bridge.runtime.work import Work, working
from bridge.telemetry import logs, metrics, trace
from bridge.telemetry.logs import described

if TYPE_CHECKING:
    from bridge.processing.gathering import Gathering
    from bridge.processing.processor import Processor

log = logging.getLogger(__name__)

LOOK_EVERY = 0.5
"""Seconds of a pause between two looks whether the message can stay in this process."""
APPEAL = 10.0
"""Seconds until a message that may have killed too many processes is looked at again. If the last
one is alive and has only lost its connection, it takes its attempt back once that has ended."""


class Attempts(Generic[M]):
    """Runs the attempts of one generation; see `Processor` for what they are made of."""

    gathering: Gathering[M]
    """Joins messages whose channel has a policy for its turns; set by the generation."""

    def __init__(self, processor: Processor[M], draining: asyncio.Event) -> None:
        self._processor = processor
        self._draining = draining
        self.retrying = 0
        """Lanes that wait for their next attempt, because the latest one failed."""
        self.failing = ""
        """The cause of the latest failure that is retried: an HTTP status or a class."""
        self.stay: Callable[[Delivery, M], Awaitable[Delivery]] = _stay
        """Called from time to time during a pause, see `overflow.Overflows.stay`."""

    async def run(self, delivery: Delivery, message: M) -> Ended:
        """Handle a message until it succeeds or must not be tried again.

        Raises:
            Drained: draining began, and no attempt has started since.
        """
        processor, slots = self._processor, self._processor.slots
        lane = message.lane()
        failure = Failure()
        if message.turns is not None:
            failure.quiet = await self.gathering.quiet(delivery, message)
        while True:
            if processor.pace is not None and (delay := processor.pace.wait(message)) > 0:
                delivery = await self._keep_pace(delay, delivery, message, failure)
            if self._draining.is_set():
                raise Drained
            if not processor.gate.is_open:
                await self.undrained(processor.gate.passage(lane))
                if not failure.is_first:
                    # The time for which the gate held the message is no part of its age.
                    failure = Failure(is_first=False)
            logs.bind_own("attempt", failure.attempts)
            try:
                await self._attempt(delivery, message, failure)
                if slots.failing or processor.budgets.used:
                    self._succeeded(lane)
                return None, delivery, False
            except Interrupted:
                quiet = await self.gathering.quiet(delivery, message)
                failure = Failure(is_first=failure.is_first, quiet=quiet)
                continue
            except NotCurrent:
                # The broker has redelivered the message; this generation is about to end.
                raise Drained from None
            except Drained:
                raise
            except Superseded:
                return None, delivery, True
            except Paused:
                continue
            except Unfinished:
                self._succeeded(lane)
                failure = Failure(is_first=False)
                continue
            except Convicted as convicted:
                if not delivery.is_current():
                    raise Drained from None  # the process that holds it now dead-letters it
                if not failure.is_convicted and convicted.reason == "poison":
                    failure.is_convicted = True
                    await self.pause(APPEAL)
                    continue
                if processor.pace is not None:
                    processor.pace.left(lane)
                known = failure.known
                failure = Failure(
                    convicted.error, convicted.reason, convicted.attempts, known=known
                )
                return failure, delivery, False
            except MessageTooLarge as error:
                failure.error = error
            except BrokerError as error:
                await self._hold(failure, error)
                continue
            except Exception as error:
                failure.error = error
            if not processor.gate.is_open:
                # The service is down: the attempt does not count, and the gate says when to go on.
                failure = Failure(is_first=False)
                continue
            failure.reason, pause = verdict(processor, failure, lane)
            if failure.reason != "rejected":
                slots.failed(lane)
            failure.log(pause)
            if pause is None:
                return failure, delivery, False
            failure.attempts += 1
            metrics.retries.labels(message.flow, message.channel).inc()
            self.retrying += 1
            self.failing = cause_of(failure.error)
            try:
                delivery = await self._back_off(pause, delivery, message)
            finally:
                self.retrying -= 1

    def _succeeded(self, lane: Hashable) -> None:
        """Note that an attempt at a message of a lane has succeeded, if any has failed before."""
        self._processor.slots.succeeded(lane)
        self._processor.budgets.renew(lane)

    async def pause(self, delay: float) -> None:
        """Wait `delay` seconds, or raise Drained as soon as draining begins."""
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._draining.wait(), delay)
        self.go_on()

    async def _back_off(self, delay: float, delivery: Delivery, message: M) -> Delivery:
        """Wait before the next attempt. Return the delivery to go on with."""
        clock = asyncio.get_running_loop().time
        until = clock() + delay
        with lanes.pausing():
            while True:
                delivery = await self.stay(delivery, message)
                left = until - clock()
                await self.pause(min(left, LOOK_EVERY))
                if left <= LOOK_EVERY:
                    return delivery

    async def _attempt(self, delivery: Delivery, message: M, failure: Failure) -> None:
        """Make one attempt, once a slot is free."""
        processor = self._processor
        work = Work("", message, delivery.is_current)
        lane, priority = message.lane(), message.priority
        is_suspect = delivery.delivery_count and processor.quarantine.suspects(delivery, work.key)
        begun = None if is_suspect else processor.slots.begin(lane, priority)
        if begun is not None:  # nothing was awaited since the gate was open
            try:
                await self._in_slot(delivery, message, failure, work)
            finally:
                begun.end()
            return
        asked_at = time.monotonic()
        async with processor.quarantine.slot(delivery, work, lane, priority):
            self.go_on()
            if processor.gate.is_paused:
                raise Paused
            await self._in_slot(delivery, message, failure, work, asked_at)

    async def _in_slot(
        self, delivery: Delivery, message: M, failure: Failure, work: Work, asked_at: float = 0.0
    ) -> None:
        """Make one attempt in a slot, for which it has waited since `asked_at` (0: not at all)."""
        quarantine = self._processor.quarantine
        lanes.began()
        whole = message
        if message.turns is not None:
            whole = self.gathering.form(delivery, message, work)
        was_started, now = failure.started, time.time()
        if failure.begin(now):
            waited = max(0.0, now - message.at - failure.quiet)
            metrics.queueing.of(message.flow, message.channel).observe(
                waited, trace.exemplar(message)
            )
        in_line = time.monotonic() - asked_at if asked_at and was_started else 0.0
        if not delivery.is_current():
            raise NotCurrent  # an attempt that does not start must not convict its message
        # A suspect is never one of several messages of a turn, see `gathering`.
        if not work.members and delivery.delivery_count and quarantine.suspects(delivery, work.key):
            await quarantine.begin(delivery, work)
        ended_with: type[BaseException] | None = None
        began = trace.begin(whole, failure.attempts)
        try:
            with working(work):
                if message.turns is None and not trace.has_spans():
                    await self._handling(whole, failure, work)
                else:
                    span = trace.attempt(whole, failure.attempts)
                    with span, self.gathering.interruptible(delivery, message, work):
                        await self._handling(whole, failure, work)
            if work.logged:
                self._processor.logged = work.logged, time.time()
        except BaseException as error:
            ended_with = type(error)
            trace.failed(whole, failure.attempts, began, error)
            raise
        finally:
            if work.known:
                failure.known |= work.known
            if work.paced is not None:
                # Those that held the slots waited for the same rate limit.
                failure.started += in_line + work.paced
            if work.counted or work.blocked:  # else there is nothing to note
                await quarantine.end(work, ended_with)

    def _handling(self, message: M, failure: Failure, work: Work) -> Awaitable[None]:
        """Return what handles a message within the time that an attempt has, if it is limited."""
        processor = self._processor
        if processor.timeout is None:
            return processor.handle(message)
        return self._in_time(processor.timeout, message, failure, work)

    async def _in_time(self, timeout: float, message: M, failure: Failure, work: Work) -> None:
        """Handle a message within `timeout` seconds.

        Raises:
            DeadlineExceeded: its time was over; `failure.exceeded` counts it.
        """
        processor = self._processor
        expired, paused = partial(self._expired, failure, work), processor.queues.problem
        try:
            with deadline(timeout, processor.clean_up, paused, expired):
                await processor.handle(message)
        except DeadlineExceeded:
            assert failure.counting is not None
            failure.exceeded = max(failure.exceeded + 1, await failure.counting)
            raise

    def _expired(self, failure: Failure, work: Work) -> None:
        # At once, because an attempt that ignores its cancellation ends the process.
        failure.counting = asyncio.ensure_future(self._processor.quarantine.exceeded(work.key))

    async def _hold(self, failure: Failure, error: BrokerError) -> None:
        """Wait before the attempt is repeated: the broker's trouble is not the message's."""
        failure.held += 1
        delay = backoff(failure.held)
        log.warning("held (%s); next attempt in %.1f s", described(error), delay)
        await self.pause(delay)

    async def _keep_pace(
        self, delay: float, delivery: Delivery, message: M, failure: Failure
    ) -> Delivery:
        """Wait, without a slot, until the pace of the lane lets it try. Return as `_back_off`."""
        pace = self._processor.pace
        while pace is not None and delay > 0:
            delivery = await self._back_off(delay, delivery, message)
            # The wait is no part of the message's age.
            failure.started += delay if failure.started else 0
            delay = pace.wait(message)
        return delivery

    async def undrained(self, what: Awaitable[object]) -> None:
        """Wait for something, or raise Drained as soon as draining begins."""
        waiting = asyncio.ensure_future(what)
        draining = asyncio.ensure_future(self._draining.wait())
        try:
            await asyncio.wait({waiting, draining}, return_when=asyncio.FIRST_COMPLETED)
            self.go_on()
        finally:
            waiting.cancel()
            draining.cancel()

    def go_on(self) -> None:
        """Raise Drained if draining has begun."""
        if self._draining.is_set():
            raise Drained


async def _stay(delivery: Delivery, message: M) -> Delivery:
    return delivery
