"""Bugs that are planted into the core, to see whether the simulator finds them.

Each is a mistake that someone could make there, small and plausible.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Hashable, Iterator
from typing import Any, NamedTuple
from unittest import mock

from msgspec.structs import force_setattr

from bridge.broker.channels import ConsumerChannel
from bridge.broker.links import Consumer
from bridge.delivery import dispatcher, grants, pacer, recipients
from bridge.delivery.pacer import Pacer, Request
from bridge.delivery.pacing import ChannelPace
from bridge.delivery.recipients import Recipients
from bridge.errors import Poison
from bridge.messages import Delivery, RecentIds
from bridge.processing import generation
from bridge.processing.admission import Slots
from bridge.processing.attempts import Attempts
from bridge.processing.generation import ProcessorGeneration
from bridge.processing.lanes import Lane, Lanes
from bridge.processing.outcomes import Failure
from bridge.processing.overflow import Overflows
from bridge.processing.partitions import _Partition
from bridge.processing.quarantine import Convicted, Quarantine
from tests.simulation.ledger import (
    ENDS,
    INNOCENT_,
    ONCE,
    ONE_TURN,
    ORDER,
    PACED,
    RETURNED,
    SETTLED,
)
from tests.simulation.network import HEARTBEAT
from tests.simulation.plan import Plan
from worker import output_channel


class Planted(NamedTuple):
    """A bug: `where.name` is replaced by `bug`."""

    invariant: str
    what: str
    where: Any
    name: str
    bug: Any
    needs: Callable[[Plan], bool] = lambda _: True
    """Tells whether the bug can show in a schedule; the others need not be run."""

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        with mock.patch.object(self.where, self.name, self.bug):
            yield


_put, _settle, _dead_letter = (
    Lanes.put,
    ProcessorGeneration._settle,
    ProcessorGeneration._dead_letter,
)
_attempt, _in_slot = Attempts._attempt, Attempts._in_slot
_drain, _work_off = Consumer.drain, Overflows.work_off


def _put_anywhere(self: Lanes[Any], key: Hashable, item: Any, rank: int = 0) -> None:
    _put(self, object(), item, rank)


async def _cancel_and_go(self: Lanes[Any], clean_up: float = 0.0) -> None:
    self.draining.set()
    for task in self._running():
        task.cancel()


def _newest_first(self: Lane[Any]) -> Any:
    self.rank = min(rank for rank, items in self._waiting.items() if items)
    self.since, self.head = None, self.items.pop()
    return self.head


async def _lane_stays(self: Lanes[Any], lane: Lane[Any]) -> None:
    while lane and not self.draining.is_set():
        await self._run(lane.next())


async def _basic_cancel(self: Consumer, grace: float) -> bool:
    generation: Any = self._generation
    for held, _ in generation._held.values() if generation else ():
        channel: Any = held.is_current.__self__
        for queue in list(channel._channel.consumers):
            server = channel._channel._server
            if server.is_open and queue in server.consumers:
                server.cancel(queue)
    return await _drain(self, grace)


async def _ack_first(self: ProcessorGeneration[Any], work: tuple[Delivery, Any]) -> None:
    await work[0].ack()
    await _settle(self, work)


async def _dead_letter_later(self: ProcessorGeneration[Any], *args: Any) -> None:
    self.later = asyncio.ensure_future(_dead_letter(self, *args))  # type: ignore[attr-defined]


async def _once(publish: Any, what: str, failed: Any = None, **_: Any) -> None:
    if failed is not None:
        return
    with contextlib.suppress(Exception):
        await publish()


async def _nothing(self: Any, *_: Any) -> None:
    return None


async def _count_convicts(
    self: Attempts[Any], delivery: Delivery, message: Any, failure: Failure
) -> None:
    if delivery.delivery_count >= 3:
        raise Convicted("poison", Poison(3), 3)
    await _attempt(self, delivery, message, failure)


@contextlib.asynccontextmanager
async def _with_others(self: Slots) -> AsyncIterator[None]:
    async with self.hold("suspect"):
        yield


async def _keep_slot(self: Attempts[Any], *what: Any) -> None:
    try:
        await _in_slot(self, *what)
    except asyncio.CancelledError:
        self._processor.slots._free -= 1
        raise


async def _anchor_first(self: Overflows[Any], anchor: Delivery, message: Any) -> bool:
    if message.lane() in self.spilled:
        ack = anchor.ack
        force_setattr(anchor, "ack", lambda: _nothing(anchor))
        await ack()
    return await _work_off(self, anchor, message)


async def _not_settled(self: Overflows[Any], delivery: Delivery, message: Any) -> bool:
    return False


def _ask_itself(self: ChannelPace, number: int, calls: int, alarm: int, lease: float) -> None:
    self._answer = lambda queue, grant: self.grants.granted(grant)  # type: ignore[method-assign]
    self._pacer._answer = self._answer
    request = Request(number=number, calls=calls, answers="", after_alarm=alarm > 0)
    self._pacer.asked(request, lambda: None)


def _is_paced(plan: Plan) -> bool:
    return plan.pace is not None


def _freezes(plan: Plan) -> bool:
    return _is_paced(plan) and any(fault.kind == "freeze" for fault in plan.faults)


def _has_no_room(plan: Plan) -> bool:
    # A reserve of a larger burst, or of a slower rate, hides a call that is a moment too early.
    # After an alarm, one call for each process is allowed.
    has_alarm = any(fault.kind == "alarm" for fault in plan.faults)
    pace = plan.pace
    return not has_alarm and pace is not None and pace.total.burst == 1 and pace.total.rate >= 20


def _hands_over(plan: Plan) -> bool:
    # Of a larger burst two thirds are held in reserve, which hides one call too many.
    handed_over = any(fault.kind == "handover" for fault in plan.faults)
    return handed_over and plan.pace is not None and plan.pace.total.burst == 1


def _is_urgent(plan: Plan) -> bool:
    return plan.workers > 1 and len({script.priority for script in plan.scripts}) > 1


def _cleans_up_slowly(plan: Plan) -> bool:
    lost = any(fault.kind in ("cut", "channel", "silence") for fault in plan.faults)
    return lost and plan.workers == 1 and any(script.clean_up for script in plan.scripts)


def _drains(plan: Plan) -> bool:
    return plan.workers > 1 and any(fault.kind == "stop" for fault in plan.faults)


def _overflows(plan: Plan) -> bool:
    return plan.prefetch <= 4 and len(plan.scripts) > 6 and bool(plan.faults)


def _has_long_pause(plan: Plan) -> bool:
    return any(f.kind == "freeze" and f.seconds > 2.5 * HEARTBEAT for f in plan.faults)


def _dead_letters_may_be_lost(plan: Plan) -> bool:
    lossy = plan.frames.refused + plan.frames.lost_publish > 0.05
    return lossy and any(script.kind == "rejects" for script in plan.scripts)


def _kills_beside_others(plan: Plan) -> bool:
    deadly = any(script.kind == "kills" and script.times > 3 for script in plan.scripts)
    return deadly and plan.concurrency > 1 and plan.prefetch > 2


BUGS = [
    Planted(ONE_TURN, "each message has its own lane", Lanes, "put", _put_anywhere),
    Planted(
        ONE_TURN,
        "cancelled turns are not awaited",
        Lanes,
        "cancel",
        _cancel_and_go,
        _cleans_up_slowly,
    ),
    Planted(ORDER, "a lane runs its newest message first", Lane, "next", _newest_first),
    Planted(ONE_TURN, "the lock is ignored", _Partition, "is_locked", True, _is_urgent),
    Planted(
        ORDER,
        "an anchor is acked before its overflow",
        Overflows,
        "work_off",
        _anchor_first,
        _overflows,
    ),
    Planted(
        ORDER,
        "no overflow is looked for after a takeover",
        Overflows,
        "was_settled",
        _not_settled,
        _overflows,
    ),
    Planted(ONE_TURN, "a drain cancels its consumers", Consumer, "drain", _basic_cancel, _drains),
    Planted(
        SETTLED, "a message is acked before it runs", ProcessorGeneration, "_settle", _ack_first
    ),
    Planted(
        SETTLED,
        "a message is acked before its dead letter is confirmed",
        ProcessorGeneration,
        "_dead_letter",
        _dead_letter_later,
    ),
    Planted(
        SETTLED,
        "a dead letter is published once",
        generation,
        "until_confirmed",
        _once,
        _dead_letters_may_be_lost,
    ),
    Planted(SETTLED, "a reply is published once", output_channel, "until_confirmed", _once),
    Planted(
        RETURNED,
        "deliveries of a lost channel are worked on",
        ConsumerChannel,
        "is_current",
        lambda _: True,
        _has_long_pause,
    ),
    Planted(
        RETURNED, "a channel closes before its turns end", ProcessorGeneration, "cancel", _nothing
    ),
    Planted(INNOCENT_, "the delivery count convicts", Attempts, "_attempt", _count_convicts),
    Planted(
        INNOCENT_,
        "suspects never run alone",
        Slots,
        "hold_all",
        _with_others,
        _kills_beside_others,
    ),
    Planted(
        INNOCENT_,
        "the end of an attempt is not recorded",
        Quarantine,
        "_ended",
        _nothing,
        _kills_beside_others,
    ),
    Planted(ENDS, "a cancelled turn keeps its slot", Attempts, "_in_slot", _keep_slot),
    Planted(ENDS, "an empty lane stays", Lanes, "_run_lane", _lane_stays),
    Planted(PACED, "each process is its own pacer", ChannelPace, "_ask", _ask_itself, _is_paced),
    Planted(PACED, "a new pacer has a full bucket", Pacer, "_empty", lambda *_: None, _hands_over),
    Planted(PACED, "a late moment is still used", grants, "late", lambda _: 30.0, _freezes),
    Planted(PACED, "nothing is held in reserve", pacer, "used", lambda limit: limit, _has_no_room),
    Planted(PACED, "a call spends no token", Recipients, "called", Recipients.left, _is_paced),
    Planted(
        PACED,
        "a takeover starts with a full burst",
        recipients,
        "_first_burst",
        lambda limit: limit.burst,
        _is_paced,
    ),
    Planted(ONCE, "completed ids are forgotten", RecentIds, "add", lambda *_: None),
    Planted(ONCE, "a repeated call has no mark", dispatcher, "as_redelivered", lambda part: part),
]
