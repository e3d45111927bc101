"""Messages that were redelivered too often: how they run, and when they are dead-lettered."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bridge.errors import BrokerUnavailable
from bridge.messages import InboundMessage
from bridge.processing.processor import Processor
from bridge.processing.quarantine import POISON_AFTER, QUARANTINE_AFTER
from bridge.runtime.retry import RetryPolicy
from tests.support.fakes import FakePublisher, Journal, a_delivery, an_inbound, quiet


class Bench:
    """A worker's flow on a broker that keeps its counters when the worker dies."""

    def __init__(self) -> None:
        self.journal: Journal = []
        self.publisher = FakePublisher(self.journal)
        self.errors: list[Exception] = []
        """The errors that the next attempts raise."""
        self.begun: list[str] = []
        self.hold = asyncio.Event()
        self.hold.set()
        self.start()

    def start(self) -> None:
        """Start the worker with an empty memory."""
        self.processor = Processor(
            InboundMessage,
            self._handle,
            self.publisher.queues(),
            concurrency=16,
            policy=RetryPolicy(base=0.0, cap=0.0),
        )
        self.generation = self.processor.open()

    async def crash(self) -> None:
        """Kill the worker: the messages that it holds have no further effect."""
        down, self.publisher.down = self.publisher.down, BrokerUnavailable("killed")
        await self.generation.cancel()
        self.publisher.down = down
        self.start()

    async def _handle(self, message: InboundMessage) -> None:
        self.begun.append(message.id)
        if self.errors:
            raise self.errors.pop(0)
        await self.hold.wait()

    def admit(self, id: str, count: int = QUARANTINE_AFTER, sender: str = "") -> None:
        message = an_inbound(id=id, sender_id=sender or id)
        self.generation.admit(a_delivery(message, self.journal, delivery_count=count))

    @property
    def acked(self) -> list[Any]:
        return [id for what, id in self.journal if what == "acked"]


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_quarantined_messages_run_one_at_a_time_beside_all_others(bench: Bench) -> None:
    bench.hold.clear()
    for n in range(3):
        bench.admit(f"suspect-{n}")
        bench.admit(f"other-{n}", QUARANTINE_AFTER - 1)
    await quiet()
    assert sorted(bench.begun) == ["other-0", "other-1", "other-2", "suspect-0"]
    bench.hold.set()
    await quiet()
    assert len(bench.acked) == 6
    assert not bench.publisher.published


async def test_a_message_that_keeps_killing_its_worker_is_dead_lettered_and_its_neighbours_are_not(
    bench: Bench,
) -> None:
    bench.hold.clear()
    for crash in range(POISON_AFTER):
        bench.admit("killer", QUARANTINE_AFTER + crash)
        bench.admit("neighbour", QUARANTINE_AFTER + crash)
        await quiet()
        await bench.crash()
    assert bench.begun == ["killer"] * POISON_AFTER
    bench.hold.set()
    bench.admit("killer", 50)
    bench.admit("neighbour", 50)
    await quiet()
    assert bench.begun == ["killer"] * POISON_AFTER + ["neighbour"]
    assert bench.acked == ["killer", "neighbour"]
    (letter,) = bench.publisher.published
    headers = letter.properties["headers"]
    assert headers["x-bridge-reason"] == "poison"
    assert headers["x-bridge-id"] == "killer"
    assert headers["x-bridge-attempts"] == POISON_AFTER


async def test_the_next_message_of_a_killers_conversation_runs(bench: Bench) -> None:
    bench.hold.clear()
    for _ in range(POISON_AFTER):
        bench.admit("killer", sender="anna")
        bench.admit("behind", sender="anna")
        await quiet()
        await bench.crash()
    bench.hold.set()
    bench.admit("killer", sender="anna")
    bench.admit("behind", sender="anna")
    await quiet()
    assert bench.begun[-1] == "behind"
    assert bench.acked == ["killer", "behind"]


async def test_a_failed_attempt_never_counts_as_a_crash(bench: Bench) -> None:
    bench.errors = [RuntimeError()] * (POISON_AFTER + 2)
    bench.admit("fails")
    await quiet()
    assert bench.begun == ["fails"] * (POISON_AFTER + 3)
    assert bench.acked == ["fails"]
    assert not bench.publisher.counters


async def test_a_lost_connection_does_not_count_as_a_crash_while_the_other_one_is_up(
    bench: Bench,
) -> None:
    bench.hold.clear()
    for _ in range(POISON_AFTER + 2):
        bench.admit("slow")
        await quiet()
        await bench.generation.cancel()
        bench.start()
    bench.hold.set()
    bench.admit("slow")
    await quiet()
    assert bench.acked == ["slow"]
    assert not bench.publisher.published


async def test_a_quarantined_message_runs_even_if_its_attempt_cannot_be_counted(
    bench: Bench,
) -> None:
    bench.publisher.down = BrokerUnavailable("no connection")
    bench.admit("s")
    await quiet()
    assert bench.begun == bench.acked == ["s"]


async def test_while_draining_a_waiting_quarantined_message_is_neither_counted_nor_run(
    bench: Bench,
) -> None:
    bench.hold.clear()
    bench.admit("one")
    bench.admit("other")
    await quiet()
    draining = asyncio.create_task(bench.generation.drain(60))
    await quiet()
    bench.hold.set()
    assert await draining
    assert bench.begun == bench.acked == ["one"]
    assert not bench.publisher.counters


async def test_an_attempt_whose_end_was_not_recorded_does_not_count_as_a_crash_in_the_same_process(
    bench: Bench,
) -> None:
    bench.hold.clear()
    for _ in range(POISON_AFTER + 1):
        bench.admit("s")
        await quiet()
        bench.publisher.down = BrokerUnavailable("both connections are lost")
        await bench.generation.cancel()
        bench.publisher.down = None
        bench.generation = bench.processor.open()
    bench.hold.set()
    bench.admit("s")
    await quiet()
    assert bench.acked == ["s"]
    assert not bench.publisher.published
    assert not bench.publisher.counters
