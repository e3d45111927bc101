"""Several processes and a pacer that changes, with random delays, in virtual time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given, settings, strategies as st

from bridge.connectors.limits import RateLimit
from bridge.delivery.grants import Grants
from bridge.delivery.leases import LEASE, SHARE
from bridge.delivery.pacer import AHEAD, Grant, Pacer, Request
from tests.support.pacing import most_in, use
from tests.support.virtual_time import run_virtually

TAKEOVERS = 3
FEW_FOR = 10.0
"""Seconds with few calls."""


class Broker:
    """The pace queue: its first consumer is the pacer. Every message takes a while."""

    def __init__(
        self, limit: RateLimit, random: Random, slowest: float, concurrency: int = 50
    ) -> None:
        self.limit = limit
        self.concurrency = concurrency
        self.requests = 0
        self.random = random
        self.slowest = slowest
        self.consumers: list[Process] = []
        self.ready: deque[Request] = deque()
        self.calls: list[float] = []

    def later(self, act: Callable[[], None]) -> None:
        delay = self.random.uniform(0.001, self.slowest)
        asyncio.get_running_loop().call_later(delay, act)

    def publish(self, request: Request) -> None:
        self.requests += 1
        self.ready.append(request)
        self.deliver()

    def deliver(self) -> None:
        while self.ready and self.consumers:
            self.consumers[0].receive(self.ready.popleft())

    def leave(self, process: Process) -> None:
        self.consumers.remove(process)
        self.ready.extendleft(reversed(process.unacked.values()))
        self.deliver()

    def answer(self, queue: str, grant: Grant) -> None:
        for process in self.consumers:
            if process.name == queue:
                process.grants.granted(grant)


class Process:
    """One `deliver` process with an endless backlog."""

    def __init__(self, broker: Broker, name: str) -> None:
        loop = asyncio.get_running_loop()
        skew = broker.random.uniform(0, 1e5)
        clock = lambda: loop.time() + skew  # noqa: E731
        self.name = name
        self.broker = broker
        self.is_alive = True
        self.unacked: dict[int, Request] = {}
        self.grants = Grants("x", broker.limit, self.ask, lambda: 0.0, lambda: False, clock)
        self.pacer = Pacer(name, broker.limit, self.answer, clock)
        broker.consumers.append(self)
        self.tasks: list[asyncio.Future[None]] = []
        self.start(broker.concurrency)

    def start(self, concurrency: int) -> None:
        """Begin to work on the backlog."""
        self.tasks += [asyncio.ensure_future(self.work()) for _ in range(concurrency)]

    def call(self) -> None:
        """Make one call."""
        self.tasks.append(asyncio.ensure_future(self.make()))

    async def work(self) -> None:
        while True:
            await self.make()
            await asyncio.sleep(self.broker.random.uniform(0.001, 0.1))

    async def make(self) -> None:
        await self.grants.take()
        self.broker.calls.append(asyncio.get_running_loop().time())

    def ask(self, number: int, calls: int, alarm: int, lease: float) -> None:
        request = Request(number=number, calls=calls, answers=self.name, lease=lease)
        self.broker.later(lambda: self.broker.publish(request))

    def receive(self, request: Request) -> None:
        self.unacked[id(request)] = request

        def arrive() -> None:
            if self.is_alive:
                self.pacer.asked(request, lambda: self.settle(request))

        self.broker.later(arrive)

    def settle(self, request: Request) -> None:
        self.unacked.pop(id(request), None)

    def answer(self, queue: str, grant: Grant) -> None:
        if self.is_alive:
            self.broker.later(lambda: self.broker.answer(queue, grant))

    def kill(self) -> None:
        self.is_alive = False
        self.pacer.stop()
        for task in self.tasks:
            task.cancel()
        self.broker.leave(self)


async def far_from_it(limit: RateLimit, seed: int, slowest: float) -> tuple[int, list[float]]:
    """Let three processes make few calls, and then as many as they may while pacers die."""
    random = Random(seed)
    broker = Broker(limit, random, slowest, concurrency=0)
    processes = [Process(broker, f"p{n}") for n in range(3)]
    ends = asyncio.get_running_loop().time() + FEW_FOR
    while asyncio.get_running_loop().time() < ends:
        await asyncio.sleep(random.expovariate(limit.rate / 8))
        random.choice(processes).call()
    asked = broker.requests
    for process in processes:
        process.start(50)
    for process in processes[:2]:
        await asyncio.sleep(random.uniform(0, 0.8))
        process.kill()
    await asyncio.sleep(2)
    processes[2].kill()
    return asked, broker.calls


async def simulated(limit: RateLimit, seed: int, slowest: float, seconds: float) -> Broker:
    """Run three processes; one after the other is killed, and one joins."""
    random = Random(seed)
    broker = Broker(limit, random, slowest)
    processes = [Process(broker, f"p{n}") for n in range(TAKEOVERS)]
    for n in range(TAKEOVERS):
        await asyncio.sleep(seconds * random.uniform(0.2, 0.3))
        processes[n].kill()
        processes.append(Process(broker, f"q{n}"))
    await asyncio.sleep(seconds * 0.25)
    for process in processes[TAKEOVERS:]:
        process.kill()
    return broker


@settings(max_examples=30)
@given(
    seed=st.integers(0, 10**6),
    limit=st.sampled_from(
        [RateLimit(150, 15), RateLimit(100, 1), RateLimit(30, 3), RateLimit(5, 1), RateLimit(1)]
    ),
    slowest=st.sampled_from([0.002, 0.02]),
)
def test_the_limit_holds_and_is_used_while_pacers_die(
    seed: int, limit: RateLimit, slowest: float
) -> None:
    seconds = max(10.0, 60 / limit.rate)
    calls = run_virtually(simulated(limit, seed, slowest, seconds)).calls
    assert most_in(calls) <= limit.rate + limit.burst
    lost = TAKEOVERS * (AHEAD + 2 / limit.rate + 0.1 + SHARE * LEASE)
    assert use(calls, limit.rate) >= 0.95 * (1 - lost / seconds)


@pytest.mark.parametrize("slowest", [0.1, 0.2])
def test_the_limit_holds_if_the_broker_is_slow(slowest: float) -> None:
    limit = RateLimit(100, 10)
    for seed in range(3):
        calls = run_virtually(simulated(limit, seed, slowest, 20)).calls
        assert most_in(calls) <= limit.rate + limit.burst
        assert len(calls) > 100


@settings(max_examples=30)
@given(
    seed=st.integers(0, 10**6),
    limit=st.sampled_from(
        [RateLimit(500, 50), RateLimit(150, 15), RateLimit(100, 4), RateLimit(25, 5)]
    ),
    slowest=st.sampled_from([0.002, 0.02, 0.2]),
)
def test_the_limit_holds_when_few_calls_become_many_while_pacers_die(
    seed: int, limit: RateLimit, slowest: float
) -> None:
    asked, calls = run_virtually(far_from_it(limit, seed, slowest))
    assert most_in(calls) <= limit.rate + limit.burst
    if limit.rate >= 500 and slowest < 0.1:
        assert asked < 0.3 * FEW_FOR * limit.rate / 8, "most calls ask for nothing"
