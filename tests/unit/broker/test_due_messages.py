"""What workers do with a message whose delay is over: it always ends somewhere else."""

from __future__ import annotations

import time
from typing import Any

import pytest

from bridge.broker.reminders import DueMessages
from bridge.broker.topology import Topology
from bridge.messages import REMINDER, Command, Delivery, commanding
from tests.support.fakes import FakePublisher, Journal, a_delivery, an_inbound

TOPOLOGY = Topology("test")


class Bench:
    """One worker's link, and where it puts messages."""

    def __init__(self) -> None:
        self.journal: Journal = []
        self.publisher = FakePublisher(self.journal)
        self.queues = self.publisher.queues()
        self.link = DueMessages("amqp://localhost/", "w", TOPOLOGY, self.queues)

    async def move(self, delivery: Delivery) -> str:
        """Move a message; return the routing key of the queue where it is now."""
        await self.link._move(delivery)
        (published,) = self.publisher.published
        assert self.journal[-1][0] == "acked"
        return published.routing_key

    def due_in(self, seconds: float) -> Delivery:
        message = commanding(an_inbound(), Command(REMINDER), due_at=time.time() + seconds)
        return a_delivery(message, self.journal)


@pytest.mark.parametrize(("seconds", "key"), [(70.0, "64"), (5.0, "4"), (2 * 86_400.0, "65536")])
async def test_what_is_due_later_waits_again_for_the_longest_delay(
    seconds: float, key: str
) -> None:
    bench = Bench()
    assert await bench.move(bench.due_in(seconds)) == key


async def test_what_is_due_goes_to_its_partition() -> None:
    bench = Bench()
    assert await bench.move(bench.due_in(-1.0)) == TOPOLOGY.inbound_key("ada")


async def test_what_cannot_be_decoded_is_dead_lettered() -> None:
    bench = Bench()
    assert await bench.move(a_delivery(b"no JSON", bench.journal)) == "inbound"


async def test_whatever_else_is_wrong_with_a_message_it_is_settled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: Any) -> Any:
        raise RecursionError

    bench = Bench()
    monkeypatch.setattr("bridge.broker.reminders.decode", broken)
    assert await bench.move(bench.due_in(1.0)) == "inbound"
