"""Messages with a command run in the lane of their conversation; those that only read do not."""

from __future__ import annotations

import asyncio

import pytest

from bridge.errors import MessageError
from bridge.messages import (
    HIGH,
    REMINDER,
    Command,
    InboundMessage,
    commanding,
    decode,
    encode,
)
from tests.support.fakes import an_inbound, quiet
from tests.unit.processing.test_processor import Bench

CHANGE = Command("trigger_intent", {"body": {"name": "greet"}})
READ = Command("tracker", reads=True)


def test_a_command_survives_the_wire_and_raises_the_version() -> None:
    message = commanding(an_inbound("c1"), CHANGE, due_at=12.5)
    assert decode(encode(message), InboundMessage) == message
    assert (message.v, an_inbound("e1").v, message.at) == (2, 1, 12.5)
    assert b'"v"' not in encode(an_inbound("e1")), "an older process reads it"
    with pytest.raises(MessageError):
        decode(
            b'{"v": 3, "id": "x", "channel": "c", "sender_id": "a", "text": "",'
            b' "input_channel": "c", "output_channel": "c"}',
            InboundMessage,
        )


async def test_calls_and_reminders_keep_the_order_of_their_conversation() -> None:
    bench, gate = Bench(), asyncio.Event()
    bench.plans["e1"] = [gate]
    bench.admit(an_inbound("e1"))
    bench.admit(commanding(an_inbound("call", channel="http-api"), CHANGE))
    bench.admit(an_inbound("e2"))
    bench.admit(commanding(an_inbound("reminder"), Command(REMINDER)))
    bench.admit(commanding(an_inbound("read", priority=HIGH), READ))
    bench.admit(commanding(an_inbound("other", sender_id="bob"), CHANGE))
    await quiet()
    assert bench.ids("handled") == ["read", "other"], "neither waits for the turn of ada"
    gate.set()
    await quiet()
    assert bench.ids("handled")[2:] == ["e1", "call", "e2", "reminder"]


async def test_a_second_copy_of_a_reminder_is_not_run() -> None:
    bench = Bench()
    for _ in range(2):
        bench.admit(commanding(an_inbound("r1"), Command(REMINDER)))
        await quiet()
    assert bench.ids("handled") == ["r1"]
    assert bench.of("r1")[-1] == "acked"
