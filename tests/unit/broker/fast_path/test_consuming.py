"""Deliveries and settlements of the fast path."""

from __future__ import annotations

from contextvars import ContextVar

from pamqp import commands

from bridge.broker.fast_path.consuming import Consuming, Received
from tests.unit.broker.fast_path.wires import Wire, deliver, sent


async def test_each_delivery_is_acked_as_it_completes_and_alone() -> None:
    wire, taken = Wire(), []
    consuming = Consuming(wire.tap, 1)
    consuming.on("c", lambda received: taken.append(received.tag))
    wire.tap.data_received(b"".join(deliver(tag) for tag in (1, 2, 3, 4)))
    for tag in (3, 1, 4):
        consuming.settle(tag)
    consuming.settle(2, requeue=True)
    frames = await wire.written()
    assert [(frame.name, frame.delivery_tag, frame.multiple) for frame in frames] == [
        ("Basic.Ack", 3, False),
        ("Basic.Ack", 1, False),
        ("Basic.Ack", 4, False),
        ("Basic.Nack", 2, False),
    ]
    assert frames[-1].requeue


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
