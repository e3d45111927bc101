"""The model broker behaves as RabbitMQ was measured to (docs/explanation/ordering.md)."""

from __future__ import annotations

from bridge.broker.topology import Topology
from tests.simulation.broker import Broker, Channel, Stored
from tests.simulation.loop import Process

QUEUE = "model.inbound.00"


class Seen:
    """Notes what the broker does."""

    def __init__(self) -> None:
        self.deliveries: list[tuple[str, str, int]] = []
        """(process, id, delivery count)"""
        self.unknown = 0

    def stored(self, message: Stored) -> None: ...

    def delivered(self, message: Stored, channel: Channel) -> None:
        self.deliveries.append((channel.owner, message.id, message.count))

    def arrives(self, process: Process, message: Stored) -> None: ...

    def acked(self, message: Stored, channel: Channel) -> None: ...

    def returned(self, message: Stored, channel: Channel) -> None: ...

    def requeued(self, message: Stored, channel: Channel) -> None: ...

    def deleted(self, message: Stored) -> None: ...

    def unknown_tag(self, channel: Channel) -> None:
        self.unknown += 1

    def last(self, number: int) -> list[tuple[str, str, int]]:
        return self.deliveries[-number:]


class Model:
    """A broker with one queue, and channels on it."""

    def __init__(self, messages: int) -> None:
        self.seen = Seen()
        self.broker = Broker(Topology("model", 1), self.seen)
        for number in range(messages):
            assert self.publish(str(number))

    def publish(self, id: str, key: str = "00/1") -> bool:
        return self.broker.publish("model.inbound", key, b"", id, "inbound", {})

    def consume(self, name: str, priority: int, prefetch: int = 2) -> Channel:
        channel = Channel(self.broker, name, self.seen)
        channel.prefetch = prefetch
        channel.consume(QUEUE, priority, lambda tag, message: None)
        return channel


def test_a_consumer_holds_at_most_its_prefetch_and_gets_more_for_each_ack() -> None:
    model = Model(4)
    channel = model.consume("a", 1)
    assert model.seen.deliveries == [("a", "0", 0), ("a", "1", 0)]
    channel.ack(1)
    assert model.seen.last(1) == [("a", "2", 0)]


def test_only_the_consumer_with_the_highest_priority_is_active() -> None:
    model = Model(0)
    model.consume("low", 1)
    model.consume("high", 2)
    model.consume("lower", 0)
    model.publish("0")
    assert model.seen.deliveries == [("high", "0", 0)]


def test_a_takeover_waits_until_the_active_consumer_has_settled_what_it_holds() -> None:
    model = Model(4)
    low = model.consume("low", 1)
    model.consume("high", 2)
    low.ack(1)
    assert model.seen.deliveries == [("low", "0", 0), ("low", "1", 0)]
    low.ack(2)
    assert model.seen.last(2) == [("high", "2", 0), ("high", "3", 0)]


def test_a_closed_channel_returns_its_messages_first_in_order_and_counts_them() -> None:
    model = Model(4)
    first = model.consume("a", 2, prefetch=3)
    model.consume("b", 1, prefetch=9)
    first.ack(2)
    first.close()
    assert model.seen.last(3) == [("b", "0", 1), ("b", "2", 1), ("b", "3", 1)]


def test_messages_return_behind_those_that_returned_before() -> None:
    model = Model(3)
    first = model.consume("a", 2, prefetch=3)
    first.nack(1)
    assert model.seen.last(1) == [("a", "0", 1)]
    first.close()
    model.consume("b", 1, prefetch=3)
    assert model.seen.last(3) == [("b", "1", 1), ("b", "2", 1), ("b", "0", 2)]


def test_a_consumer_fades_even_if_the_higher_one_goes_again() -> None:
    model = Model(4)
    channel = model.consume("a", 1, prefetch=3)
    channel.consume(QUEUE, 2, lambda tag, message: None, tag="higher")
    channel.cancel("higher")
    channel.nack(1)
    channel.ack(2)
    assert len(model.seen.deliveries) == 3
    channel.ack(3)
    assert model.seen.last(2) == [("a", "0", 1), ("a", "3", 0)]


def test_after_basic_cancel_the_next_consumer_starts_while_messages_are_held() -> None:
    model = Model(3)
    first = model.consume("a", 2)
    model.consume("b", 1)
    first.cancel(QUEUE)
    assert model.seen.last(1) == [("b", "2", 0)]
    first.ack(1)
    assert not model.seen.unknown


def test_a_second_ack_is_noticed() -> None:
    model = Model(1)
    channel = model.consume("a", 1)
    channel.ack(1)
    channel.ack(1)
    assert model.seen.unknown == 1


def test_a_message_without_a_bound_queue_is_not_stored() -> None:
    assert not Model(0).publish("0", key="07/32")


def test_a_requeued_message_goes_first_and_is_counted() -> None:
    model = Model(3)
    channel = model.consume("a", 1)
    channel.nack(1)
    assert model.seen.last(1) == [("a", "0", 1)]


def test_no_consumer_starts_once_the_fading_one_has_requeued_its_last_message() -> None:
    model = Model(1)
    low = model.consume("low", 1)
    high = model.consume("high", 2)
    low.nack(1)
    assert model.seen.deliveries == [("low", "0", 0)]
    low.cancel(QUEUE)
    assert model.seen.last(1) == [("high", "0", 1)]
    assert high.unacked


def test_a_deleted_queue_takes_its_messages_with_it() -> None:
    model = Model(0)
    model.broker.declare("private")
    channel = Channel(model.broker, "a", model.seen)
    model.broker.publish("model.private", "private", b"", "0", "inbound", {})
    channel.consume("private", 0, lambda tag, message: None)
    assert channel.unacked
    model.broker.delete("private")
    channel.close()
    assert "private" not in model.broker.queues
    assert not model.broker.publish("model.private", "private", b"", "1", "inbound", {})


def test_the_newest_overflow_queue_dies_with_the_broker_until_it_is_deleted() -> None:
    broker = Model(0).broker
    exchange = broker.topology.private_exchange
    for name in ("a.overflow.1", "a.overflow.2"):
        broker.declare(name)
        assert broker.publish(exchange, name, b"", "", "", {})
    broker.crash()
    assert broker.answers(exchange, "a.overflow.1")
    assert len(broker.queues["a.overflow.1"]) == 1
    assert not broker.answers(exchange, "a.overflow.2")
    assert len(broker.queues["a.overflow.2"]) == 0
    broker.declare("a.overflow.2")
    assert not broker.answers(exchange, "a.overflow.2")
    broker.delete("a.overflow.2")
    broker.declare("a.overflow.2")
    assert broker.answers(exchange, "a.overflow.2")
