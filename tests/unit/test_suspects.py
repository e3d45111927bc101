"""Messages that came back too often: who runs them, and when they are set aside."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bridge.messages import InboundMessage
from bridge.settlement import POISON_AFTER, SUSPECT_AFTER, Processor
from tests.support.fakes import FakePublisher, Journal, a_delivery, an_inbound, quiet


class Bench:
    def __init__(self, *, poison_after: int | None = POISON_AFTER) -> None:
        self.journal: Journal = []
        self.publisher = FakePublisher(self.journal)
        self.handled: list[str] = []
        self.hold = asyncio.Event()
        self.hold.set()
        self.processor: Processor[InboundMessage] = Processor(
            InboundMessage,
            "inbound",
            self._handle,
            lambda message: message.sender_id,
            self.publisher.queues(),
            concurrency=4,
            poison_after=poison_after,
        )

    async def _handle(self, message: InboundMessage) -> None:
        await self.hold.wait()
        self.handled.append(message.id)

    def delivery(self, id: str, count: int = 0, queue: str = "q") -> Any:
        message = an_inbound(id=id, sender_id="u")
        return a_delivery(message, self.journal, queue=queue, delivery_count=count)

    @property
    def acked(self) -> list[Any]:
        return [id for what, id in self.journal if what == "acked"]


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_a_suspect_is_neither_run_nor_settled_among_others_and_its_queue_is_named(
    bench: Bench,
) -> None:
    generation = bench.processor.open()
    generation.admit(bench.delivery("s", SUSPECT_AFTER))
    await quiet()
    assert (bench.handled, bench.acked) == ([], [])
    assert generation.suspects == {"q": SUSPECT_AFTER}


async def test_nothing_overtakes_a_suspect_in_its_queue_and_other_queues_go_on(
    bench: Bench,
) -> None:
    generation = bench.processor.open()
    generation.admit(bench.delivery("before"))
    generation.admit(bench.delivery("s", SUSPECT_AFTER))
    generation.admit(bench.delivery("behind"))
    generation.admit(bench.delivery("elsewhere", queue="other"))
    await quiet()
    assert sorted(bench.handled) == ["before", "elsewhere"]


async def test_a_message_that_came_back_less_often_is_no_suspect(bench: Bench) -> None:
    generation = bench.processor.open()
    generation.admit(bench.delivery("s", SUSPECT_AFTER - 1))
    await quiet()
    assert bench.handled == bench.acked == ["s"]
    assert not generation.suspects


async def test_alone_a_suspect_is_run_and_acked(bench: Bench) -> None:
    generation = bench.processor.open(True)
    generation.admit(bench.delivery("s", POISON_AFTER - 1))
    await quiet()
    assert bench.handled == bench.acked == ["s"]
    assert not bench.publisher.published


async def test_alone_and_past_the_limit_it_is_set_aside_without_another_run(bench: Bench) -> None:
    generation = bench.processor.open(True)
    generation.admit(bench.delivery("s", POISON_AFTER))
    generation.admit(bench.delivery("next"))
    await quiet()
    assert bench.handled == ["next"]
    assert bench.acked == ["s", "next"]
    (letter,) = bench.publisher.published
    assert letter.properties["headers"]["x-bridge-reason"] == "poison"
    assert letter.properties["headers"]["x-bridge-attempts"] == POISON_AFTER


async def test_a_flow_without_a_limit_sets_nothing_aside_for_coming_back() -> None:
    bench = Bench(poison_after=None)
    bench.processor.open(True).admit(bench.delivery("s", 1000))
    await quiet()
    assert bench.handled == ["s"]


async def test_a_generation_is_calm_once_a_suspect_is_done_or_an_innocent_came(
    bench: Bench,
) -> None:
    generation = bench.processor.open(True)
    bench.hold.clear()
    generation.admit(bench.delivery("s", SUSPECT_AFTER))
    await quiet()
    assert not generation.calm
    bench.hold.set()
    await quiet()
    assert generation.calm
    bench.hold.clear()
    generation.admit(bench.delivery("innocent"))
    assert generation.calm
    await generation.cancel()
