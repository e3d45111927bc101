"""Publishing without confirms on the fast path: now, or not at all."""

from __future__ import annotations

from pamqp import commands

from bridge.broker.fast_path.sending import Sending
from tests.unit.broker.fast_path.wires import Wire, sent


def publish(sending: Sending, key: str, body: bytes = b"{}") -> bool:
    return sending.publish("e", key, body, kind=key, correlation_id="worker h:1:a")


async def test_a_message_is_transient_and_dropped_without_a_queue() -> None:
    wire = Wire()
    assert publish(Sending(wire.tap, 1, 0), "trace", b"hops")
    method, header, body = await wire.written()
    assert (method.exchange, method.routing_key, method.mandatory) == ("e", "trace", False)
    found = header.properties
    assert (found.delivery_mode, found.message_type, found.correlation_id) == (
        *(1, "trace", "worker h:1:a"),
    )
    assert body.value == b"hops"


async def test_it_is_written_at_once_before_anything_that_aiormq_writes_next() -> None:
    wire = Wire()
    assert publish(Sending(wire.tap, 1, 0), "trace")
    assert wire.transport.writes


async def test_nothing_is_kept_for_a_socket_that_is_full() -> None:
    wire = Wire()
    sending = Sending(wire.tap, 1, 0)
    wire.transport.capacity = 0
    assert publish(sending, "taken")
    assert not publish(sending, "refused")
    wire.tap.resume_writing()
    assert publish(sending, "later")
    assert [frame.routing_key for frame in await wire.written() if hasattr(frame, "mandatory")] == [
        *("taken", "later")
    ]


async def test_nothing_is_written_to_a_channel_that_the_broker_has_closed() -> None:
    """It would end the connection. What the broker says is left to aiormq."""
    wire = Wire()
    sending = Sending(wire.tap, 1, 0)
    closed = sent(commands.Channel.Close(404, "no exchange", 60, 40))
    wire.tap.data_received(closed)
    assert wire.behind.received == closed
    assert not publish(sending, "trace")
    assert await wire.written() == []
