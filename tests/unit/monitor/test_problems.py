from __future__ import annotations

import pytest

from bridge.broker.topology import Depth
from bridge.monitor.problems import Limits, clock, notices, problems
from bridge.telemetry.reports import Consuming, HeldMessages
from tests.unit.monitor.test_compose import FIRST, KEY, a_worker, see


def busy() -> dict[str, HeldMessages]:
    return {FIRST: HeldMessages(3, 39.0)}


def test_a_working_bridge_has_no_problems() -> None:
    assert problems(see(a_worker("a", busy()))) == []


@pytest.mark.parametrize(
    ("limits", "line"),
    [
        (Limits(depth=2), "inbound: 3 messages, limit 2"),
        (Limits(age=59.0), "inbound: oldest message is 1m old, limit 59s"),
    ],
)
def test_a_value_above_its_limit_is_a_problem(limits: Limits, line: str) -> None:
    assert problems(see(a_worker("a", busy())), limits) == [line]


def test_a_value_at_its_limit_is_no_problem() -> None:
    assert problems(see(a_worker("a", busy())), Limits(depth=3, age=60.0, dead=0)) == []


def test_a_partition_without_a_consumer_is_a_problem_even_when_it_is_empty() -> None:
    found = problems(see(depths={FIRST: Depth(0, 0)}))
    assert found == ["inbound: no consumer on 1 of 4 partitions; start a worker"]
    replies = {f"bridge.replies.slack.{n:02}": Depth(0, 0) for n in range(2)}
    assert problems(see(depths=replies)) == ["replies slack: no consumer; start a deliver process"]


def test_dead_letters_are_a_problem_only_above_a_limit() -> None:
    snapshot = see(depths={"bridge.dead.inbound": Depth(3, 0), "bridge.dead.replies": Depth(4, 0)})
    assert problems(snapshot) == []
    assert problems(snapshot, Limits(dead=7)) == []
    assert problems(snapshot, Limits(dead=6)) == [
        "dead letters: 7, limit 6; run: rasa-bridge dead list"
    ]


def test_a_service_that_is_down_is_a_problem() -> None:
    paused = Consuming("replies", "slack", 0, 256, 0, True, {})
    snapshot = see(a_worker("d", name="deliver d:1:ff", consuming=[paused]))
    assert problems(snapshot) == ["replies slack: paused because its service is down"]


def test_a_service_that_is_down_is_named_with_cause_time_backlog_and_next_probe() -> None:
    queue = "bridge.replies.slack.00"
    held = {queue: HeldMessages(12, 69.0)}
    why = {"why": "HTTP 500", "since": 60.0, "next_at": 103.0}
    paused = Consuming("replies", "slack", 0, 256, 0, True, held, **why)  # type: ignore[arg-type]
    deliver = a_worker("d", name="deliver d:1:ff", consuming=[paused])
    snapshot = see(deliver, depths={queue: Depth(500, 1)})
    assert problems(snapshot) == [
        f"replies slack: HTTP 500, since {clock(60.0)}, 512 replies wait, oldest 30s,"
        " next probe in 3 s"
    ]


def test_missing_queues_and_the_brokers_alarms_come_first() -> None:
    snapshot = see(depths={FIRST: None, "bridge.inbound.01": Depth(0, 0)}, alarms=["out of disk"])
    alarm, missing, consumer = problems(snapshot)
    assert alarm == "out of disk"
    assert missing.startswith("missing queues: 1, such as bridge.inbound.00; ")
    assert consumer.startswith("inbound: no consumer")


def test_a_consumer_that_does_not_report_is_a_problem() -> None:
    """Even if every figure is 0: nothing is known of what it holds."""
    hanging = a_worker("a", at=60.0)
    (line,) = problems(see(a_worker("b"), hanging=[hanging], surplus={KEY: 1}))
    assert line == (
        f"inbound: 1 of 2 consumers does not report since {clock(60.0)} (worker a:1:ff),"
        " so its messages are unknown; restart a process that hangs"
    )


def test_dead_letters_and_recent_deaths_are_notices() -> None:
    assert notices(see()) == []
    snapshot = see(depths={"bridge.dead.inbound": Depth(5846, 0)})
    assert notices(snapshot, deaths=1) == [
        "1 process died in the last 15 minutes: see the events",
        "5,846 dead letters; look at: rasa-bridge dead list",
    ]
