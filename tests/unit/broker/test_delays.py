"""How long a message waits before it is due, and what moves it."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from hypothesis import given, strategies as st

from bridge.broker.delays import DELAYS, delay_key
from bridge.broker.reminders import DueMessages
from bridge.broker.topology import Topology
from bridge.messages import REMINDER, Command, Delivery, commanding, decode
from bridge.messages.wire import InboundMessage
from tests.support.fakes import FakePublisher, Journal, a_delivery, an_inbound, quiet

TOPOLOGY = Topology(channels=["callback"])


def due(at: float, id: str = "r1") -> InboundMessage:
    return commanding(an_inbound(id), Command(REMINDER), due_at=at)


@given(st.floats(-1e12, 1e12))
def test_no_delay_ends_after_the_message_is_due(seconds: float) -> None:
    delay = float(delay_key(seconds))
    assert delay in DELAYS
    assert delay <= max(seconds, DELAYS[0])
    assert not [other for other in DELAYS if delay < other <= seconds], "it is the longest one"


def test_a_reminder_of_a_month_is_moved_fifty_times_at_most() -> None:
    left, moves = 30 * 24 * 3600.0, 0
    while left >= DELAYS[0]:
        left -= float(delay_key(left))
        moves += 1
    assert moves < 60


def test_each_delay_has_a_queue_that_passes_on_to_one_queue_with_several_readers() -> None:
    first, *delays = TOPOLOGY.reminder_queues()
    assert first.name == "bridge.reminders.due"
    assert "x-single-active-consumer" not in first.arguments
    assert first.arguments["x-dead-letter-routing-key"] == "inbound"
    for queue, delay in zip(delays, DELAYS, strict=True):
        arguments = queue.arguments
        assert arguments["x-message-ttl"] == delay * 1000
        target = arguments["x-dead-letter-exchange"], arguments["x-dead-letter-routing-key"]
        assert target == (first.exchange, first.routing_key)
        assert arguments["x-dead-letter-strategy"] == "at-least-once"


class Mover:
    """A link without a connection: it moves deliveries with a fake publisher."""

    def __init__(self) -> None:
        self.journal: Journal = []
        self.publisher = FakePublisher(self.journal)
        self.link = DueMessages("amqp://x/", "worker", TOPOLOGY, self.publisher.queues(TOPOLOGY))

    async def move(self, delivery: Delivery) -> tuple[str, str]:
        await self.link._move(delivery)
        published = self.publisher.published[-1]
        return published.exchange, published.routing_key


@pytest.mark.parametrize(("left", "where"), [(100.0, "64"), (3.9, "1"), (1e6, "65536")])
async def test_what_is_not_due_yet_is_put_aside_again(left: float, where: str) -> None:
    mover = Mover()
    message = due(time.time() + left)
    assert await mover.move(a_delivery(message, mover.journal)) == ("bridge.reminders", where)
    assert decode(mover.publisher.published[0].body, InboundMessage) == message
    assert [what for what, _ in mover.journal] == ["published to bridge.reminders", "acked"]


async def test_what_is_due_goes_to_its_partition_and_never_early() -> None:
    mover = Mover()
    at = time.time() + 0.1
    where = await mover.move(a_delivery(due(at), mover.journal))
    assert time.time() >= at
    assert where == TOPOLOGY.address(due(at))
    await mover.move(a_delivery(due(at - 3600), mover.journal))
    assert [id for what, id in mover.journal if what == "acked"] == ["r1", "r1"]


async def test_a_move_that_is_not_confirmed_is_repeated_and_not_acked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from bridge.errors import BrokerUnavailable

    monkeypatch.setattr("bridge.broker.queues.backoff", lambda failures: 0.0)
    mover = Mover()
    mover.publisher.down = BrokerUnavailable("down")
    moving: Any = asyncio.ensure_future(mover.link._move(a_delivery(due(0), mover.journal)))
    await quiet()
    assert mover.journal == []
    mover.publisher.down = None
    await moving
    assert [what for what, _ in mover.journal] == ["published to bridge.inbound", "acked"]


async def test_what_cannot_be_decoded_is_dead_lettered() -> None:
    mover = Mover()
    where = await mover.move(a_delivery(b"{", mover.journal, message_id="r1"))
    assert where == ("bridge.dead", "inbound")
    assert mover.publisher.published[0].properties["headers"]["x-bridge-reason"] == "undecodable"
    assert mover.journal[-1] == ("acked", "r1")
