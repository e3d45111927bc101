"""Measures the CPU time that fairness and pacing cost where nothing needs them. Asserts nothing.

    python -m tests.bench.unneeded [--messages 4000] [--rounds 15] [--no-pipeline]

Runs what a worker and `deliver` do between a delivery and its ack, in this process and without a
broker: once as it is, and once without windows, overflow, locks of partitions, priorities, retry
budgets, and paces. The rounds are interleaved. Then runs the whole pipeline (`tests.bench.pipeline`
without its peers), for the CPU time that a message takes in these roles and in all processes.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Hashable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from bridge.broker.topology import Topology
from bridge.delivery.circuit_breaker import CircuitBreaker
from bridge.delivery.dispatcher import Dispatcher
from bridge.delivery.recipients import Recipients
from bridge.messages import InboundMessage, Message, Priority, Reply
from bridge.processing.admission import Slots
from bridge.processing.attempts import Attempts
from bridge.processing.budget import RetryBudgets
from bridge.processing.generation import ProcessorGeneration
from bridge.processing.lanes import Lane
from bridge.processing.overflow import Overflows
from bridge.processing.partitions import Partitions
from bridge.processing.processor import Processor
from bridge.processing.returns import Returns
from bridge.processing.windows import Windows
from tests.bench.pipeline import WARM_UP, play, start_bridge, summary
from tests.support.broker import make_broker
from tests.support.fakes import FakePublisher, a_delivery, a_reply, an_inbound
from tests.support.processes import Project
from tests.support.service import FakeService

TOPOLOGY = Topology("bench", channels=["callback"])
AT_ONCE = 16
"""Messages that are delivered together, of as many conversations."""


def _nothing(*_: Any, **__: Any) -> None:
    return None


def _never(*_: Any, **__: Any) -> bool:
    return False


async def _same(_: Attempts[Any], delivery: Any, *__: Any) -> Any:
    return delivery


async def _ack(_: Partitions[Any], delivery: Any) -> None:
    await delivery.ack()


def _run(partitions: Partitions[Any], _: Any, work: Any) -> None:
    partitions._run(work)


def _put(overflows: Overflows[Any], delivery: Any, message: Any) -> None:
    overflows._lanes.put(message.lane(), (delivery, message))


def _next(lane: Lane[Any]) -> Any:
    lane.since, lane.head = None, lane.items.popleft()
    return lane.head


@contextlib.asynccontextmanager
async def _hold(slots: Slots, lane: Hashable, priority: Priority) -> AsyncIterator[None]:
    """Hold one of the slots, as a semaphore does."""
    slots._free -= 1
    try:
        yield
    finally:
        slots._free += 1


PARTS: list[tuple[Any, str, Any]] = [
    (Windows, "enter", _nothing),
    (Windows, "leave", _nothing),
    (Partitions, "admit", _run),
    (Partitions, "settle", _ack),
    (Returns, "is_back", _never),
    (Returns, "is_overtaking", _never),
    (Overflows, "defer", _never),
    (Overflows, "put", _put),
    (Overflows, "forget", _nothing),
    (Lane, "next", _next),
    (Lane, "__bool__", lambda lane: bool(lane.items)),
    (Slots, "hold", _hold),
    (RetryBudgets, "renew", _nothing),
    (Attempts, "_keep_pace", _same),
    (ProcessorGeneration, "_note_urgent", _nothing),
    (Recipients, "wait", lambda *_: 0.0),
    (Recipients, "called", _nothing),
    (Recipients, "left", _nothing),
]
"""What does nothing in the rounds without fairness and pacing."""


@contextlib.contextmanager
def without() -> Iterator[None]:
    """Switch fairness and pacing off inside the block."""
    with contextlib.ExitStack() as stack:
        for where, name, replacement in PARTS:
            stack.enter_context(mock.patch.object(where, name, replacement))
        yield


class Connector:
    """Stands in for a connector whose service answers at once."""

    whole_responses = True

    def unprefixed(self, reply: Reply) -> Reply:
        return reply

    def split(self, reply: Reply) -> list[Reply]:
        return [reply]

    async def deliver(self, part: Reply, http: object) -> None:
        await asyncio.sleep(0)


def worker() -> Processor[Any]:
    """Return what a worker processes messages with; its turns do nothing."""

    async def handle(message: InboundMessage) -> None:
        await asyncio.sleep(0)

    return Processor(
        InboundMessage,
        handle,
        FakePublisher().queues(TOPOLOGY),
        concurrency=16,
        slow=128,
        urgent=8,
        throttled=True,
        timeout=60.0,
        owners=TOPOLOGY.owners(),
    )


def deliver() -> Processor[Any]:
    """Return what `deliver` processes replies with."""
    connector, http = Connector(), None
    breaker = CircuitBreaker("callback")
    dispatcher = Dispatcher(connector, http, breaker)  # type: ignore[arg-type]
    return Processor(
        Reply,
        dispatcher.deliver,
        FakePublisher().queues(TOPOLOGY),
        concurrency=50,
        gate=dispatcher.gate,
        pace=dispatcher.recipients,
        channel="callback",
    )


async def cpu(processor: Processor[Any], make: Callable[[int], Message], messages: int) -> float:
    """Return the CPU time in µs of a message from its delivery to its ack."""
    left = 0
    settled = asyncio.Event()

    async def ack() -> None:
        nonlocal left
        left -= 1
        if not left:
            settled.set()

    queue = TOPOLOGY.inbound_queues()[0].name
    deliveries = [a_delivery(make(n), queue=queue, ack=ack) for n in range(messages)]
    generation = processor.open()
    began = time.process_time()
    for start in range(0, messages, AT_ONCE):
        batch = deliveries[start : start + AT_ONCE]
        left = len(batch)
        settled.clear()
        for delivery in batch:
            generation.admit(delivery)
        await settled.wait()
    used = time.process_time() - began
    await generation.cancel()
    return used / messages * 1e6


async def core(messages: int, rounds: int) -> dict[str, float]:
    """Print what fairness and pacing cost each role; return it, in µs per message."""
    extra = {}
    for role, processor, make in (
        ("worker", worker, lambda n: an_inbound(f"m{n}", sender_id=f"c{n % AT_ONCE}")),
        ("deliver", deliver, lambda n: a_reply(f"m{n}:0", recipient_id=f"c{n % AT_ONCE}")),
    ):
        found: dict[str, list[float]] = {"with": [], "without": []}
        for _ in range(rounds):
            for name in found:
                with without() if name == "without" else contextlib.nullcontext():
                    gc.collect()
                    found[name].append(await cpu(processor(), make, messages))
        pairs = zip(found["with"], found["without"], strict=True)
        differences = [more - less for more, less in pairs]
        extra[role] = statistics.median(differences)
        low, *_, high = statistics.quantiles(differences, n=4)
        print(
            f"{role:8} core: {statistics.median(found['with']):.1f} µs per message,"
            f" without fairness and pacing {statistics.median(found['without']):.1f} µs;"
            f" difference {extra[role]:.1f} ({low:.1f} to {high:.1f})"
        )
    return extra


async def whole(rounds: int, messages: int) -> dict[str, float]:
    """Return the CPU time of a message in each role and in all, in µs."""
    broker, service = make_broker(), FakeService()
    broker.start()
    await service.start()
    project = Project(Path(tempfile.mkdtemp()), broker.url, "bench")
    try:
        running = await start_bridge(project, service.url)
        await play(running, service, broker, WARM_UP)
        played = [await play(running, service, broker, messages) for _ in range(rounds)]
    finally:
        project.close()
        await service.stop()
        broker.close()
    return {name: median for name, (median, _, _) in summary(played).items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--messages", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--no-pipeline", action="store_true", help="measure the core only")
    options = parser.parse_args()
    extra = asyncio.run(core(options.messages, options.rounds))
    if options.no_pipeline:
        return
    all_of = asyncio.run(whole(3, 600))
    for role, microseconds in extra.items():
        share = microseconds / all_of[role]
        print(f"{role}: {microseconds:.1f} of {all_of[role]:.0f} µs per message, {share:.1%}")
    total = sum(extra.values())
    print(f"all: {total:.1f} of {all_of['sum']:.0f} µs per message, {total / all_of['sum']:.1%}")


if __name__ == "__main__":
    main()
