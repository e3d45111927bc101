"""A share of the recipients fails: the others do not notice. Simulated in virtual time."""

from __future__ import annotations

import asyncio
import itertools
import statistics
from dataclasses import dataclass, field
from random import Random

import pytest

from bridge.delivery.circuit_breaker import LONGEST_PAUSE, CircuitBreaker
from bridge.errors import RetryableDeliveryError, ServiceUnavailable
from bridge.processing.admission import Slots
from bridge.runtime.retry import RetryPolicy
from tests.support.virtual_time import run_virtually

POLICY = RetryPolicy()
STALL = 15.0
SLOWEST = 0.06
"""Maximum seconds of an accepted call."""
REFUSED = 0.002
"""Seconds until a failing recipient's 429 or 500: faster than an accepted call."""
ERRORS = {
    "429": RetryableDeliveryError("HTTP 429", 1.0),
    "500": RetryableDeliveryError("HTTP 500"),
    "stall": RetryableDeliveryError("the service did not answer in time"),
    "gone": ServiceUnavailable("no connection"),
}


@dataclass
class Channel:
    """Lanes that deliver replies through the real breaker and slots, to a simulated service."""

    how: dict[int, str]
    """Failing recipient → key of `ERRORS`."""
    random: Random
    took: dict[int, list[float]] = field(default_factory=dict)
    """Recipient → seconds from each reply's arrival to its acceptance."""
    calls: list[float] = field(default_factory=list)
    """When each call was made."""

    def __post_init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.breaker = CircuitBreaker("simulated", loop.time, self.random)
        self.slots = Slots(256)
        self.lanes: dict[int, asyncio.Task[None]] = {}
        self.waiting: dict[int, list[float]] = {}

    def reply(self, recipient: int) -> None:
        """Put a reply on the lane of its recipient."""
        now = asyncio.get_running_loop().time()
        self.waiting.setdefault(recipient, []).append(now)
        lane = self.lanes.get(recipient)
        if lane is None or lane.done():
            self.lanes[recipient] = asyncio.create_task(self._lane(recipient))

    async def _lane(self, recipient: int) -> None:
        clock = asyncio.get_running_loop().time
        while self.waiting[recipient]:
            await self._deliver(recipient)
            arrived = self.waiting[recipient].pop(0)
            self.took.setdefault(recipient, []).append(clock() - arrived)

    async def _deliver(self, recipient: int) -> None:
        for attempt in itertools.count(1):
            while not self.breaker.is_open:
                await self.breaker.passage(recipient)
                if self.breaker.may_call(recipient):
                    break
            error = await self._attempt(recipient)
            if error is None:
                return
            if self.breaker.is_open:
                self.slots.failed(recipient)
                delay = POLICY.delay(attempt, 0, error.retry_after, self.random.uniform)
                await asyncio.sleep(delay or 0)

    async def _attempt(self, recipient: int) -> RetryableDeliveryError | None:
        async with self.slots.hold(recipient):
            if not self.breaker.may_call(recipient):
                return ServiceUnavailable("held back")
            self.breaker.started(recipient)
            self.calls.append(asyncio.get_running_loop().time())
            kind = self.how.get(recipient)
            try:
                if kind is None:
                    await asyncio.sleep(self.random.uniform(SLOWEST / 3, SLOWEST))
                    self.breaker.succeeded(recipient)
                    self.slots.succeeded(recipient)
                    return None
                await asyncio.sleep(STALL if kind == "stall" else REFUSED)
                error = ERRORS[kind]
                self.breaker.failed(recipient, error)
                return error
            finally:
                self.breaker.left(recipient)


async def traffic(channel: Channel, recipients: list[int], rate: float, seconds: float) -> None:
    """Send replies to these recipients in turn."""
    for n in range(int(rate * seconds)):
        channel.reply(recipients[n % len(recipients)])
        await asyncio.sleep(1 / rate)


async def scenario(
    seed: int, start: str, how: dict[int, str], recipients: int, rate: float
) -> tuple[Channel, list[float]]:
    """Return the channel, and the seconds that replies to healthy recipients took."""
    random = Random(seed)
    channel = Channel(how, random)
    everyone = list(range(recipients))
    random.shuffle(everyone)
    healthy = [r for r in everyone if r not in how]
    if start == "busy":
        await traffic(channel, healthy, rate, 3.0)
    if start == "only the failing":
        # At night: for a while, no other recipient has a reply.
        await traffic(channel, list(how), max(0.5, len(how) / 8), 40.0)
    if start == "the failing first":
        everyone.sort(key=lambda r: r not in how)
    if start == "burst":
        for recipient in everyone:
            channel.reply(recipient)
    channel.took.clear()
    await traffic(channel, everyone, rate, 4.0)
    await asyncio.sleep(1.5)
    return channel, [t for r in healthy for t in channel.took.get(r, [])]


def p99(times: list[float]) -> float:
    return statistics.quantiles(times, n=100)[98]


STARTS = ("quiet", "busy", "burst", "only the failing", "the failing first")


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("kind", ["429", "500", "stall", "mixed"])
def test_a_failing_tenth_does_not_delay_the_others(start: str, kind: str) -> None:
    for seed in range(2):
        kinds = itertools.cycle(("429", "500", "stall") if kind == "mixed" else (kind,))
        failing = Random(seed).sample(range(200), 20)
        how = dict(zip(failing, kinds, strict=False))
        _, times = run_virtually(scenario(seed, start, how, 200, 100.0))
        assert len(times) >= 360
        assert max(times) <= 1.0, (seed, max(times))
        assert p99(times) <= 1.5 * SLOWEST, (seed, p99(times))


@pytest.mark.parametrize("share", [0.01, 0.25, 0.5])
@pytest.mark.parametrize("start", STARTS)
def test_any_share_up_to_half_delays_the_others_by_a_second_at_most(
    start: str, share: float
) -> None:
    for seed, kind in enumerate(("500", "stall")):
        failing = Random(seed).sample(range(100), max(1, int(100 * share)))
        how = dict.fromkeys(failing, kind)
        _, times = run_virtually(scenario(seed, start, how, 100, 50.0))
        assert times
        assert max(times) <= 1.0, (seed, kind, max(times))


async def outage(seed: int, kind: str, recipients: int, seconds: float) -> Channel:
    """A service that is down as a whole, and then back."""
    channel = Channel(dict.fromkeys(range(recipients), kind), Random(seed))
    await traffic(channel, list(range(recipients)), 20.0, seconds)
    return channel


@pytest.mark.parametrize(("kind", "within"), [("500", 8), ("429", 8), ("stall", 40), ("gone", 1)])
def test_a_dead_service_opens_the_breaker_and_gets_few_calls(kind: str, within: float) -> None:
    async def main(seed: int, recipients: int) -> None:
        channel = await outage(seed, kind, recipients, within)
        assert not channel.breaker.is_open
        made = len(channel.calls)
        await traffic(channel, list(range(recipients)), 20.0, 30.0)
        assert not channel.breaker.is_open
        assert len(channel.calls) - made <= 30 * 5
        channel.how.clear()
        # If every lane is a probe that stalls, the breaker learns nothing before the first ends.
        await asyncio.sleep(LONGEST_PAUSE + (STALL if recipients == 5 else 0) + 0.1)
        assert channel.breaker.is_open, seed

    for seed, recipients in itertools.product(range(3), (5, 100)):
        run_virtually(main(seed, recipients))
