"""The priority of a channel, and the queue of its messages."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.broker.connection import Connection
from bridge.broker.topology import Topology
from bridge.connectors.registry import load_channel
from bridge.errors import MessageError, SettingsError
from bridge.messages import PRIORITIES, Priority, decode, encode
from bridge.messages.wire import InboundMessage
from tests.support.fakes import FakePublisher, a_request, an_inbound

TOPOLOGY = Topology("shop", 4, 2, ["callback"])


def priority_of(channel: str, **section: Any) -> Priority:
    """Return the priority of the messages that a channel makes."""
    connector = load_channel(channel, section).connector
    return connector.message(a_request({}), sender_id="ada", text="hello").priority


def test_by_default_a_channel_whose_sender_waits_for_the_response_goes_first() -> None:
    assert priority_of("rest") == "high"
    assert priority_of("callback", url="http://x") == "normal"


@pytest.mark.parametrize("priority", PRIORITIES)
def test_each_channel_may_have_a_priority(priority: Priority) -> None:
    assert priority_of("rest", priority=priority) == priority
    assert priority_of("callback", url="http://x", priority=priority) == priority


@pytest.mark.parametrize("value", ["urgent", 5, True, "", ["high"]])
def test_another_priority_is_an_error_that_names_the_known_ones(value: Any) -> None:
    with pytest.raises(SettingsError, match="'priority' must be one of: high, normal, low"):
        load_channel("rest", {"priority": value})


@pytest.mark.parametrize("priority", PRIORITIES)
def test_a_message_keeps_its_priority(priority: Priority) -> None:
    message = an_inbound(priority=priority)
    assert decode(encode(message), InboundMessage) == message


def test_an_unknown_priority_is_an_undecodable_message() -> None:
    body = encode(an_inbound(priority="high")).replace(b'"high"', b'"highest"')
    with pytest.raises(MessageError):
        decode(body, InboundMessage)


def test_a_message_without_a_priority_is_normal() -> None:
    """Older webhooks do not know it."""
    assert b"priority" not in encode(an_inbound())
    assert decode(encode(an_inbound()), InboundMessage).priority == "normal"


@pytest.mark.parametrize("priority", PRIORITIES)
async def test_each_priority_has_its_queue_in_the_same_partition(priority: Priority) -> None:
    publisher = FakePublisher()
    await publisher.queues(TOPOLOGY).put_inbound(an_inbound(priority=priority))
    (published,) = publisher.published
    (queue,) = (
        q for q in TOPOLOGY.inbound_queues(priority) if q.routing_key == published.routing_key
    )
    normal = TOPOLOGY.inbound_key("ada")
    assert TOPOLOGY.owners().get(queue.name, queue.name) == next(
        q.name for q in TOPOLOGY.inbound_queues() if q.routing_key == normal
    )


async def test_a_token_goes_to_the_normal_queue() -> None:
    publisher = FakePublisher()
    await publisher.queues(TOPOLOGY).put_lock("shop.inbound.03")
    assert publisher.published[0].exchange == "shop.inbound"
    assert publisher.published[0].routing_key == "03/4"


async def test_before_rabbitmq_4_all_priorities_share_a_queue() -> None:
    """There, two processes could stay active on two queues of one partition."""
    publisher = FakePublisher()
    publisher.separates_priorities = False
    await publisher.queues(TOPOLOGY).put_inbound(an_inbound(priority="high"))
    assert publisher.published[0].routing_key == TOPOLOGY.inbound_key("ada")


@pytest.mark.parametrize(
    ("version", "separate"), [("3.13.7", False), ("4.0.5", True), ("4.3.6", True), ("?", True)]
)
def test_the_broker_s_version_decides(version: str, separate: bool) -> None:
    connection = object.__new__(Connection)
    connection._underlay = type("Underlay", (), {"server_properties": {"version": version}})
    assert connection.separates_priorities is separate
