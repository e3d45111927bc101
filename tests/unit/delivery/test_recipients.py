"""The pace of each recipient."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from bridge.connectors.limits import RateLimit
from bridge.delivery import recipients as module
from bridge.delivery.recipients import Recipients
from bridge.messages import Reply
from tests.support.fakes import a_reply


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class World:
    """Recipients with a clock that the test sets. The partition of `x7` is 7."""

    def __init__(self, *limits: RateLimit) -> None:
        self.clock = Clock()
        self.limits = limits
        self.recipients = Recipients(
            "callback",
            lambda reply: self.limits,
            lambda reply: str(reply.route.get("room", reply.recipient_id)),
            lambda reply: int(reply.recipient_id[1:]),
            self.clock,
        )

    is_redelivered = False

    def wait(self, who: str = "x1", **route: Any) -> float:
        reply = reply_to(who, redelivered=self.is_redelivered, **route)
        return round(self.recipients.wait(reply), 9)

    def call(self, who: str = "x1", **route: Any) -> None:
        assert self.wait(who, **route) == 0
        self.recipients.called(reply_to(who, **route).lane())

    def burst(self, who: str = "x1") -> int:
        """Make as many calls as are possible now; return their number."""
        number = 0
        while self.wait(who) == 0:
            self.call(who)
            number += 1
        return number


def reply_to(who: str, *, redelivered: bool = False, **route: Any) -> Reply:
    return a_reply(recipient_id=who, route=route, redelivered=redelivered)


def test_the_second_call_to_a_recipient_waits_and_others_do_not() -> None:
    world = World(RateLimit(1))
    world.call("x1")
    world.clock.now += 0.25
    assert world.wait("x1") == 0.75
    world.call("x2")
    world.clock.now += 0.75
    world.call("x1")


def test_without_a_limit_nothing_waits_or_is_remembered() -> None:
    world = World()
    for _ in range(10):
        world.call("x1")
    assert not world.recipients._buckets


def test_the_time_counts_from_the_call_not_from_the_permission() -> None:
    world = World(RateLimit(1))
    assert world.wait() == 0
    world.clock.now += 10  # for a slot
    world.call()
    assert world.wait() == 1


def test_a_permission_that_is_not_used_is_free_again() -> None:
    world = World(RateLimit(1))
    assert world.wait("x1", room="r") == 0
    assert world.wait("x2", room="r") > 0
    world.recipients.left(reply_to("x1").lane())
    assert world.wait("x2", room="r") == 0


def test_lanes_of_one_recipient_share_its_limit() -> None:
    world = World(RateLimit(1))
    world.call("x1", room="r")
    assert world.wait("x2", room="r") == 1
    world.call("x2", room="s")


def test_a_burst_is_possible_after_a_pause_and_every_limit_applies() -> None:
    world = World(RateLimit(1, 3), RateLimit(0.1, 5))
    world.call()
    world.clock.now += 100
    assert world.burst() == 3
    world.clock.now += 10
    assert world.burst() == 3
    world.clock.now += 10
    assert world.burst() == 1  # of the second limit


def test_after_a_takeover_a_recipient_has_one_call_and_its_burst_grows_with_time() -> None:
    world = World(RateLimit(1 / 6, 45))
    world.is_redelivered = True
    world.recipients._partition = lambda reply: 1
    assert world.burst("x1") == 1
    world.clock.now += 12
    assert world.burst("x1") == 2
    assert world.burst("x2") == 3
    world.clock.now += 45 * 6
    assert world.burst("x3") == 45


def test_after_a_start_a_recipient_has_a_third_of_its_burst() -> None:
    assert World(RateLimit(1 / 6, 45)).burst() == 15
    assert World(RateLimit(1, 5)).burst() == 2
    assert World(RateLimit(1)).burst() == 1


def test_a_new_connection_forgets_what_other_processes_may_have_changed() -> None:
    world = World(RateLimit(1, 10))
    world.call()
    world.clock.now += 100
    world.recipients.opened()
    assert world.burst() == 4


def test_a_changed_limit_applies() -> None:
    world = World(RateLimit(0.001))
    world.call()
    world.limits = (RateLimit(2),)
    world.call()
    assert world.wait() == 0.5


def test_full_buckets_are_forgotten_and_others_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FEW", 5)
    world = World(RateLimit(1))
    for n in range(500):
        world.call(f"x{n}")
        world.clock.now += 0.1
    assert 10 <= len(world.recipients._buckets) <= 12
    monkeypatch.setattr(module, "REMEMBERED", 50)
    for n in range(500):
        world.call(f"x{n}")
    assert len(world.recipients._buckets) <= 50


def test_a_few_recipients_keep_their_buckets() -> None:
    """One that is forgotten is made anew for its next call, and then others are forgotten."""
    world = World(RateLimit(1))
    for n in range(20):
        world.call(f"x{n}")
    buckets = list(world.recipients._buckets.values())
    world.clock.now += 100
    for n in range(20):
        world.call(f"x{n}")
    assert list(world.recipients._buckets.values()) == buckets


def test_the_lanes_that_wait_are_counted() -> None:
    world = World(RateLimit(1))
    world.call()
    assert world.wait() == world.wait() == 1
    assert world.recipients.waiting == 1
    world.clock.now += 1
    assert world.wait() == 0
    assert world.recipients.waiting == 0


def test_a_lane_that_leaves_does_not_wait_any_more() -> None:
    world = World(RateLimit(1))
    world.call()
    assert world.wait() == 1
    world.recipients.left(reply_to("x1").lane())
    assert world.recipients.waiting == 0


@given(
    st.lists(st.tuples(st.sampled_from(["x1", "x2"]), st.floats(0, 3)), max_size=80),
    st.sampled_from([(RateLimit(1),), (RateLimit(2, 3),), (RateLimit(1, 2), RateLimit(0.3, 5))]),
)
def test_no_window_has_more_calls_than_the_limits_allow(
    steps: list[tuple[str, float]], limits: tuple[RateLimit, ...]
) -> None:
    world = World(*limits)
    calls: dict[str, list[float]] = {"x1": [], "x2": []}
    for who, pause in steps:
        world.clock.now += pause
        if world.wait(who) == 0:
            world.call(who)
            calls[who].append(world.clock.now)
    for times in calls.values():
        for first, start in enumerate(times):
            for last, end in enumerate(times[first:], 1):
                most = min(limit.rate * (end - start) + limit.burst for limit in limits)
                assert last <= most + 1e-6
