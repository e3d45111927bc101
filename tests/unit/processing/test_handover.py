"""What returns to its queue when another process asks for a partition, and in which order."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bridge.errors import RetryableDeliveryError
from bridge.messages import HIGH, NORMAL, Delivery, InboundMessage, Priority, TurnPolicy
from bridge.processing.generation import ProcessorGeneration
from bridge.processing.processor import Processor
from bridge.processing.takeover import REQUEUED_AT_MOST
from bridge.runtime.retry import RetryPolicy
from tests.support.fakes import FakePublisher, Journal, a_delivery, an_inbound, quiet
from tests.support.waiting import eventually

QUEUE, URGENT, OTHER = "bridge.inbound.07", "bridge.inbound.high.07", "bridge.inbound.08"


class Bench:
    """A generation with one slot; each turn lasts until its message is let go."""

    def __init__(self, pause: float = 1000.0) -> None:
        """`pause`: seconds after a failure."""
        self.journal: Journal = []
        self.open: dict[str, asyncio.Event] = {}
        self.fails: set[str] = set()
        publisher = FakePublisher(self.journal)
        self.processor: Processor[Any] = Processor(
            InboundMessage,
            self._handle,
            publisher.queues(),
            concurrency=1,
            policy=RetryPolicy(base=pause, cap=pause),
            owners={URGENT: QUEUE},
        )
        self.generation: ProcessorGeneration[Any] = self.processor.open()

    async def _handle(self, message: InboundMessage) -> None:
        self.journal.append(("runs", message.id))
        await self.open.setdefault(message.id, asyncio.Event()).wait()
        if message.id in self.fails:
            raise RetryableDeliveryError("not now")

    async def arrive(
        self, *ids: str, queue: str = QUEUE, turns: TurnPolicy | None = None, **changes: Any
    ) -> None:
        """Deliver messages; the conversation is the first letter of the id."""
        priority: Priority = HIGH if queue == URGENT else NORMAL
        for id in ids:
            message = an_inbound(id, sender_id=id[0], priority=priority, turns=turns)

            async def requeue(id: str = id) -> None:
                self.journal.append(("returned", id))

            delivery = a_delivery(message, self.journal, queue=queue, requeue=requeue, **changes)
            self.generation.admit(delivery)
        await quiet()

    async def hand_over(self) -> None:
        self.generation.hand_over(QUEUE)
        await quiet()

    async def end(self, id: str) -> None:
        self.open[id].set()
        await quiet()

    def ids(self, what: str) -> list[str]:
        return [id for happened, id in self.journal if happened == what]


@pytest.fixture
async def bench() -> Bench:
    return Bench()


async def test_what_waits_for_a_slot_returns_in_order(bench: Bench) -> None:
    await bench.arrive("a0", "b0", "b1", "c0", "b2")
    await bench.hand_over()
    assert bench.ids("returned") == ["b0", "b1", "b2", "c0"]
    await bench.end("a0")
    assert bench.ids("runs") == bench.ids("acked") == ["a0"]
    assert bench.processor.slots.busy == 0
    assert bench.generation.lanes() == 0


async def test_what_waits_behind_a_turn_returns_after_its_end(bench: Bench) -> None:
    """A message that returns later than younger ones of its conversation would run after them."""
    await bench.arrive("a0", "a1", "a2")
    await bench.hand_over()
    assert not bench.ids("returned")
    await bench.end("a0")
    assert bench.ids("runs") == ["a0"]
    assert bench.journal[1:] == [("acked", "a0"), ("returned", "a1"), ("returned", "a2")]


async def test_a_message_that_comes_back_runs(bench: Bench) -> None:
    await bench.arrive("a0", "b0")
    await bench.hand_over()
    await bench.end("a0")
    await bench.arrive("b0", delivery_count=1, redelivered=True)
    assert bench.ids("runs") == ["a0", "b0"]
    await bench.end("b0")
    assert bench.ids("acked") == ["a0", "b0"]


async def test_a_message_that_came_back_during_its_pause_returns_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench(pause=0.0)
    is_awaited = iter([True])

    async def waits(delivery: Delivery) -> bool:
        return next(is_awaited, False)

    monkeypatch.setattr(bench.generation.overflows.takeovers, "waits", waits)
    bench.fails = {"b0"}
    await bench.arrive("b0", "a0")
    await bench.end("b0")
    assert bench.ids("returned") == ["b0"]
    await bench.arrive("b0", delivery_count=1, redelivered=True)
    await eventually(lambda: bool(bench.processor.slots.line))
    await bench.hand_over()
    assert bench.ids("returned") == ["b0", "b0"]
    assert bench.ids("runs") == ["b0", "a0"]


async def test_what_arrives_behind_returned_messages_returns_behind_them(bench: Bench) -> None:
    await bench.arrive("a0", "b0")
    bench.generation.hand_over(QUEUE)
    await bench.arrive("b1", "b2")
    assert bench.ids("returned") == ["b0", "b1", "b2"]


async def test_all_queues_of_the_partition_return_and_no_other(bench: Bench) -> None:
    await bench.arrive("a0", "b0")
    await bench.arrive("b1", queue=URGENT)
    await bench.arrive("x0", queue=OTHER)
    await bench.hand_over()
    assert sorted(bench.ids("returned")) == ["b0", "b1"]
    await bench.end("a0")
    assert bench.ids("runs") == ["a0", "x0"]


async def test_the_last_normal_message_returns_after_urgent_turns(bench: Bench) -> None:
    """It is the lock of the partition: without it, another process could run the conversation."""
    await bench.arrive("b0")
    await bench.end("b0")
    bench.generation = bench.processor.open()
    await bench.arrive("x0", queue=OTHER)
    await bench.arrive("b1")
    await bench.arrive("a0", queue=URGENT)
    await bench.end("x0")
    assert bench.ids("runs") == ["b0", "x0", "a0"]
    await bench.hand_over()
    assert not bench.ids("returned")
    await bench.end("a0")
    assert bench.ids("returned") == ["b1"]


async def test_a_turn_of_several_messages_is_not_split(bench: Bench) -> None:
    turns = TurnPolicy("collect", quiet=0.0)
    await bench.arrive("x0")
    await bench.arrive("a0", "a1", turns=turns)
    await bench.end("x0")
    assert bench.ids("runs") == ["x0", "a1"], "with the id of its last message"
    await bench.hand_over()
    await bench.end("a1")
    assert bench.ids("acked") == ["x0", "a0", "a1"]
    assert not bench.ids("returned")


async def test_a_message_that_was_returned_too_often_stays(bench: Bench) -> None:
    await bench.arrive("a0")
    await bench.arrive("b0", delivery_count=REQUEUED_AT_MOST, redelivered=True)
    await bench.hand_over()
    assert not bench.ids("returned")


async def test_draining_does_not_wait_for_the_lock(bench: Bench) -> None:
    await bench.arrive("x0", queue=OTHER)
    await bench.arrive("b1")
    await bench.arrive("a0", queue=URGENT)
    await bench.end("x0")
    await bench.hand_over()
    drained = asyncio.ensure_future(bench.generation.drain(1000.0))
    await quiet()
    await bench.end("a0")
    assert drained.done()
