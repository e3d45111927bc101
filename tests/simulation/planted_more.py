"""Bugs that are planted to see whether a thousand schedules reach rare states, see `planted`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Hashable
from typing import Any

from bridge.broker.confirms import ConfirmChannel
from bridge.delivery import pacer
from bridge.delivery.circuit_breaker import CircuitBreaker
from bridge.delivery.pacer import Pacer
from bridge.errors import BrokerError
from bridge.messages import Delivery, Priority
from bridge.processing.admission import Slots
from bridge.processing.ahead import Ahead
from bridge.processing.budget import RetryBudgets
from bridge.processing.handover import Handover
from bridge.processing.lanes import Lane
from bridge.processing.line import Line, Place
from bridge.processing.partitions import Partitions
from bridge.processing.quarantine import Quarantine
from bridge.processing.spilling import Spilled, Spilling
from bridge.processing.takeover import Takeovers
from bridge.runtime.work import Work
from tests.simulation.ledger import (
    ENDS,
    FAIR,
    FIRST,
    INNOCENT_,
    ONCE,
    ONE_TURN,
    ORDER,
    PACED,
    SETTLED,
)
from tests.simulation.plan import Plan
from tests.simulation.planted import Planted, _is_paced, _is_urgent, _nothing, _overflows
from worker.handler import Turns

_end, _run = Quarantine.end, Turns.run


def _token_is_not_kept(self: Partitions[Any], delivery: Delivery) -> None:
    partition = self._of(delivery)
    if partition.token is None and (partition.waiting or partition.others):
        self._locked(partition)
    self._start(delivery.ack)


async def _ring_once(self: Partitions[Any], partition: Any) -> None:
    with contextlib.suppress(BrokerError):
        await self._ring(partition.queue)
    partition.ringing = None


def _all_that_waits(self: Handover[Any], lane: Lane[Any], queue: str) -> list[Delivery]:
    """Do not wait for the message of the lane that runs."""
    items = lane.waiting()
    is_here = bool(items) and self._partitions.owner(items[0][0]) == queue
    if not is_here or self._overflows.spilling.keeps(lane.key):
        return []
    lane.clear()
    return [delivery for delivery, _ in items]


async def _move_first(self: Spilling[Any], spilled: Spilled[Any]) -> None:
    """Ack each message as soon as its copy is on its way."""
    await asyncio.wait([spilled.opening])
    while spilled.lane.items and spilled.lane.key in self.lanes:
        self._copy(spilled)
        if not spilled.copies:
            return
        spilled.copies.popleft()
        delivery, _ = spilled.lane.items.popleft()
        spilled.waiting += 1
        spilled.moved += 1
        await self._ack(delivery)


async def _count_cut_off(self: Quarantine, work: Work, error: type[BaseException] | None) -> None:
    if error is None or not issubclass(error, asyncio.CancelledError):
        await _end(self, work, error)


async def _lose_slot(self: Slots, lane: Hashable, priority: Priority) -> Any:
    place = self.line.join(lane, priority)
    self._hand_out()
    try:
        return await place.turn
    finally:
        self.line.leave(lane, place)


def _in_order_of_arrival(self: Line) -> Place | None:
    heads = [place for rank in range(3) if (place := self._head(rank))]
    if not heads:
        return None
    first = min(heads, key=lambda place: place.number)
    self._places[first.rank].popleft()
    return first


def _promise_the_past(self: Pacer, calls: int, time: float) -> list[float]:
    moments: list[float] = []
    while not moments or (len(moments) < calls and self._next() <= time + pacer.AHEAD):
        moments.append(max(time, self._next()) - time)
        self._full_at += self._limit.interval
    return moments


async def _forget_failed(self: Turns, message: Any) -> None:
    self._failed = type(self._failed)()
    await _run(self, message)


async def _at_first_sight(self: Ahead[Any], spilled: Spilled[Any]) -> bool:
    """Take an overflow queue for empty when nothing has arrived for a moment."""
    return True


def _has_errors(plan: Plan) -> bool:
    return any(fault.kind == "errors" for fault in plan.faults)


def _has_late_deliveries(plan: Plan) -> bool:
    return plan.frames.stall > 0.02 and plan.flow == "inbound" and _overflows(plan)


def _has_crowd(plan: Plan) -> bool:
    return any(script.conversation == "b0" for script in plan.scripts)


def _has_crowd_and_faults(plan: Plan) -> bool:
    return _has_crowd(plan) and bool(plan.faults)


def _has_suspects(plan: Plan) -> bool:
    return any(script.conversation == "s0" for script in plan.scripts)


def _has_outage(plan: Plan) -> bool:
    return plan.flow == "replies" and any(fault.kind == "outage" for fault in plan.faults)


def _has_alarm(plan: Plan) -> bool:
    return any(fault.kind == "alarm" for fault in plan.faults)


def _fails_alone(plan: Plan) -> bool:
    return plan.fair_within > 0


def _replies_again(plan: Plan) -> bool:
    return any(script.replies and script.kind in ("fails", "hangs") for script in plan.scripts)


BUGS = [
    Planted(
        INNOCENT_,
        "a recipient does not give its probe back",
        CircuitBreaker,
        "left",
        lambda *_: None,
        _has_errors,
    ),
    Planted(
        ONE_TURN,
        "a token is acked at once",
        Partitions,
        "take_token",
        _token_is_not_kept,
        _is_urgent,
    ),
    Planted(
        ORDER,
        "what waits behind a message that runs returns before that",
        Handover,
        "_taken",
        _all_that_waits,
        lambda plan: _is_urgent(plan) and _fails_alone(plan),
    ),
    Planted(
        SETTLED,
        "a message is acked before its copy is confirmed",
        Spilling,
        "_move_all",
        _move_first,
        _overflows,
    ),
    Planted(
        SETTLED,
        "an overflow queue is empty without a mark",
        Ahead,
        "_is_empty",
        _at_first_sight,
        _has_late_deliveries,
    ),
    Planted(
        INNOCENT_,
        "an attempt that was cut off counts",
        Quarantine,
        "end",
        _count_cut_off,
        _has_suspects,
    ),
    Planted(
        INNOCENT_,
        "the circuit breaker never opens",
        CircuitBreaker,
        "_hold_back",
        lambda *_: None,
        _has_outage,
    ),
    Planted(
        ENDS,
        "a slot goes to a turn that was cancelled",
        Slots,
        "_wait",
        _lose_slot,
        _has_crowd_and_faults,
    ),
    Planted(ENDS, "it rings once", Partitions, "_keep_ringing", _ring_once, _is_urgent),
    Planted(ENDS, "an alarm never ends", ConfirmChannel, "unblock", lambda _: None, _has_alarm),
    Planted(ENDS, "nothing stands by", Takeovers, "stand_by", _nothing, _is_urgent),
    Planted(
        FIRST,
        "slots go to those that came first",
        Line,
        "next",
        _in_order_of_arrival,
        _has_crowd,
    ),
    Planted(
        FIRST,
        "an urgent message hurries no lane",
        Slots,
        "hurry",
        lambda *_: None,
        _has_crowd,
    ),
    Planted(
        FAIR,
        "a lane does not pay for itself",
        RetryBudgets,
        "exhaust",
        lambda *_: None,
        _fails_alone,
    ),
    Planted(PACED, "the past is promised", Pacer, "_promised", _promise_the_past, _is_paced),
    Planted(ONCE, "a repeated reply has no mark", Turns, "run", _forget_failed, _replies_again),
]
