"""What a process must not have any more, once all its messages are settled: it would add up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bridge.delivery.dispatcher import Dispatcher
from bridge.processing.admission import FAILING_SHARE, Slots
from bridge.processing.generation import ProcessorGeneration
from bridge.processing.processor import Processor
from bridge.processing.quarantine import FEW
from tests.simulation.plan import Plan


def leftovers(
    processor: Processor[Any], dispatcher: Dispatcher | None, plan: Plan
) -> dict[str, object]:
    """Return what a process that is up still has, by name; {}: nothing.

    What was cancelled while it waited for something must not have kept it. `dispatcher` is that of
    a `deliver` process.
    """
    left = dict(_of_slots(processor.slots, plan))
    quarantine = processor.quarantine
    few = max(1, plan.concurrency // FEW) - quarantine._few._value
    left |= {"slots of suspects": few, "ends of attempts": quarantine._recording}
    if processor.generation is not None:
        left |= dict(_of_generation(processor.generation))
    if dispatcher is not None:
        left |= dict(_of_dispatcher(dispatcher))
    return {name: what for name, what in left.items() if what}


def _of_slots(slots: Slots, plan: Plan) -> Iterator[tuple[str, object]]:
    urgent = plan.urgent if plan.flow == "inbound" else 0
    yield "slots", plan.concurrency - slots._free
    yield "slots for slow attempts", plan.slow - slots._slow_left
    yield "slots for urgent attempts", urgent - slots._urgent_left
    failing = max(1, plan.concurrency // FAILING_SHARE)
    yield "slots for failing lanes", failing - slots._failing_slots._value
    yield "attempts", (slots._running, slots.busy) if slots._running or slots.busy else None
    yield "young attempts", slots._young
    yield "places in the line", slots.line.present or slots.line._by_lane
    yield "the lock of all slots", slots._all.locked() or slots._idle
    if slots._throttle is not None:
        yield "urgent messages", slots._throttle._urgent
        yield "a start that is wanted", slots._throttle._is_wanted


def _of_generation(generation: ProcessorGeneration[Any]) -> Iterator[tuple[str, object]]:
    lanes, partitions = generation._lanes, generation._partitions
    yield "lanes", len(lanes) or lanes._runners
    yield "work beside the lanes", lanes._tasks
    yield "messages", generation._held
    yield "messages for monitors", sum(map(len, generation.holdings._queues.values()))
    yield "attempts that wait", generation.attempts.retrying
    yield "acks", partitions._acks
    for queue, partition in partitions._partitions.items():
        yield (
            f"messages of {queue}",
            (partition.held, partition.others, *partition.waiting) != (0, 0),
        )
        yield f"a lock of {queue}", partition.kept or partition.token or partition.ringing
    overflows, gathering = generation.overflows, generation.gathering
    for queue, window in overflows.windows._partitions.items():
        yield f"a part of the window of {queue}", window.held
    yield "redelivered messages", overflows.arrived
    yield "messages that return", overflows._returning or generation._handover.in_order.locked()
    yield "lanes that are left", overflows.leaving
    yield "messages that may come back", overflows.returns.by_lane
    yield "lanes that overflow", overflows.spilled
    yield "settled anchors", +overflows.indexes._anchors
    yield "queues that are looked at", overflows.takeovers._pauses
    yield "readers", overflows._window._readers if overflows._window else None
    yield "lanes that wait to be quiet", gathering.waiting
    yield "times of arrival", gathering._arrived
    yield "turns", gathering._formed or gathering._running or gathering.ends


def _of_dispatcher(dispatcher: Dispatcher) -> Iterator[tuple[str, object]]:
    breaker, recipients, grants = dispatcher.breaker, dispatcher.recipients, dispatcher._grants
    yield "calls in flight", breaker._evidence.in_flight
    yield "probes", breaker._probes or breaker._earlier
    yield "calls that are held back", breaker._fresh or breaker._failed
    yield "tokens", recipients.reserved
    yield "buckets", [key for key, bucket in recipients._buckets.items() if bucket.reserved]
    yield "lanes that wait for a token", recipients._waiting
    if grants is not None:
        yield "calls that wait for a moment", grants._waiting
        yield "calls without an answer", grants.stall.unanswered
