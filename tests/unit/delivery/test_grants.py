"""The calls of one process: they wait for moments that the pacer promised. In virtual time."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from bridge.connectors.limits import RateLimit
from bridge.delivery.grants import RENEW, VALID, Grants
from bridge.delivery.pacer import RESUME, Grant, late
from bridge.delivery.pacers_clock import ENOUGH
from bridge.errors import ServiceUnavailable
from tests.support.virtual_time import virtually

LIMIT = RateLimit(100, 10)


class World:
    """A process without a pacer: the test answers its requests."""

    def __init__(self, limit: RateLimit = LIMIT) -> None:
        self.loop = asyncio.get_running_loop()
        self.requests: list[tuple[int, int, bool]] = []
        self.share = 0.0
        self.is_blocked = False
        self.calls: list[float] = []
        self.grants = Grants(
            "callback",
            limit,
            lambda *request: self.requests.append(request[:3]),
            lambda: self.share,
            lambda: self.is_blocked,
            self.loop.time,
            Random(1),
        )
        self.start = self.loop.time()

    def wait_for(self, calls: int) -> list[asyncio.Task[None]]:
        return [asyncio.ensure_future(self._call()) for _ in range(calls)]

    async def _call(self) -> None:
        await self.grants.take()
        self.calls.append(round(self.loop.time() - self.start, 3))

    def grant(
        self, *moments: float, number: int | None = None, pacer: str = "p", took: float = 0.0
    ) -> None:
        """Answer a request; `took` is the time of the answer, plus the difference of the clocks."""
        at = self.loop.time() - took
        number = self.requests[-1][0] if number is None else number
        asked_at = at - (self.loop.time() - self.grants._sent.get(number, 0.0)) + abs(took) % 1
        grant = Grant(number=number, pacer=pacer, asked_at=asked_at, at=at, moments=list(moments))
        self.grants.granted(grant)


@virtually
async def test_a_call_is_made_at_its_moment() -> None:
    world = World()
    world.wait_for(3)
    await asyncio.sleep(0.01)
    world.grant(0, 0.1, 0.5)
    await asyncio.sleep(1)
    assert world.calls == [0.01, 0.11, 0.51]


@virtually
async def test_there_is_one_request_until_it_is_answered_and_it_is_repeated() -> None:
    world = World()
    world.wait_for(1)
    await asyncio.sleep(0.1)
    assert world.requests == [(1, 0, False)], "the first one asks for the time"
    world.grant()
    assert world.requests[1:] == [(2, 1, False)]
    world.wait_for(4)
    await asyncio.sleep(0.1)
    assert len(world.requests) == 2
    await asyncio.sleep(RENEW * 1.25)
    assert world.requests[2:] == [(3, 5, False)]
    world.grant(0, 0.01)
    assert world.requests[3:] == [(4, 3, False)], "the rest is asked for at once"


@virtually
async def test_a_moment_without_a_call_is_lost() -> None:
    world = World()
    (first,) = world.wait_for(1)
    await asyncio.sleep(0.01)
    world.grant(0.0, 0.1, 0.2)
    await first
    await asyncio.sleep(0.2 + late(LIMIT) + 0.01)
    world.wait_for(1)
    await asyncio.sleep(0.5)
    assert len(world.calls) == 1
    assert len(world.requests) == 2


@virtually
async def test_far_from_the_limit_most_calls_wait_for_nothing_even_without_a_lease() -> None:
    world = World(RateLimit(1000, 100))
    for _ in range(100):
        world.wait_for(1)
        await asyncio.sleep(0.001)
        if (asked := world.requests[-1])[0] in world.grants._sent:
            world.grant(*[0.0] * asked[1])
        await asyncio.sleep(0.009)
    assert len(world.calls) >= 99
    assert len(world.requests) < 40
    assert sum(calls for _, calls, _ in world.requests) < 125, "and few moments are lost"


@virtually
async def test_near_the_limit_only_calls_that_wait_are_asked_for() -> None:
    world = World()
    world.wait_for(2)
    await asyncio.sleep(0.01)
    for number in range(20):
        world.grant(*[0.0, 0.01][: world.requests[-1][1]])
        await asyncio.sleep(0.05)
        world.wait_for(2)
        await asyncio.sleep(0.01)
        assert world.requests[-1][1] == 2, number


@virtually
async def test_the_moments_of_a_late_answer_are_late_or_lost_but_do_not_move() -> None:
    world = World()
    world.wait_for(5)
    await asyncio.sleep(0.01)
    world.grant(0.0, took=0.002)  # the clocks are known from now on
    await asyncio.sleep(0.99)
    world.grant(0, 0.08, 0.4, took=0.102)
    await asyncio.sleep(1)
    # The first one is 0.1 s late. The second one is used at once, the third in time.
    assert world.calls == [0.01, 1.0, 1.3]


@virtually
async def test_the_clock_of_another_pacer_is_another_clock() -> None:
    world = World()
    world.wait_for(2)
    await asyncio.sleep(0.01)
    world.grant(0.0, took=-5000)
    await asyncio.sleep(0.01)
    world.grant(0.1, pacer="q", took=700)
    await asyncio.sleep(1)
    assert world.calls == [0.01, 0.12]


@virtually
async def test_an_answer_that_is_too_old_or_unknown_is_ignored() -> None:
    world = World()
    world.wait_for(1)
    await asyncio.sleep(VALID + 0.5)
    world.grant(0, number=1)
    world.grant(0, number=99)
    assert not world.calls
    world.grants.connected()
    world.grant(0, number=world.requests[-2][0])
    await asyncio.sleep(0)
    assert not world.calls, "after a lost connection only the new request counts"
    world.grant(0)
    await asyncio.sleep(0.01)
    assert len(world.calls) == 1


@virtually
async def test_a_cancelled_call_leaves_its_moment_to_the_next() -> None:
    world = World()
    first, second = world.wait_for(2)
    await asyncio.sleep(0.01)
    first.cancel()
    world.grant(0)
    await second
    assert world.calls == [0.01]


@virtually
async def test_calls_that_wait_are_refused_when_the_breaker_opens() -> None:
    world = World()
    tasks = world.wait_for(3)
    await asyncio.sleep(0.01)
    world.grants.refuse(lambda: ServiceUnavailable("down"))
    await asyncio.wait(tasks)
    assert all(isinstance(task.exception(), ServiceUnavailable) for task in tasks)
    requests = len(world.requests)
    await asyncio.sleep(10)
    assert len(world.requests) == requests, "and ask for nothing"


@virtually
async def test_after_closing_every_call_raises() -> None:
    world = World()
    (waiting,) = world.wait_for(1)
    await asyncio.sleep(0)
    world.grants.close(KeyError)
    for task in (waiting, *world.wait_for(1)):
        await asyncio.wait([task])
        assert isinstance(task.exception(), KeyError)


@virtually
async def test_during_an_alarm_the_share_of_the_partitions_is_used() -> None:
    world = World()
    world.is_blocked, world.share = True, 10.0
    world.wait_for(100)
    await asyncio.sleep(5)
    assert world.calls[0] >= RESUME
    assert 40 <= len(world.calls) <= 46
    assert not world.requests
    world.is_blocked = False
    await asyncio.sleep(0.5)
    made = len(world.calls)
    assert world.requests[-1][2], "the pacer is told"
    await asyncio.sleep(1)
    assert len(world.calls) == made
    world.grant(0)
    await asyncio.sleep(0.01)
    assert len(world.calls) == made + 1
    assert not world.requests[-1][2]


@virtually
async def test_the_share_is_not_stored_while_nothing_waits() -> None:
    world = World()
    world.is_blocked, world.share = True, 2.0
    world.wait_for(1)
    await asyncio.sleep(20)
    world.wait_for(5)
    await asyncio.sleep(1.1)
    assert len(world.calls) <= 1 + 2 + 1


@virtually
async def test_without_a_share_nothing_is_called_during_an_alarm() -> None:
    world = World()
    world.is_blocked = True
    world.wait_for(1)
    await asyncio.sleep(60)
    assert not world.calls
    world.is_blocked = False
    await asyncio.sleep(0.2)
    assert world.requests


@pytest.mark.parametrize(
    ("limit", "seconds"),
    [
        (RateLimit(100, 10), 0.06),
        (RateLimit(100, 1), 0.025),
        (RateLimit(10, 1), 0.1),
        (RateLimit(1, 1), 0.25),
        (RateLimit(100, 100), 0.25),
    ],
)
def test_how_late_a_moment_may_be(limit: RateLimit, seconds: float) -> None:
    assert late(limit) == pytest.approx(seconds, rel=0.15)


@virtually
async def test_moments_are_not_used_before_the_clock_is_known() -> None:
    world = World()
    world.wait_for(3)
    await asyncio.sleep(0.01)
    for _ in range(4):
        world.grant(0, took=0.3)
    await asyncio.sleep(0.01)
    assert not world.calls
    world.grant(0.1, took=0.02)
    await asyncio.sleep(1)
    assert world.calls == [0.12]


@virtually
async def test_a_clock_that_never_gets_better_is_good_enough() -> None:
    world = World()
    world.wait_for(1)
    await asyncio.sleep(0.01)
    for _ in range(ENOUGH):
        world.grant(0, took=0.3)
    await asyncio.sleep(0.01)
    assert len(world.calls) == 1
