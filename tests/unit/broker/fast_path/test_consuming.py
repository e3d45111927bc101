"""Deliveries and settlements of the fast path."""

from __future__ import annotations

from contextvars import ContextVar
from functools import partial
from random import Random
from typing import Any

from hypothesis import given, strategies as st
from pamqp import commands

from bridge.broker.fast_path.consuming import Consuming, Received
from tests.unit.broker.fast_path.wires import Wire, deliver, sent


def settlements(frames: list[Any]) -> list[tuple[str, int, bool]]:
    """Return name, delivery tag and `multiple` of frames."""
    return [(frame.name, frame.delivery_tag, frame.multiple) for frame in frames]


async def test_one_ack_goes_up_to_the_oldest_message_that_is_held() -> None:
    wire = Wire()
    consuming = Consuming(wire.tap, 1)
    consuming.on("c", lambda received: None)
    wire.tap.data_received(b"".join(deliver(tag) for tag in range(1, 8)))
    for tag in (3, 1, 6, 2):
        consuming.settle(tag)
    assert settlements(await wire.written()) == [("Basic.Ack", 3, True), ("Basic.Ack", 6, False)]
    consuming.settle(5)
    assert settlements(await wire.written()) == [("Basic.Ack", 5, False)]
    for tag in (7, 4):
        consuming.settle(tag)
    assert settlements(await wire.written()) == [("Basic.Ack", 7, True)]


async def test_what_is_returned_leaves_before_an_ack_of_several_that_is_newer() -> None:
    wire = Wire()
    consuming = Consuming(wire.tap, 1)
    consuming.on("c", lambda received: None)
    wire.tap.data_received(b"".join(deliver(tag) for tag in range(1, 6)))
    consuming.settle(4)
    consuming.settle(2, requeue=True)
    for tag in (5, 3, 1):
        consuming.settle(tag)
    frames = await wire.written()
    assert settlements(frames) == [
        ("Basic.Ack", 4, False),
        ("Basic.Nack", 2, False),
        ("Basic.Ack", 5, True),
    ]
    assert frames[1].requeue


class Settling:
    """A channel, and what a broker makes of its settlements."""

    def __init__(self) -> None:
        self.wire = Wire()
        self.consuming = Consuming(self.wire.tap, 1)
        self.consuming.on("c", lambda received: None)
        self.consuming.on("no acks", lambda received: None, no_ack=True)
        self.last_tag = 0
        self.unsettled: set[int] = set()
        """What the broker does not know yet."""
        self.wanted: dict[int, str] = {}
        """What was settled here, and how."""

    def deliver(self, consumer: str) -> None:
        """Deliver a message. That of a basic.get passes the fast path by."""
        self.last_tag += 1
        if consumer != "no acks":
            self.unsettled.add(self.last_tag)
        if consumer != "get":
            self.wire.tap.data_received(deliver(self.last_tag, consumer=consumer))

    def settle(self, nth: int, requeue: bool) -> None:
        """Settle one of the messages that a consumer has."""
        ours = [tag for tag in self.consuming._held if tag not in self.wanted]
        if ours:
            tag = ours[nth % len(ours)]
            self.wanted[tag] = "Basic.Nack" if requeue else "Basic.Ack"
            self.consuming.settle(tag, requeue=requeue)

    async def sent(self) -> None:
        """Carry out what was written."""
        for name, tag, multiple in settlements(await self.wire.written()):
            assert tag in self.unsettled, "the broker would close the channel"
            tags = {each for each in self.unsettled if each <= tag} if multiple else {tag}
            assert {self.wanted.get(each) for each in tags} == {name}
            self.unsettled -= tags


SETTLED = st.tuples(st.sampled_from([0, 0, 1, 2, -1]), st.sampled_from([False, False, True]))


@given(
    st.sampled_from([("c",), ("c", "gone", "no acks"), ("c", "get")]),
    st.lists(st.one_of(st.just("delivered"), SETTLED, SETTLED, st.none()), max_size=60),
    st.randoms(use_true_random=False),
)
async def test_exactly_what_was_settled_is_settled(
    consumers: tuple[str, ...], steps: list[Any], random: Random
) -> None:
    settling = Settling()
    for step in ("delivered",) * 6 + tuple(steps):
        if step is None:
            await settling.sent()
        elif step == "delivered":
            settling.deliver(random.choice(consumers))
        else:
            settling.settle(*step)
    await settling.sent()
    assert not settling.unsettled & set(settling.wanted)


async def test_what_is_remembered_does_not_grow_with_what_passes() -> None:
    """One message is held for long, others pass it; a consumer without acks settles nothing."""
    settling = Settling()
    settling.deliver("c")
    for _ in range(500):
        settling.deliver("c")
        settling.deliver("no acks")
        settling.settle(-1, requeue=False)
    await settling.sent()
    assert list(settling.consuming._held) == [1]


async def test_an_empty_message_and_a_large_one_arrive_whole() -> None:
    wire = Wire()
    taken: list[Received] = []
    Consuming(wire.tap, 1).on("c", taken.append)
    large = bytes(range(256)) * 1000
    properties = commands.Basic.Properties(correlation_id="m1", headers={"x-delivery-count": 2})
    wire.tap.data_received(deliver(1, b"") + deliver(2, large, properties=properties, piece=9000))
    empty, full = taken
    assert (empty.tag, empty.body) == (1, b"")
    assert (full.tag, full.body, full.properties.correlation_id) == (2, large, "m1")
    assert full.properties.headers == {"x-delivery-count": 2}


async def test_what_a_consumer_sets_does_not_leak_into_the_next_delivery() -> None:
    wire, seen = Wire(), []
    bound: ContextVar[int] = ContextVar("bound", default=0)

    def on_received(received: Received) -> None:
        seen.append(bound.get())
        bound.set(received.tag)

    Consuming(wire.tap, 1).on("c", on_received)
    wire.tap.data_received(deliver(1) + deliver(2))
    assert seen == [0, 0]


async def test_a_delivery_for_a_cancelled_consumer_or_a_failing_one_stops_nothing() -> None:
    wire, taken = Wire(), []
    consuming = Consuming(wire.tap, 1)

    def failing(received: Received) -> None:
        taken.append(received.tag)
        raise RuntimeError("planted")

    consuming.on("c", failing)
    wire.tap._loop.set_exception_handler(lambda _, context: taken.append(context["message"]))
    wire.tap.data_received(deliver(1, consumer="gone") + deliver(2) + deliver(3))
    assert taken == [2, "a delivery was not taken", 3, "a delivery was not taken"]


async def test_a_cancel_of_the_broker_is_left_to_aiormq() -> None:
    wire = Wire()
    Consuming(wire.tap, 1)
    cancel = sent(commands.Basic.Cancel("c", True))
    wire.tap.data_received(cancel)
    assert wire.behind.received == cancel


async def test_settlements_leave_before_a_close_even_if_the_socket_is_full() -> None:
    wire = Wire()
    consuming = Consuming(wire.tap, 1)
    wire.tap.pause_writing()
    consuming.settle(1)
    assert await wire.written() == []
    consuming.flush()
    (ack,) = await wire.written()
    assert ack.delivery_tag == 1


async def test_a_message_leaves_after_what_was_settled_and_none_once_the_channel_has_closed() -> (
    None
):
    wire = Wire()
    consuming = Consuming(wire.tap, 1)
    consuming.on("c", lambda received: None)
    wire.tap.data_received(deliver(1))
    consuming.settle(1)
    send = partial(consuming.sending.publish, "x", "k", b"{}", kind="pace", correlation_id="who")
    assert send()
    names = [frame.name for frame in await wire.written()]
    assert names[:2] == ["Basic.Ack", "Basic.Publish"]
    consuming.close()
    assert not send()
    assert await wire.written() == []
