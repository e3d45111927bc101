"""Measures what RabbitMQ's CPU time per message depends on. Asserts nothing.

    python -m tests.bench.broker_share [--messages 500] [--rounds 20] [--only WORD]

Starts a private broker. This process plays the pipeline as a client that costs next to nothing:
senders publish to the inbound partitions, a worker answers each message and acks it, and `deliver`
acks the reply. Each variant has its queues and connections, and changes one thing. The slices of
all variants alternate. Prints the CPU time of the broker, and its ratio to that of the unchanged
variant in the same round: median and quartiles.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import statistics
import time
from collections import defaultdict, deque
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

import uvloop

from bridge.broker.arguments import HELD_AT_MOST, HOLD, partition_arguments
from bridge.broker.connection import Connection, connect
from bridge.broker.fast_path.codec import ACK, METHOD, MULTIPLE, Encoder, method_id, tag_and_bits
from bridge.broker.fast_path.consuming import Consuming, Received
from bridge.broker.fast_path.tap import Tap
from bridge.broker.hashing import partition_of
from bridge.broker.library import underlay
from bridge.messages import INBOUND
from tests.bench.cpu import seconds
from tests.support.broker import ScriptBroker

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TURN = 170e-6
"""Seconds of CPU time that each role spends on a message."""
CALL = 0.001
"""Seconds of a call to the service."""


class Variant(NamedTuple):
    """What is changed."""

    name: str = "unchanged"
    inbound: int = 32
    replies: int = 8
    senders: int = 20
    body: int = 230
    headers: int = 0
    """Beside that of the trace."""
    prefetch: int = 100
    left_out: tuple[str, ...] = ()
    """Arguments of the queues."""
    arguments: dict[str, int] = {}
    """More of them."""
    single_acks: bool = False
    write_each: bool = False
    default_exchange: bool = False


SAC, DEAD = "x-single-active-consumer", ("x-dead-letter", "x-delivery-limit", "x-overflow")
VARIANTS = (
    Variant(),
    Variant("unchanged again"),
    Variant("single acks", single_acks=True),
    Variant("a write for each message", write_each=True),
    Variant("8 and 8 partitions", inbound=8),
    Variant("8 and 2 partitions", inbound=8, replies=2),
    Variant("1 and 1 partitions", inbound=1, replies=1),
    Variant("80 senders", senders=80),
    Variant("8 more headers", headers=8),
    Variant("a body of 1,000 bytes", body=1000),
    Variant("the default exchange", default_exchange=True),
    Variant("prefetch 1,000", prefetch=1000),
    Variant("no single active consumer", left_out=(SAC,)),
    Variant("no dead letters, limit, overflow", left_out=DEAD),
    Variant("a time to live", arguments={"x-message-ttl": 86_400_000}),
)


class Publishes:
    """Publishes on one channel, and calls back with each confirm."""

    def __init__(self, tap: Tap, channel: int, variant: Variant) -> None:
        self._tap, self._variant = tap, variant
        self._encoder = Encoder(channel, 1 << 17)
        self._waiting: dict[int, Callable[[], None]] = {}
        self._tags = itertools.count(1)
        self._headers = {f"x-more-{n}": f"the value of header {n}" for n in range(variant.headers)}
        tap.attach(channel, self)

    def publish(self, exchange: str, key: str, sender: int, then: Callable[[], None]) -> None:
        self._waiting[next(self._tags)] = then
        frames = self._encoder.publish(
            exchange,
            key,
            str(sender).encode().ljust(self._variant.body),
            kind="inbound",
            correlation_id=TRACE[3:35],
            message_id=TRACE[3:35],
            reply_to=None,
            headers={"traceparent": TRACE, **self._headers},
        )
        self._tap.write(frames)
        if self._variant.write_each:
            self._tap.flush()

    def take(self, kind: int, channel: int, data: bytes, start: int, end: int) -> int:
        if kind != METHOD or method_id.unpack_from(data, start)[0] != ACK:
            return 0
        tag, bits = tag_and_bits.unpack_from(data, start + 4)
        older = list(itertools.takewhile(tag.__ge__, self._waiting))
        for each in older if bits & MULTIPLE else [tag]:
            self._waiting.pop(each)()
        return end + 1

    def close(self) -> None: ...


class Pipeline:
    """All roles of one variant, with their connections."""

    def __init__(self, namespace: str, variant: Variant) -> None:
        self._namespace, self.variant = namespace, variant
        self._lanes: defaultdict[int, deque[Callable[[], None]]] = defaultdict(deque)
        self._left = self._delivered = 0
        self._done: asyncio.Future[None]

    async def open(self, url: str, stack: AsyncExitStack) -> None:
        names = ("webhook", "worker publishes", "worker", "deliver")
        webhook, answers, worker, deliver = [
            await stack.enter_async_context(connect(url, name)) for name in names
        ]
        inbound = await self._declare(webhook, "inbound", self.variant.inbound)
        replies = await self._declare(webhook, "replies", self.variant.replies)
        self._webhook = await self._publishes(webhook)
        self._answers = await self._publishes(answers)
        await self._consume(worker, inbound, self._at_worker)
        await self._consume(deliver, replies, self._at_deliver)

    async def _declare(self, connection: Connection, flow: str, count: int) -> list[str]:
        exchange = f"{self._namespace}.{flow}"
        given = {
            **partition_arguments(f"{self._namespace}.dead", INBOUND),
            **self.variant.arguments,
        }
        left_out = self.variant.left_out
        arguments = {k: v for k, v in given.items() if not (left_out and k.startswith(left_out))}
        names = [f"{exchange}.{n}" for n in range(count)]
        async with connection.channel() as channel:
            await channel.declare_exchange(exchange, "direct", durable=True)
            for name in names:
                queue = await channel.declare_queue(name, durable=True, arguments=arguments)
                await queue.bind(exchange, name)
        return names

    async def _publishes(self, connection: Connection) -> Publishes:
        channel = await connection._connection.channel(publisher_confirms=True)
        assert connection._tap is not None
        return Publishes(connection._tap, (await underlay(channel)).number, self.variant)

    async def _consume(
        self, connection: Connection, queues: list[str], then: Callable[[Consuming, Received], None]
    ) -> None:
        channel = await connection._connection.channel(publisher_confirms=False)
        await channel.set_qos(prefetch_count=self.variant.prefetch)
        behind = await underlay(channel)
        assert connection._tap is not None
        consuming = Consuming(connection._tap, behind.number)
        # Otherwise acks are joined if nothing older is held.
        consuming._are_all_seen = not self.variant.single_acks
        for queue in queues:
            consuming.on(queue, lambda received: then(consuming, received))
            arguments = {"x-priority": 5, HOLD: HELD_AT_MOST}
            await behind.basic_consume(queue, _never, arguments=arguments, consumer_tag=queue)

    async def run(self, messages: int) -> None:
        """Return once all messages are delivered."""
        self._left = self._delivered = messages
        self._done = asyncio.get_running_loop().create_future()
        for sender in range(self.variant.senders):
            self._send(sender)
        await self._done
        await asyncio.sleep(0.05)  # the last acks

    def _publish(self, by: Publishes, flow: str, sender: int, then: Callable[[], None]) -> None:
        _work()
        count = self.variant.inbound if flow == "inbound" else self.variant.replies
        exchange = f"{self._namespace}.{flow}"
        queue = f"{exchange}.{partition_of(f'sender-{sender}', count)}"
        by.publish("" if self.variant.default_exchange else exchange, queue, sender, then)

    def _send(self, sender: int) -> None:
        if self._left > 0:
            self._left -= 1
            self._publish(self._webhook, "inbound", sender, lambda: self._send(sender))

    def _at_worker(self, consuming: Consuming, received: Received) -> None:
        sender = int(received.body)
        lane = self._lanes[sender]

        def confirmed() -> None:
            consuming.settle(received.tag)
            lane.popleft()
            if lane:
                lane[0]()

        lane.append(lambda: self._publish(self._answers, "replies", sender, confirmed))
        if len(lane) == 1:
            lane[0]()

    def _at_deliver(self, consuming: Consuming, received: Received) -> None:
        _work()
        asyncio.get_running_loop().call_later(CALL, self._called, consuming, received.tag)

    def _called(self, consuming: Consuming, tag: int) -> None:
        consuming.settle(tag)
        self._delivered -= 1
        if not self._delivered:
            self._done.set_result(None)


def _never(_: Any) -> None:
    """The fast path takes every delivery."""


def _work() -> None:
    until = time.perf_counter() + TURN
    while time.perf_counter() < until:
        pass


async def measure(variants: list[Variant], messages: int, rounds: int) -> None:
    broker = ScriptBroker()
    broker.start()
    found: dict[str, list[float]] = defaultdict(list)
    try:
        pid = int((broker.data / "pid").read_text())
        async with AsyncExitStack() as stack:
            pipelines = [Pipeline(f"n{n}", variant) for n, variant in enumerate(variants)]
            for pipeline in pipelines:
                await pipeline.open(broker.url, stack)
                await pipeline.run(messages)
            for n in range(rounds):
                for pipeline in pipelines if n % 2 else reversed(pipelines):
                    before = seconds(pid)
                    await pipeline.run(messages)
                    took = (seconds(pid) - before) / messages * 1e6
                    found[pipeline.variant.name].append(took)
    finally:
        broker.close()
    unchanged = found[variants[0].name]
    for name, values in found.items():
        ratios = [value / other for value, other in zip(values, unchanged, strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        ratio = f"{middle:.2f} ({low:.2f} to {high:.2f})"
        print(f"{name:34} {statistics.median(values):5.0f} µs  {ratio}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--messages", type=int, default=500, help="of a slice")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--only", default="", help="only variants whose name contains this")
    options = parser.parse_args()
    chosen = [v for v in VARIANTS if options.only in v.name or v is VARIANTS[0]]
    uvloop.install()
    asyncio.run(measure(chosen, options.messages, options.rounds))
