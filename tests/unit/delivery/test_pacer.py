"""The pacer: what it promises, and what a new one does. In virtual time."""

from __future__ import annotations

import asyncio
from itertools import pairwise

from bridge.connectors.limits import RateLimit
from bridge.delivery.pacer import AHEAD, EARLY, RESUME, SILENCE, Grant, Pacer, Request, used
from tests.support.pacing import most_in
from tests.support.virtual_time import virtually

LIMIT = RateLimit(100, 10)


class World:
    """A pacer, its answers, and the moments that it promised."""

    def __init__(self, limit: RateLimit = LIMIT, before: World | None = None) -> None:
        self.loop = asyncio.get_running_loop()
        self.offset = 0.0
        """Seconds for which the process was frozen."""
        self.known: set[str] = set()
        self.answers: list[tuple[str, Grant]] = []
        self.moments: list[float] = before.moments if before else []
        self.done: list[int] = []
        self.pacer = Pacer("p", limit, self.answer, lambda: self.loop.time() + self.offset)

    def answer(self, queue: str, grant: Grant) -> None:
        self.answers.append((queue, grant))
        self.moments += [grant.at + moment for moment in grant.moments]

    def ask(self, who: str, calls: int, number: int = 1, *, after_alarm: bool = False) -> None:
        request = Request(number=number, calls=calls, answers=who, after_alarm=after_alarm)
        if who not in self.known:
            # The first answer only tells the time.
            self.known.add(who)
            self.pacer.asked(request, lambda: None)
            assert self.answers.pop()[1].moments == []
        self.pacer.asked(request, lambda: self.done.append(number))

    async def greedy(self, seconds: float, *who: str) -> None:
        """Let processes ask for much, and again as soon as they are answered."""
        answered = len(self.answers)
        for name in who:
            self.ask(name, 1000)
        end = self.loop.time() + seconds
        while self.loop.time() < end:
            await asyncio.sleep(0.01)
            for name, _ in self.answers[answered:]:
                self.ask(name, 1000)
            answered = len(self.answers)


@virtually
async def test_processes_share_the_rate_evenly() -> None:
    world = World()
    await world.greedy(10, "a", "b", "c")
    assert 0.92 <= len(world.moments) / 10 / LIMIT.rate <= 0.96
    assert most_in(sorted(world.moments)) <= used(LIMIT).rate + used(LIMIT).burst
    by = {name: sum(len(g.moments) for n, g in world.answers if n == name) for name in "abc"}
    assert max(by.values()) <= 1.1 * min(by.values())
    assert len(world.answers) < 15 * 10, "few answers a second, whatever the number of processes"
    assert all(grant.moments == sorted(grant.moments) for _, grant in world.answers)


@virtually
async def test_moments_are_promised_for_the_next_moment_only() -> None:
    world = World()
    await world.greedy(2, "a")
    for _, grant in world.answers:
        assert all(0 <= moment <= AHEAD for moment in grant.moments)
        assert grant.moments[0] <= EARLY + 1e-6


@virtually
async def test_a_slow_limit_answers_one_process_after_the_other() -> None:
    world = World(RateLimit(0.5))
    await world.greedy(100, "a", "b")
    assert 44 <= len(world.moments) <= 48
    assert [name for name, _ in world.answers[:4]] == ["a", "b", "a", "b"]
    assert all(len(grant.moments) == 1 for _, grant in world.answers)


@virtually
async def test_a_new_pacer_starts_as_if_its_predecessor_had_promised_all_it_may() -> None:
    first = World()
    await first.greedy(3, "a", "b")
    second = World(before=first)
    first.pacer.stop()
    await second.greedy(3, "a", "b")
    times = sorted(second.moments)
    assert most_in(times) <= used(LIMIT).rate + used(LIMIT).burst
    gap = max(b - a for a, b in pairwise(times))
    assert gap <= AHEAD + 0.1, "and not much later than needed"


@virtually
async def test_a_stopped_pacer_answers_nothing_and_starts_anew() -> None:
    world = World()
    world.ask("a", 5)
    world.pacer.stop()
    world.known.clear()
    await asyncio.sleep(10)
    assert not world.answers
    asked = world.loop.time()
    world.ask("a", 5)
    await asyncio.sleep(1)
    assert min(world.moments) >= asked + AHEAD


@virtually
async def test_a_pacer_that_was_frozen_starts_anew() -> None:
    world = World()
    await world.greedy(3, "a")
    world.offset += SILENCE * 2
    thawed = world.loop.time() + world.offset
    before = len(world.moments)
    world.ask("a", 5, 7)
    await asyncio.sleep(1)
    assert min(world.moments[before:]) >= thawed + AHEAD


@virtually
async def test_a_burst_is_promised_at_once_after_a_pause() -> None:
    world = World(RateLimit(10, 9))
    world.ask("a", 1)
    await asyncio.sleep(60)
    world.ask("a", 20, 2)
    moments = world.answers[-1][1].moments
    assert [round(moment, 6) for moment in moments] == [0, 0, 0, round(1 / 9.5, 6)]


@virtually
async def test_a_newer_request_replaces_the_older_one_in_its_place() -> None:
    world = World(RateLimit(0.1))
    world.ask("a", 5, 1)
    world.ask("b", 5, 2)
    world.ask("a", 3, 3)
    assert world.done == [1]
    await asyncio.sleep(30)
    assert [(name, grant.number) for name, grant in world.answers] == [("a", 3), ("b", 2)]
    assert world.done == [1, 3, 2]


@virtually
async def test_after_an_alarm_nothing_is_promised_for_a_while() -> None:
    world = World()
    await world.greedy(3, "a")
    before, asked = len(world.moments), world.loop.time()
    world.ask("a", 50, 8, after_alarm=True)
    await asyncio.sleep(2)
    assert min(world.moments[before:]) >= asked + RESUME


@virtually
async def test_requests_that_are_repeated_after_an_alarm_are_answered_at_a_low_rate() -> None:
    """At one call in five seconds, a process repeats its request before it can be answered."""
    world = World(RateLimit(0.2))
    for number in range(1, 20):
        world.ask("a", 3, number, after_alarm=True)
        await asyncio.sleep(1)
    assert len(world.moments) >= 2
