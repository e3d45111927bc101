"""An overflowing conversation has turns of several messages, also after a crash."""

from __future__ import annotations

import asyncio
from itertools import chain

from msgspec.structs import replace

from bridge.broker.links import Consumer
from bridge.messages import INBOUND, InboundMessage, TurnPolicy
from bridge.processing.processor import Processor
from tests.integration.test_overflow import (
    BAD,
    PREFETCH,
    Bench,
    message,
    nothing_is_left,
    overflows,
)
from tests.support.broker import Broker
from tests.support.links import up
from tests.support.waiting import eventually

TOGETHER = TurnPolicy("collect", quiet=0.0, max_messages=8)


class Turns(Bench):
    """Workers that note the messages of each turn of the conversation."""

    def __init__(self, broker: Broker, namespace: str) -> None:
        super().__init__(broker, namespace)
        self.go = asyncio.Event()
        self.turns: list[list[int]] = []

    async def handle(self, message: InboundMessage) -> None:
        if message.sender_id == BAD:
            await self.go.wait()
            await asyncio.sleep(self.pace)
            self.turns.append([int(text) for text in message.text.split()])
            self.handled[BAD].extend(self.turns[-1])

    def worker(self, name: str, priority: int = 1, retry_for: float = 120.0) -> Consumer:
        processor = Processor(InboundMessage, self.handle, self.queues, concurrency=16)
        (queue,) = self.topology.inbound_queues()
        consumed = {queue.name: priority}
        url, topology = self.broker.url, self.topology
        return Consumer(url, name, topology, consumed, PREFETCH, processor.open, INBOUND)

    async def say(self, count: int) -> None:
        for n in range(count):
            await self.queues.put_inbound(replace_turns(message(n, BAD)))


def replace_turns(message: InboundMessage) -> InboundMessage:
    return replace(message, turns=TOGETHER)


async def test_turns_of_an_overflowing_conversation_stay_in_order_after_a_crash(
    broker: Broker, namespace: str
) -> None:
    bench = Turns(broker, namespace)
    async with up(bench.publisher):
        async with up(bench.worker("a")):
            await bench.say(60)
            await overflows(bench)
            bench.pace = 0.1
            bench.go.set()
            await eventually(lambda: len(bench.turns) >= 3)
        bench.pace = 0.0
        async with up(bench.worker("b")):
            await eventually(lambda: len(set(bench.handled[BAD])) >= 60)
            await nothing_is_left(bench)
    # At most the turn whose messages were not all acked is repeated.
    assert list(dict.fromkeys(chain.from_iterable(bench.turns))) == list(range(60))
    assert len(bench.handled[BAD]) <= 60 + TOGETHER.max_messages
    assert max(map(len, bench.turns[1:])) == TOGETHER.max_messages
