"""The queue to which a dead letter is replayed, and the body that is sent."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bridge.broker.topology import Topology
from bridge.dead_letters import queue as dead_letter_queue
from bridge.dead_letters.queue import CONSUMERS, prefetch_for
from bridge.dead_letters.replay import conversation_of, target_of
from bridge.messages import InboundMessage, ReplyTo, decode, encode
from tests.support.fakes import a_reply, an_inbound

TOPOLOGY = Topology("ns", inbound_partitions=32, reply_partitions=8)


def test_an_inbound_message_goes_back_to_its_conversations_partition() -> None:
    message = an_inbound(sender_id="ada", channel="slack")
    target = target_of(message, b"as it was", TOPOLOGY)
    assert (target.exchange, target.key) == ("ns.inbound", TOPOLOGY.inbound_key("ada"))
    assert target.body == b"as it was"


def test_a_reply_goes_back_to_its_channel_and_its_recipients_partition() -> None:
    target = target_of(a_reply(recipient_id="ada", channel="slack"), b"as it was", TOPOLOGY)
    assert (target.exchange, target.key) == ("ns.replies", TOPOLOGY.reply_key("slack", "ada"))
    assert target.body == b"as it was"


def test_a_stale_reply_to_is_removed_and_nothing_else_changes() -> None:
    """Fields of newer versions, and numbers that JSON parsers round, stay byte for byte."""
    message = an_inbound(reply_to=ReplyTo("amq.gen-x", "ticket"), metadata={"a": [1]})
    odd = b',"from_the_future":{"n":123456789012345678901234567890,"f":1.10}}'
    body = encode(message)[:-1] + odd
    sent = target_of(message, body, TOPOLOGY).body
    assert b"reply_to" not in sent
    assert b"amq.gen-x" not in sent
    assert sent.endswith(odd)
    expected: dict[str, Any] = json.loads(body)
    del expected["reply_to"]
    assert json.loads(sent) == expected
    assert decode(sent, InboundMessage).id == message.id


def test_messages_of_one_sender_are_one_conversation_on_every_channel() -> None:
    assert conversation_of(an_inbound(channel="a")) == conversation_of(an_inbound(channel="b"))
    assert conversation_of(an_inbound(sender_id="a")) != conversation_of(an_inbound(sender_id="b"))


def test_replies_to_each_recipient_of_a_channel_are_one_conversation() -> None:
    assert conversation_of(a_reply("1:0")) == conversation_of(a_reply("2:0"))
    assert conversation_of(a_reply(channel="a")) != conversation_of(a_reply(channel="b"))
    assert conversation_of(a_reply(recipient_id="a")) != conversation_of(a_reply(recipient_id="b"))


@pytest.mark.parametrize("depth", [0, 1, 999, 32_000, 32_001, 100_000, 2_000_000])
def test_the_consumers_together_can_hold_a_whole_queue(depth: int) -> None:
    assert prefetch_for(depth) * CONSUMERS >= depth
    assert dead_letter_queue.PREFETCH <= prefetch_for(depth) <= 65535


def test_the_prefetch_never_exceeds_what_amqp_can_encode() -> None:
    assert prefetch_for(10**9) == 65535
