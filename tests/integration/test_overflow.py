"""A stalled conversation overflows: the others of its partition go on, and nothing is lost.

Everything is in one partition of a real RabbitMQ.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from unittest.mock import ANY

import pytest

from bridge.broker.connection import Connection, connect
from bridge.broker.links import Consumer
from bridge.broker.publisher import Publisher
from bridge.broker.queues import Queues
from bridge.broker.topology import Queue, Topology
from bridge.errors import MessageError
from bridge.messages import INBOUND, InboundMessage
from bridge.processing.processor import Processor
from bridge.runtime.retry import RetryPolicy
from tests.support.broker import Broker
from tests.support.dead import dead_letters
from tests.support.links import up
from tests.support.waiting import eventually

BAD = "bad"
PREFETCH = 16


class Bench:
    """Workers of one partition, and what they did, all in this process."""

    def __init__(self, broker: Broker, namespace: str) -> None:
        self.broker = broker
        self.topology = Topology(namespace, inbound_partitions=1, channels=())
        self.publisher = Publisher(broker.url, "test", self.topology)
        self.queues = Queues(self.publisher, self.topology)
        self.fails = True
        self.error: Exception = ValueError("down")
        self.pace = 0.0
        """Seconds that a turn of the bad conversation takes."""
        self.handled: dict[str, list[int]] = defaultdict(list)
        self.by: dict[str, list[str]] = defaultdict(list)
        """Conversation → the workers that handled its messages, in order."""
        self.waits: list[float] = []
        """Seconds from publishing to handling, of all but the bad conversation."""
        self.tried = 0
        """Attempts at messages of the bad conversation."""
        self.running = 0
        self.overlaps = 0

    def known(self) -> int:
        """Return how many messages the worker reports, once none waits in the partition."""
        report = self.processor.report()
        inbound = self.topology.inbound_queues()[0].name
        held = report.held[inbound].number if inbound in report.held else 0
        return held + report.overflowed.get(inbound, 0)

    def worker(self, name: str, priority: int = 1, retry_for: float = 120.0) -> Consumer:
        async def handle(message: InboundMessage) -> None:
            if message.sender_id != BAD:
                self.waits.append(time.time() - message.received_at)
            else:
                self.tried += 1
                self.running += 1
                self.overlaps += self.running > 1
                try:
                    await asyncio.sleep(self.pace)
                finally:
                    self.running -= 1
                if self.fails:
                    raise self.error
            self.handled[message.sender_id].append(int(message.text))
            self.by[message.sender_id].append(name)

        self.processor = processor = Processor(
            InboundMessage,
            handle,
            self.queues,
            concurrency=16,
            policy=RetryPolicy(base=0.1, cap=1.0, max_age=retry_for),
        )
        (queue,) = self.topology.inbound_queues()
        return Consumer(
            self.broker.url,
            name,
            self.topology,
            {queue.name: priority},
            PREFETCH,
            processor.open,
            INBOUND,
        )

    async def send(self, count: int, sender: str = BAD, start: int = 0) -> None:
        await asyncio.gather(
            *(self.queues.put_inbound(message(n, sender)) for n in range(start, start + count))
        )

    async def trickle(self, seconds: float) -> None:
        """Send messages of other conversations, and wait until they are handled."""
        until, n = time.monotonic() + seconds, 0
        while time.monotonic() < until:
            await self.queues.put_inbound(message(n, f"good{n % 7}"))
            n += 1
            await asyncio.sleep(0.02)
        await eventually(lambda: len(self.waits) >= n, "the others are handled")

    def p99(self) -> float:
        return sorted(self.waits)[int(len(self.waits) * 0.99)]

    @property
    def inbound(self) -> str:
        return f"{self.topology.namespace}.inbound.00"

    @property
    def index(self) -> str:
        """A queue that exists while a lane of the partition overflows."""
        return f"{self.topology.namespace}.overflow.inbound.00"


def message(n: int, sender: str) -> InboundMessage:
    return InboundMessage(
        id=f"{sender}-{n}",
        channel="callback",
        sender_id=sender,
        text=str(n),
        input_channel="callback",
        output_channel="callback",
    )


async def everything_is_dead(bench: Bench, count: int) -> list[int]:
    """Wait for this many dead letters; return their numbers, in order."""
    async with connect(bench.broker.url, "test") as connection:
        dead = f"{bench.topology.namespace}.dead.inbound"

        async def enough() -> bool:
            return (await connection.ready_messages(dead) or 0) >= count

        await eventually(enough, f"{count} dead letters")
    letters = await dead_letters(bench.broker.url, bench.topology.namespace)
    return [int(letter.body["text"]) for letter in letters]


async def nothing_is_left(bench: Bench) -> None:
    """Wait until the inbound queue is empty, and no overflow queue exists.

    The last one is deleted with a later message of the partition.
    """
    names = [bench.inbound, bench.index]
    async with connect(bench.broker.url, "test") as connection:

        async def only_the_empty_queue() -> bool:
            await bench.queues.put_inbound(message(0, "later"))
            return await connection.depths(names) == {bench.inbound: (0, ANY, None)}

        await eventually(only_the_empty_queue)


async def overflows(bench: Bench) -> None:
    """Wait until the conversation overflows and nothing of it waits in its partition."""
    async with connect(bench.broker.url, "test") as connection:

        async def moved() -> bool:
            depths = await connection.depths([bench.inbound, bench.index])
            return bench.index in depths and depths[bench.inbound].ready == 0

        await eventually(moved)


async def test_a_conversation_of_failing_messages_does_not_delay_the_others(
    broker: Broker, namespace: str
) -> None:
    bench = Bench(broker, namespace)
    retry_for = 12.0
    async with up(bench.publisher, bench.worker("a", retry_for=retry_for)):
        await bench.send(80)
        await bench.trickle(5)
        print(f"the others waited {bench.p99():.2f} s (p99)")
        assert bench.p99() < retry_for / 2, "the others waited for the failing conversation"
        assert await everything_is_dead(bench, 80) == list(range(80))
        await nothing_is_left(bench)


async def test_a_conversation_that_recovers_goes_on_in_order(
    broker: Broker, namespace: str
) -> None:
    bench = Bench(broker, namespace)
    async with up(bench.publisher, bench.worker("a")):
        await bench.send(100)
        await overflows(bench)
        await bench.send(50, start=100)
        await eventually(lambda: bench.known() == 150)
        bench.fails = False
        await bench.send(50, start=150)
        await eventually(lambda: len(bench.handled[BAD]) >= 200)
        assert bench.handled[BAD] == list(range(200))
        await nothing_is_left(bench)
        # The lane is as any other again.
        await bench.send(1, start=200)
        await eventually(lambda: bench.handled[BAD][-1] == 200)
    assert not bench.overlaps


async def test_a_slow_conversation_does_not_delay_the_others(
    broker: Broker, namespace: str
) -> None:
    bench = Bench(broker, namespace)
    bench.fails, bench.pace = False, 0.4
    async with up(bench.publisher, bench.worker("a")):
        await bench.send(60)
        await bench.trickle(2)
        print(f"the others waited {bench.p99():.2f} s (p99)")
        bench.pace = 0.0
        await eventually(lambda: len(bench.handled[BAD]) >= 60)
        assert bench.handled[BAD] == list(range(60))
        await nothing_is_left(bench)


@pytest.mark.parametrize("what", ["is rejected", "is quick"])
async def test_the_others_do_not_wait_until_a_conversation_of_short_turns_has_ended(
    broker: Broker, namespace: str, what: str
) -> None:
    bench = Bench(broker, namespace)
    bench.fails, bench.error, bench.pace = what == "is rejected", MessageError("rejected"), 0.1
    async with up(bench.publisher, bench.worker("a")):
        await bench.send(150)
        await bench.send(1, "good")
        await eventually(lambda: bench.waits, "the other one is handled")
        assert bench.tried < 75, "behind most of the conversation"
        bench.pace = 0.0
        if bench.fails:
            assert await everything_is_dead(bench, 150) == list(range(150))
        else:
            await eventually(lambda: len(bench.handled[BAD]) >= 150)
            assert bench.handled[BAD] == list(range(150))
        await nothing_is_left(bench)


@pytest.mark.parametrize("when", ["before the oldest is settled", "after it"])
async def test_the_next_process_goes_on_after_a_crash(
    broker: Broker, namespace: str, when: str
) -> None:
    bench = Bench(broker, namespace)
    async with up(bench.publisher):
        async with up(bench.worker("a")):
            await bench.send(60)
            await overflows(bench)
            if when == "after it":
                bench.fails, bench.pace = False, 0.1
                await eventually(lambda: len(bench.handled[BAD]) >= 5)
        done = len(bench.handled[BAD])
        bench.fails, bench.pace = False, 0.0
        async with up(bench.worker("b")):
            await bench.send(20, start=60)
            await eventually(lambda: len(bench.handled[BAD]) >= 80)
            await nothing_is_left(bench)
    # At most the turn that was under way is repeated.
    assert bench.handled[BAD] == list(range(80))
    assert bench.by[BAD] == ["a"] * done + ["b"] * (80 - done)
    assert not bench.overlaps


async def test_a_takeover_does_not_wait_for_a_failing_message(
    broker: Broker, namespace: str
) -> None:
    bench = Bench(broker, namespace)
    async with up(bench.publisher, bench.worker("a")):
        await bench.send(40)
        await overflows(bench)
        async with up(bench.worker("b", priority=10)):
            await bench.trickle(5)
            assert "b" in {worker for workers in bench.by.values() for worker in workers}
            bench.fails = False
            await eventually(lambda: len(bench.handled[BAD]) >= 40)
            await nothing_is_left(bench)
    assert bench.handled[BAD] == list(range(40))
    assert set(bench.by[BAD]) == {"b"}
    assert not bench.overlaps


async def test_a_takeover_does_not_wait_for_a_long_overflow(broker: Broker, namespace: str) -> None:
    bench = Bench(broker, namespace)
    async with up(bench.publisher, bench.worker("a")):
        await bench.send(60)
        await overflows(bench)
        bench.fails, bench.pace = False, 0.2
        await eventually(lambda: len(bench.handled[BAD]) >= 2)
        async with up(bench.worker("b", priority=10)):
            await bench.trickle(6)
            assert "b" in bench.by[BAD]
            bench.pace = 0.0
            await eventually(lambda: len(bench.handled[BAD]) >= 60)
            await nothing_is_left(bench)
    assert bench.handled[BAD] == list(range(60))
    assert bench.by[BAD] == sorted(bench.by[BAD])
    assert not bench.overlaps


async def goes_on(bench: Bench) -> None:
    """Have the failing conversation end well: with its 60 messages, and five that follow."""
    bench.fails = False
    await eventually(lambda: len(set(bench.handled[BAD])) >= 60)
    await bench.send(5, start=60)
    await eventually(lambda: len(set(bench.handled[BAD])) >= 65)
    await nothing_is_left(bench)


async def test_a_broker_that_is_killed_while_a_lane_begins_to_overflow_costs_nothing(
    own_broker: Broker, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    """RabbitMQ 4.0 loses a quorum queue that is younger than about a second."""
    caplog.set_level("WARNING")
    bench = Bench(own_broker, namespace)
    async with up(bench.publisher, bench.worker("a")):
        await bench.send(60)
        await eventually(lambda: "overflows" in caplog.text)
        await asyncio.to_thread(own_broker.kill)
        await asyncio.to_thread(own_broker.start)
        await goes_on(bench)
    # The turn that ran when the broker was killed may run again.
    assert list(dict.fromkeys(bench.handled[BAD])) == list(range(65))
    assert len(bench.handled[BAD]) <= 66
    assert not bench.overlaps


async def test_a_broker_that_is_killed_while_overflow_queues_are_declared_costs_nothing(
    own_broker: Broker,
    namespace: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Then the overflow queue never answers, but nothing was published to it."""
    caplog.set_level("WARNING")
    bench = Bench(own_broker, namespace)
    declare, reached, killed = Connection.declare, asyncio.Event(), asyncio.Event()

    async def declare_a_part(
        self: Connection, exchanges: tuple[str, ...], queues: list[Queue], *, passive: bool
    ) -> None:
        if not reached.is_set() and any(queue.name.endswith(".last") for queue in queues):
            await declare(self, exchanges, queues[:3], passive=passive)
            reached.set()
            await killed.wait()
        await declare(self, exchanges, queues, passive=passive)

    monkeypatch.setattr(Connection, "declare", declare_a_part)
    async with up(bench.publisher, bench.worker("a")):
        await bench.send(60)
        await reached.wait()
        await asyncio.to_thread(own_broker.kill)
        killed.set()
        await asyncio.to_thread(own_broker.start)
        await eventually(lambda: "overflows" in caplog.text)
        await goes_on(bench)
    assert list(dict.fromkeys(bench.handled[BAD])) == list(range(65))
    assert not bench.overlaps
