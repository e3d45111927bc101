"""The exchange, routing key and properties of each kind of message."""

from __future__ import annotations

import pytest

from bridge.broker.topology import Topology
from bridge.errors import MessageError, Unroutable
from bridge.messages import DeadLetter, InboundMessage, Reply, ReplyTo, TurnEnd, decode
from tests.support.fakes import FakePublisher, a_reply, an_inbound

TOPOLOGY = Topology("shop", 4, 2, ["callback"])
LETTER = DeadLetter(
    flow="inbound",
    reason="failed",
    error="ValueError: x",
    attempts=3,
    first_at=1.5,
    last_at=2.5,
    queue="shop.inbound.01",
    id="e1",
    channel="callback",
    conversation="ada",
)


async def test_an_inbound_message_goes_to_the_partition_of_its_conversation() -> None:
    publisher = FakePublisher()
    message = an_inbound("e1", sender_id="bob", traceparent="00-1-2-01")
    await publisher.queues(TOPOLOGY).put_inbound(message)
    (published,) = publisher.published
    assert published.exchange == "shop.inbound"
    assert published.routing_key == TOPOLOGY.inbound_key("bob")
    assert decode(published.body, InboundMessage) == message
    assert published.properties == {
        "kind": "inbound",
        "message_id": "e1",
        "reply_to": None,
        "headers": {"traceparent": "00-1-2-01"},
    }


async def test_a_reply_goes_to_its_channel_and_the_partition_of_its_recipient() -> None:
    publisher = FakePublisher()
    reply = a_reply("e1:0", recipient_id="bob")
    await publisher.queues(TOPOLOGY).put_reply(reply)
    (published,) = publisher.published
    assert published.exchange == "shop.replies"
    assert published.routing_key == TOPOLOGY.reply_key("callback", "bob")
    assert decode(published.body, Reply) == reply
    assert published.properties == {
        "kind": "reply",
        "message_id": "e1:0",
        "reply_to": None,
        "headers": {},
    }


async def test_a_reply_that_a_request_awaits_and_its_turn_end_go_to_the_private_queue() -> None:
    publisher = FakePublisher()
    queues, reply_to = publisher.queues(TOPOLOGY), ReplyTo("amq.gen-1", "t")
    end = TurnEnd(in_reply_to="e1", ticket="t", error="ValueError")
    await queues.put_reply(a_reply("e1:0", ticket="t"), reply_to)
    await queues.put_turn_end(end, reply_to)
    where = [(p.exchange, p.routing_key) for p in publisher.published]
    assert where == [("shop.private", "amq.gen-1")] * 2
    assert [p.properties["kind"] for p in publisher.published] == ["reply", "turn_end"]
    assert decode(publisher.published[1].body, TurnEnd) == end


@pytest.mark.parametrize("flow", ["inbound", "replies"])
async def test_a_dead_letter_keeps_its_body_and_goes_to_the_queue_of_its_flow(flow: str) -> None:
    publisher = FakePublisher()
    letter = DeadLetter(**{**vars(LETTER), "flow": flow})
    await publisher.queues(TOPOLOGY).put_dead(b"\xff raw", letter, "kept")
    (published,) = publisher.published
    assert (published.exchange, published.routing_key) == ("shop.dead", flow)
    assert published.body == b"\xff raw"
    assert published.properties["kind"] == "kept"
    assert published.properties["message_id"] == "e1"


async def test_a_message_without_a_json_form_is_not_published() -> None:
    publisher = FakePublisher()
    with pytest.raises(MessageError):
        await publisher.queues(TOPOLOGY).put_inbound(an_inbound(metadata={"a": object()}))
    assert publisher.calls == 0


async def test_an_error_of_the_publisher_is_passed_on() -> None:
    publisher = FakePublisher(down=Unroutable("no queue"))
    with pytest.raises(Unroutable):
        await publisher.queues(TOPOLOGY).put_reply(a_reply())
