from __future__ import annotations

import msgspec
import pytest

from bridge.broker.pauses import PauseNote
from bridge.broker.topology import Depth
from bridge.monitor import problems as found_by
from bridge.monitor.problem import Limits, Problem, clock
from bridge.monitor.problems import AGAIN
from bridge.monitor.roster import WEBHOOK
from bridge.monitor.snapshot import (
    Flow,
    Latency,
    OperatorPause,
    Partition,
    Pause,
    Silent,
    Snapshot,
)
from bridge.monitor.turn_errors import RECENT
from bridge.telemetry.reports import Consuming, HeldMessages, Report, Sample
from tests.unit.monitor.test_compose import FIRST, KEY, QUEUES, a_webhook, a_worker, see


def texts(found: list[Problem]) -> list[str]:
    return [problem.text for problem in found]


def problems(snapshot: Snapshot, limits: Limits = Limits()) -> list[str]:  # noqa: B008
    return texts(found_by.problems(snapshot, limits))


def busy() -> dict[str, HeldMessages]:
    return {FIRST: HeldMessages(3, 39.0)}


def test_a_working_bridge_has_no_problems() -> None:
    assert problems(see(a_worker("a", busy()))) == []


@pytest.mark.parametrize(
    ("limits", "line"),
    [
        (Limits(depth=2), "inbound: 3 messages, limit 2"),
        (
            Limits(age=59.0),
            "inbound: oldest message is 1m old, limit 59s: none of 1 turn succeeded in 15 s",
        ),
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


def test_without_a_webhook_no_sender_is_heard() -> None:
    (problem,) = found_by.problems(see(webhooks=0))
    assert problem.runbook == "no-webhook"
    assert "no webhook is connected" in problem.text
    assert problems(see(webhooks=None)) == problems(see(webhooks=1)) == []


def test_a_webhook_that_hangs_is_a_problem_of_its_senders() -> None:
    seen = see(a_webhook("a"), hanging=[a_webhook("b")], surplus={WEBHOOK: 1}, webhooks=2)
    assert problems(seen) == [
        f"webhook: 1 of 2 processes does not report since {clock(90.0)} (webhook b:1:ff), so its"
        " senders may get no answer; restart a process that hangs"
    ]


def test_what_waits_without_a_consumer_is_counted() -> None:
    depths = {queue: Depth(20, 0) for queue in QUEUES if queue.startswith("bridge.inbound")}
    (problem,) = problems(see(depths=depths))
    assert problem == "inbound: no consumer, 240 messages wait; start a worker"


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
        f"replies slack: HTTP 500 since {clock(60.0)}, 512 replies wait, oldest 30s,"
        " next probe in 3 s"
    ]


def test_what_to_do_about_a_service_comes_last() -> None:
    why = {"why": "HTTP 401; check 'token'", "since": 60.0, "next_at": 103.0}
    paused = Consuming("replies", "slack", 0, 256, 0, True, {}, **why)  # type: ignore[arg-type]
    deliver = a_worker("d", name="deliver d:1:ff", consuming=[paused])
    assert problems(see(deliver)) == [
        f"replies slack: HTTP 401 since {clock(60.0)}, 0 replies wait, next probe in 3 s;"
        " check 'token'"
    ]


def test_an_alarm_says_since_when_if_it_was_seen_to_begin() -> None:
    snapshot = msgspec.structs.replace(see(alarms=["no disk"]), alarms_since=60.0)
    assert problems(snapshot) == [f"no disk; since {clock(60.0)}"]
    assert problems(see(alarms=["no disk"])) == ["no disk"]


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
    assert found_by.notices(see()) == []
    snapshot = see(depths={"bridge.dead.inbound": Depth(5846, 0)})
    assert texts(found_by.notices(snapshot, deaths=1)) == [
        "1 process died in the last 15 minutes; see: rasa-bridge status --events",
        "5,846 dead letters; look at: rasa-bridge dead list --by cause",
    ]


REPLIES = ("replies", "slack")
NOTE = PauseNote(60.0, "ada@ops", "migration")


def a_deliver(*, stopped: bool = True, at: float = 99.0, paused: bool = False) -> Report:
    consuming = Consuming("replies", "slack", 0, 256, 0, paused, {}, stopped=stopped)
    return a_worker("d", name="deliver d:1:ff", at=at, consuming=[consuming])


def test_a_pause_says_by_whom_since_when_why_how_much_waits_and_how_to_go_on() -> None:
    depths = {"bridge.replies.slack.00": Depth(5, 1)}
    snapshot = see(a_deliver(), depths=depths, stopped={REPLIES: NOTE})
    (problem,) = found_by.problems(snapshot)
    assert problem.text == (
        f"replies slack: paused by ada@ops since {clock(60.0)} (migration), 5 replies wait;"
        " to go on: rasa-bridge resume replies slack"
    )
    assert (problem.runbook, problem.actions) == ("paused", ("resume",))


def test_a_pause_whose_note_is_not_known_is_loud_nevertheless() -> None:
    (problem,) = problems(see(a_deliver(), stopped={REPLIES: None}))
    assert problem.startswith("replies slack: paused by an operator, 0 replies wait;")


def test_a_process_that_goes_on_in_spite_of_a_pause_is_named() -> None:
    ignoring = a_deliver(stopped=False)
    _, problem = problems(see(ignoring, stopped={REPLIES: NOTE}))
    assert problem.startswith("replies slack: paused, but deliver d:1:ff goes on;")
    just_now = see(a_deliver(stopped=False, at=61.0), stopped={REPLIES: NOTE})
    assert len(problems(just_now)) == 1


def test_a_service_that_is_down_can_be_probed_and_paused() -> None:
    (problem,) = found_by.problems(see(a_deliver(stopped=False, paused=True)))
    assert (problem.flow, problem.channel, problem.actions) == (*REPLIES, ("try", "pause"))


def the_channels(*names: str) -> list[Flow]:
    """Return the flows of channels without a consumer, with one reply each."""
    queue = Partition(0, "q", 1, 0, 0, None, 12.0)
    return [
        Flow(
            flow="replies",
            channel=name,
            ready=1,
            unacked=0,
            consumers=0,
            oldest_age=12.0,
            at_least=False,
            published=0.0,
            settled=0.0,
            retries=0.0,
            redeliveries=0.0,
            paused=False,
            queueing=None,
            work=None,
            partitions=[queue],
        )
        for name in names
    ]


TWO = [Partition(0, "q", 1, 0, 0, None, 12.0), Partition(1, "r", 0, 0, 1, None, 0.0)]


def test_channels_without_a_consumer_are_one_line() -> None:
    flows = the_channels(*(f"shop{n}" for n in range(40)))
    (line,) = problems(msgspec.structs.replace(see(), flows=flows), Limits(age=1.0))
    assert line == (
        "replies of 40 channels (shop0, shop1, shop2, shop3, shop4 and 35 more): no consumer,"
        " 40 replies wait, oldest 12s; start a deliver process"
    )


def test_a_process_that_hangs_is_one_line_for_all_its_channels() -> None:
    silent = [Silent("replies", name, 1, 1, 60.0 + n, ["deliver a"]) for n, name in enumerate("ab")]
    (line,) = problems(msgspec.structs.replace(see(), flows=[], silent=silent))
    assert line == (
        f"replies of 2 channels (a, b): 1 of 2 consumers does not report since {clock(60.0)}"
        " (deliver a), so its messages are unknown; restart a process that hangs"
    )


def paused_channels(number: int) -> list[Flow]:
    stops = [OperatorPause("ada@ops", 60.0 + n, "fair", []) for n in range(number)]
    flows = the_channels(*(f"shop{n}" for n in range(number)))
    return [
        msgspec.structs.replace(flow, consumers=1, stopped=stop)
        for flow, stop in zip(flows, stops, strict=True)
    ]


def test_many_paused_channels_are_one_line_that_holds_each_of_them() -> None:
    flows = paused_channels(40)
    (line,) = found_by.problems(msgspec.structs.replace(see(), flows=flows))
    assert line.text == (
        f"replies of 40 channels (shop0, shop1, shop2, shop3, shop4 and 35 more): paused by ada@ops"
        f" since {clock(60.0)} (fair), 40 replies wait, oldest 12s; to go on: rasa-bridge resume"
        " replies"
    )
    assert (line.flow, line.channel, line.actions) == ("replies", "", ())
    assert [part.channel for part in line.parts] == [f"shop{n}" for n in range(40)]
    assert {part.actions for part in line.parts} == {("resume",)}


def test_few_paused_channels_are_a_line_each() -> None:
    found = found_by.problems(msgspec.structs.replace(see(), flows=paused_channels(5)))
    assert [(problem.channel, problem.parts) for problem in found] == [
        (f"shop{n}", ()) for n in range(5)
    ]


@pytest.mark.parametrize(
    ("whys", "said"),
    [
        (["HTTP 500"] * 6, "HTTP 500"),
        (["HTTP 500"] * 5 + ["HTTP 401; check 'token'"], "HTTP 500 (5), HTTP 401 (1)"),
        (list("aabcde"), "a (2), b (1), c (1) and 2 other errors"),
    ],
)
def test_many_services_that_are_down_are_one_line_with_their_errors(
    whys: list[str], said: str
) -> None:
    flows = [
        msgspec.structs.replace(flow, consumers=1, paused=True, pause=Pause(why, 60.0 + n, 103.0))
        for n, (flow, why) in enumerate(zip(the_channels(*"abcdef"), whys, strict=True))
    ]
    (line,) = problems(msgspec.structs.replace(see(), flows=flows))
    assert line == (
        f"replies of 6 channels (a, b, c, d, e and 1 more): {said} since {clock(60.0)},"
        " 6 replies wait, oldest 12s, next probe in 3 s"
    )


@pytest.mark.parametrize(
    ("changes", "limits", "said"),
    [
        ({"dead": 5, "done": 5}, Limits(), "30 of 30 replies in 15 s became dead letters; look"),
        (
            {"dead": 5, "done": 5, "dead_of": "HTTP 400", "dead_of_that": 4},
            Limits(),
            "30 of 30 replies in 15 s became dead letters (mostly HTTP 400); look at",
        ),
        ({}, Limits(depth=0), "6 messages, limit 0"),
        ({"paced": 2}, Limits(age=1.0), "is 12s old, limit 1s: 12 recipients wait for a rate"),
        ({"partitions": TWO, "consumers": 0}, Limits(), "no consumer on 6 of 12 partitions, 6"),
    ],
)
def test_whatever_is_wrong_with_many_channels_is_one_line(
    changes: dict[str, object], limits: Limits, said: str
) -> None:
    flows = [
        msgspec.structs.replace(flow, **{"consumers": 1, **changes})
        for flow in the_channels(*"abcdef")
    ]
    (line,) = problems(msgspec.structs.replace(see(), flows=flows), limits)
    assert line.startswith("replies of 6 channels (a, b, c, d, e and 1 more): ")
    assert said in line


def test_many_processes_that_hang_are_one_line_and_few_of_them_are_named() -> None:
    names = [f"deliver {n}" for n in range(8)]
    silent = [Silent("replies", f"c{n}", 1, 1, 60.0 + n, [name]) for n, name in enumerate(names)]
    (line,) = problems(msgspec.structs.replace(see(), flows=[], silent=silent))
    assert line == (
        "replies of 8 channels (c0, c1, c2, c3, c4 and 3 more): 8 of 16 consumers do not report"
        f" since {clock(60.0)} (deliver 0, deliver 1, deliver 2, deliver 3, deliver 4 and 3 more),"
        " so their messages are unknown; restart a process that hangs"
    )


def test_a_resize_that_waits_is_why_webhooks_answer_503() -> None:
    (problem,) = found_by.problems(see(closed_since=60.0))
    assert problem.runbook == "resize"
    assert f"changed since {clock(60.0)}: webhooks answer 503" in problem.text


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        ({"paced": 1}, ": 1 recipient waits for a rate limit"),
        ({"slots": 16, "busy": 16, "done": 40}, ": all 16 slots are busy"),
        ({"slots": 16, "busy": 15, "done": 15}, ""),
        ({"slots": 16, "busy": 15, "done": 2}, ": only 2 of 17 calls succeeded in 15 s"),
        ({"slots": 16, "busy": 1}, ": none of 1 call succeeded in 15 s"),
        (
            {"slots": 4, "busy": 4, "done": 9, "work": Latency(1.0, 6.2, 7.0)},
            ": all 4 slots are busy and calls take 6 s (p95)",
        ),
        ({"retrying": 2}, ": 2 recipients wait for another attempt after a failure"),
        (
            {"retrying": 1, "failing": "HTTP 503"},
            ": 1 recipient waits for another attempt after a failure (HTTP 503)",
        ),
        (
            {"paced": 3, "slots": 4, "busy": 4, "retrying": 1},
            ": 3 recipients wait for a rate limit and 1 recipient waits for another attempt"
            " after a failure",
        ),
    ],
)
def test_what_old_messages_wait_for_is_named(seen: dict[str, object], why: str) -> None:
    (flow,) = the_channels("shop")
    flow = msgspec.structs.replace(flow, consumers=1, **seen)
    (line,) = problems(msgspec.structs.replace(see(), flows=[flow]), Limits(age=1.0))
    assert line == f"replies shop: oldest message is 12s old, limit 1s{why}"


@pytest.mark.parametrize(
    ("seen", "is_told"),
    [
        ({"busy": 2}, True),
        ({"retrying": 1, "failing": "HTTP 503"}, True),
        ({"busy": 2, "done": 2}, False),  # nothing holds them up
        ({"busy": 2, "oldest_age": 9.0}, False),
        ({"busy": 2, "oldest_age": None}, False),
        ({"busy": 2, "paused": True}, False),
        ({"busy": 2, "consumers": 0}, False),
        ({"busy": 2, "paced": 1}, False),  # a rate limit does what it is there for
        ({"busy": 9, "done": 9, "work": Latency(1.0, 7.0, 7.0)}, False),  # slow, and nothing queues
        ({"busy": 9, "done": 9, "work": Latency(1.0, 5.5, 7.0)}, True),
        ({"busy": 9, "done": 0, "work": Latency(15.0, 15.0, 15.0)}, True),  # they time out
    ],
)
def test_what_holds_up_messages_is_a_notice_before_it_is_a_problem(
    seen: dict[str, object], is_told: bool
) -> None:
    (flow,) = the_channels("shop")
    flow = msgspec.structs.replace(flow, **{"consumers": 1, "slots": 16, **seen})
    snapshot = msgspec.structs.replace(see(), flows=[flow], dead={})
    told = [line for line in texts(found_by.notices(snapshot)) if "oldest message is 12s" in line]
    assert len(told) == is_told
    if is_told:
        limits = Limits(age=1.0)
        assert problems(snapshot) == []
        assert found_by.notices(snapshot, limits=limits) == []
        assert len(problems(snapshot, limits)) == 1


@pytest.mark.parametrize(
    ("seen", "is_bad"),
    [
        ({"retrying": 3, "done": 3}, True),
        ({"retrying": 3, "done": 4}, False),
        ({"retrying": 2}, False),
        ({"retrying": 3, "oldest_age": 9.0}, False),
        ({"retrying": 3, "paused": True, "pause": None}, False),
    ],
)
def test_a_flow_of_which_most_fails_is_a_problem_with_its_cause(
    seen: dict[str, object], is_bad: bool
) -> None:
    (flow,) = the_channels("shop")
    failing = "OperationalError: database or disk is full"
    flow = msgspec.structs.replace(flow, **{"consumers": 1, "failing": failing, **seen})
    snapshot = msgspec.structs.replace(see(), flows=[flow])
    limits = Limits(age=1.0)
    lines = [line for line in problems(snapshot) if "wait for another attempt" in line]
    if is_bad:
        assert lines == problems(snapshot, limits)  # and not that it is old, too
        assert lines == [
            f"replies shop: 3 recipients wait for another attempt after a failure ({failing}),"
            " 3 settled in 15 s, oldest 12s; what fails for --retry-for becomes a dead letter;"
            " see the logs of the deliver processes"
        ]
    else:
        assert lines == []


def test_a_process_that_runs_and_does_not_consume_is_not_to_be_started() -> None:
    """Its event loop is blocked from time to time, for example by a locked tracker store."""
    consuming = Consuming(
        "inbound", "", 8, 16, 0, False, {}, retrying=8, failing="OperationalError"
    )
    depths = {queue: Depth(0, 0) for queue in QUEUES if queue.startswith("bridge.inbound")}
    (line,) = problems(see(a_worker("a", consuming=[consuming]), depths=depths))
    assert line == (
        "inbound: no consumer, 8 conversations wait for another attempt after a failure"
        " (OperationalError); its process runs, so see its log"
    )


@pytest.mark.parametrize(("dead", "done", "is_bad"), [(5, 10, True), (5, 11, False), (4, 4, False)])
def test_messages_that_mostly_become_dead_letters_are_a_problem(
    dead: int, done: int, is_bad: bool
) -> None:
    (flow,) = the_channels("shop")
    flow = msgspec.structs.replace(flow, consumers=1, dead=dead, done=done)
    line = "replies shop: 5 of 10 replies in 15 s became dead letters; look at: rasa-bridge dead"
    found = problems(msgspec.structs.replace(see(), flows=[flow]))
    assert found == ([f"{line} list --by cause"] if is_bad else [])


@pytest.mark.parametrize(("of_that", "said"), [(5, "(HTTP 400)"), (3, "(mostly HTTP 400)")])
def test_the_commonest_cause_of_the_dead_letters_is_named(of_that: int, said: str) -> None:
    """As `deliver` reports it: there is one sample for each cause."""
    labels = {"flow": "replies", "channel": "slack"}
    causes = {"HTTP 400": of_that, "RetryableDeliveryError": 5 - of_that}
    samples = [Sample("messages_total", {**labels, "outcome": "dead"}, 5.0)]
    samples += [Sample("dead_causes", {**labels, "cause": c}, float(n)) for c, n in causes.items()]
    samples += [Sample("dead_causes", {"flow": "inbound", "channel": "slack", "cause": "x"}, 9.0)]
    (line,) = problems(see(a_worker("a", samples=samples)))
    assert line.startswith(f"replies slack: 5 of 5 replies in 15 s became dead letters {said};")


ERRED = "Failed to run custom action 'action_buy'"


def erred(turns: int, errors: int, error: str = ERRED, at: float = 99.0) -> Snapshot:
    """Return the snapshot of a worker that has run turns, and some with errors."""
    consuming = Consuming("inbound", "", 1, 16, 1, False, {}, turn_error=error, turn_error_at=at)
    samples = [Sample("turn_seconds_count", {"channel": "slack"}, float(turns))]
    samples += [Sample("turn_errors_total", {"channel": "slack"}, float(errors))] * bool(errors)
    return see(a_worker("a", consuming=[consuming], samples=samples))


def test_turns_with_errors_that_rasa_logged_are_a_problem() -> None:
    (problem,) = found_by.problems(erred(40, 12))
    assert problem.runbook == "turn-errors"
    assert problem.text == (
        f"inbound: Rasa logged errors in 12 of 40 turns in 15 s (latest: {ERRED});"
        " is the action server up?"
    )
    assert found_by.notices(erred(40, 12)) == []
    (line,) = problems(erred(1, 1, "see rasa.core.policies, line 7"))
    assert line.endswith(
        "1 of 1 turn in 15 s (latest: see rasa.core.policies, line 7); see the logs of the workers"
    )


@pytest.mark.parametrize(("turns", "errors"), [(11, 1), (0, 0)])
def test_few_turns_with_errors_are_a_notice_for_a_while(turns: int, errors: int) -> None:
    assert problems(erred(turns, errors)) == []
    assert texts(found_by.notices(erred(turns, errors))) == [
        f"inbound: Rasa logged an error in a turn at {clock(99.0)} ({ERRED});"
        " is the action server up?"
    ]
    assert found_by.notices(erred(turns, errors, at=99.0 - RECENT)) == []


def test_after_an_outage_of_the_broker_there_is_nothing_to_start() -> None:
    snapshot = see(depths={FIRST: Depth(0, 0)}, is_recovering=True, webhooks=0)
    assert problems(snapshot) == [
        f"no webhook is connected, so messages of senders are not accepted; {AGAIN}",
        f"inbound: no consumer on 1 of 4 partitions; {AGAIN}",
    ]
