"""The queue to which a dead letter is replayed, and the body that is sent."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bridge.broker.topology import Topology
from bridge.dead_letters.order import lane_of
from bridge.dead_letters.reading import CONSUMERS, PREFETCH, prefetch_for
from bridge.dead_letters.replay import for_replay
from bridge.messages import InboundMessage, Reply, ReplyTo, as_redelivered, decode, encode
from tests.support.fakes import a_reply, an_inbound

TOPOLOGY = Topology("ns", inbound_partitions=32, reply_partitions=8)


def test_an_inbound_message_goes_to_the_partition_of_its_conversation() -> None:
    message = an_inbound(sender_id="ada", channel="slack")
    assert TOPOLOGY.address(message) == ("ns.inbound", TOPOLOGY.inbound_key("ada"))


def test_a_reply_goes_to_the_partition_of_its_channel_and_recipient() -> None:
    reply = a_reply(recipient_id="ada", channel="slack")
    assert TOPOLOGY.address(reply) == ("ns.replies", TOPOLOGY.reply_key("slack", "ada"))


def test_a_replayed_reply_is_marked_as_a_copy() -> None:
    reply = a_reply()
    assert decode(for_replay(reply, encode(reply)), Reply) == as_redelivered(reply)


def test_a_stale_reply_to_is_removed_and_nothing_else_changes() -> None:
    """Fields of newer versions, and numbers that JSON parsers round, stay byte for byte."""
    message = an_inbound(reply_to=ReplyTo("amq.gen-x", "ticket"), metadata={"a": [1]})
    odd = b',"from_the_future":{"n":123456789012345678901234567890,"f":1.10}}'
    body = encode(message)[:-1] + odd
    sent = for_replay(message, body)
    assert b"reply_to" not in sent
    assert b"amq.gen-x" not in sent
    assert odd[:-1] in sent
    expected: dict[str, Any] = json.loads(body)
    del expected["reply_to"]
    expected["redelivered"] = True
    assert json.loads(sent) == expected
    assert decode(sent, InboundMessage).id == message.id


def test_messages_of_one_sender_are_one_conversation_on_every_channel() -> None:
    assert lane_of(an_inbound(channel="a")) == lane_of(an_inbound(channel="b"))
    assert lane_of(an_inbound(sender_id="a")) != lane_of(an_inbound(sender_id="b"))


def test_replies_to_each_recipient_of_a_channel_are_one_conversation() -> None:
    assert lane_of(a_reply("1:0")) == lane_of(a_reply("2:0"))
    assert lane_of(a_reply(channel="a")) != lane_of(a_reply(channel="b"))
    assert lane_of(a_reply(recipient_id="a")) != lane_of(a_reply(recipient_id="b"))


@pytest.mark.parametrize("depth", [0, 1, 999, 32_000, 32_001, 100_000, 2_000_000])
def test_the_consumers_together_can_hold_a_whole_queue(depth: int) -> None:
    assert prefetch_for(depth) * CONSUMERS >= depth
    assert PREFETCH <= prefetch_for(depth) <= 65535


def test_the_prefetch_never_exceeds_what_amqp_can_encode() -> None:
    assert prefetch_for(10**9) == 65535
