"""Events for sockets, as they reach a webhook process: each delivery is settled."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bridge.broker.relay import RelayReceiver
from bridge.broker.seen import HEADER, PING
from bridge.broker.topology import Topology
from bridge.messages import Delivery

EVENT = b'{"method": "emit"}'
LONG = "a" * 300
HOSTILE: list[tuple[bytes, str, Any]] = [
    (b"5", "event", None),
    (b"[1]", "event", None),
    (b'"method"', "event", "address"),
    (b"", "event", "address"),
    (b"\x80\x04\x95", "event", "address"),
    (EVENT, PING, LONG),
    (EVENT, PING, {"a": [1]}),
    (EVENT, PING, "\0#*"),
]


async def test_every_event_is_settled_whatever_it_holds() -> None:
    settled, answered = [], []

    async def answer(exchange: str, key: str, body: bytes) -> None:
        assert len(key) < 256, "AMQP cannot carry it"
        answered.append(key)

    async def ack() -> None:
        settled.append(1)

    receiver = RelayReceiver("amqp://127.0.0.1/", "webhook", Topology("ns"), "socketio", answer)
    for number, (body, kind, seen) in enumerate([*HOSTILE, (EVENT, "event", LONG)]):
        headers = {} if seen is None else {HEADER: seen}
        event = Delivery("q", body, kind, f"e{number}", False, 0, ack, headers)
        receiver._arrived.put_nowait(event)
    heard = []

    async def listen() -> None:
        async for event in receiver.events():
            heard.append(event)

    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(listen(), 0.1)
    assert heard == [EVENT]
    assert len(settled) == len(HOSTILE) + 1
    assert LONG not in answered
