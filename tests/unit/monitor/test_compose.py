from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.broker.topology import Depth, Topology, consumer_priority
from bridge.monitor.compose import compose
from bridge.monitor.partitions import Observations
from bridge.monitor.snapshot import Flow, Snapshot
from bridge.telemetry.reports import Consuming, HeldMessages, Report

TOPOLOGY = Topology("bridge", inbound_partitions=4, reply_partitions=2, channels=["slack"])
QUEUES = [queue.name for queue in TOPOLOGY.queues()]
FIRST = "bridge.inbound.00"
KEY = ("inbound", "")


def a_worker(host: str, held: dict[str, HeldMessages] | None = None, **changes: Any) -> Report:
    fields: dict[str, Any] = {
        "name": f"worker {host}:1:ff",
        "started_at": 40.0,
        "at": 99.0,
        "every": 2.0,
        "window": 10.0,
        "consuming": [Consuming("inbound", "", 1, 16, 1, False, held or {})],
        "samples": [],
    }
    return Report(**{**fields, **changes})


def a_webhook(host: str) -> Report:
    return a_worker(host, name=f"webhook {host}:1:ff", consuming=[])


def see(
    *reports: Report, depths: Mapping[str, Depth | None] | None = None, **changes: Any
) -> Snapshot:
    """Return the snapshot of empty queues with a consumer, except `depths` (None: no queue)."""
    known = {**dict.fromkeys(QUEUES, Depth(0, 1)), **(depths or {})}
    fields: dict[str, Any] = {"at": 100.0, "waiting_since": {}, "sources": {"reports", "amqp"}}
    if "surplus" in changes:
        fields["surplus_since"] = dict.fromkeys(changes["surplus"], 90.0)
    found = {name: depth for name, depth in known.items() if depth}
    seen = Observations(depths=found, reports=reports, **{**fields, **changes})
    return compose(seen, TOPOLOGY, "amqp://broker")


def inbound(snapshot: Snapshot) -> Flow:
    return snapshot.flows[0]


def test_there_is_a_flow_for_inbound_and_one_per_channel() -> None:
    snapshot = see()
    assert [(f.flow, f.channel, len(f.partitions)) for f in snapshot.flows] == [
        ("inbound", "", 4),
        ("replies", "slack", 2),
    ]
    assert snapshot.sources == ["amqp", "reports"]
    assert snapshot.dead == {"inbound": 0, "replies": 0}


def test_depth_counts_messages_waiting_and_in_flight() -> None:
    held = {FIRST: HeldMessages(3, 90.0), "bridge.inbound.01": HeldMessages(1, 95.0)}
    flow = inbound(see(a_worker("a", held), depths={FIRST: Depth(20, 1)}))
    assert (flow.ready, flow.unacked, flow.depth) == (20, 4, 24)


def test_the_oldest_age_is_that_of_the_oldest_message_in_flight_when_reported() -> None:
    held = {FIRST: HeldMessages(3, 90.0), "bridge.inbound.01": HeldMessages(1, 95.0)}
    flow = inbound(see(a_worker("a", held)))
    assert (flow.oldest_age, flow.at_least) == (9.0, False)
    assert [p.oldest_age for p in flow.partitions] == [9.0, 4.0, 0.0, 0.0]


def test_without_a_holder_the_age_is_how_long_messages_were_seen_waiting() -> None:
    flow = inbound(see(depths={FIRST: Depth(5, 0)}, waiting_since={FIRST: 70.0}))
    assert (flow.oldest_age, flow.at_least) == (30.0, True)


def test_an_unknown_age_is_not_zero() -> None:
    for waiting_since in ({}, {FIRST: 100.0}):
        flow = inbound(see(depths={FIRST: Depth(5, 0)}, waiting_since=waiting_since))
        assert flow.partitions[0].oldest_age is None
        assert flow.oldest_age is None


def test_an_empty_partition_belongs_to_the_consumer_with_the_highest_priority() -> None:
    workers = [a_worker(name) for name in "abc"]
    for partition in inbound(see(*workers)).partitions:
        expected = max(workers, key=lambda w: consumer_priority(w.name, partition.queue))
        assert partition.holder == expected.name


def test_a_partition_belongs_to_the_process_that_holds_its_messages() -> None:
    """A takeover waits for them, regardless of the priorities."""
    for name in "ab":
        workers = [a_worker(w, {FIRST: HeldMessages(1, 1.0)} if w == name else {}) for w in "ab"]
        assert inbound(see(*workers)).partitions[0].holder == f"worker {name}:1:ff"


def test_if_two_processes_report_the_same_messages_the_later_report_counts() -> None:
    held = {FIRST: HeldMessages(1, 1.0)}
    flow = inbound(see(a_worker("a", held, at=97.0), a_worker("b", held, at=98.0)))
    assert flow.partitions[0].holder == "worker b:1:ff"


def test_a_partition_without_a_consumer_has_no_holder() -> None:
    flow = inbound(see(a_worker("a"), depths={FIRST: Depth(0, 0)}))
    assert flow.partitions[0].holder is None
    assert flow.consumers == 0


def test_the_unacked_count_of_a_silent_consumer_is_unknown() -> None:
    assert inbound(see()).unacked is None


def test_the_management_api_has_the_unacked_count_of_a_silent_consumer() -> None:
    assert inbound(see(depths={q: Depth(0, 1, 2) for q in QUEUES})).unacked == 4 * 3 * 2


def test_reports_take_precedence_over_the_management_api() -> None:
    held = {FIRST: HeldMessages(1, 90.0)}
    assert inbound(see(a_worker("a", held), depths={FIRST: Depth(0, 1, 7)})).unacked == 1


def test_reporting_processes_are_listed_with_the_partitions_they_hold() -> None:
    webhook = a_worker("x", name="webhook x:1:ff", consuming=[])
    snapshot = see(a_worker("b"), a_worker("a"), webhook)
    assert [p.role for p in snapshot.processes] == ["webhook", "worker", "worker"]
    first, *workers = snapshot.processes
    assert (first.partitions, first.consumes, first.uptime) == (0, [], 60.0)
    assert sum(p.partitions for p in workers) == 4


def test_missing_queues_are_named() -> None:
    snapshot = see(depths={"bridge.replies.slack.01": None, "bridge.dead.replies": None})
    assert snapshot.missing == ["bridge.dead.replies", "bridge.replies.slack.01"]
    assert snapshot.dead == {"inbound": 0}
    assert len(snapshot.flows[1].partitions) == 1


def test_a_paused_channel_is_marked_as_paused() -> None:
    paused = Consuming("replies", "slack", 0, 256, 0, True, {})
    snapshot = see(a_worker("d", name="deliver d:1:ff", consuming=[paused]))
    assert [flow.paused for flow in snapshot.flows] == [False, True]


def test_a_consumer_that_does_not_report_makes_the_depth_a_lower_bound() -> None:
    held = {FIRST: HeldMessages(3, 90.0)}
    flow = inbound(see(a_worker("a", held), depths={FIRST: Depth(20, 1)}, surplus={KEY: 1}))
    assert (flow.depth, flow.depth_at_least, flow.unacked) == (23, True, 3)
    first, second, *_ = flow.partitions
    assert (first.unacked, first.depth_at_least) == (3, True)  # its two other queues are unknown
    assert (second.unacked, second.depth_at_least) == (None, True)


def test_a_hanging_process_holds_at_least_what_it_reported_last() -> None:
    hanging = a_worker("a", {FIRST: HeldMessages(9, 30.0)}, at=60.0)
    flow = inbound(see(a_worker("b"), hanging=[hanging], surplus={KEY: 1}))
    assert (flow.depth, flow.depth_at_least) == (9, True)
    assert (flow.oldest_age, flow.at_least) == (70.0, True)  # of the others, nothing is known
    assert flow.partitions[0].holder == "worker a:1:ff"


def test_the_management_api_knows_what_a_hanging_process_holds() -> None:
    depths = dict.fromkeys(QUEUES, Depth(0, 1, 2))
    flow = inbound(see(a_worker("b"), depths=depths, surplus={KEY: 1}))
    assert (flow.depth, flow.depth_at_least) == (4 * 3 * 2, False)


def test_what_a_killed_process_held_is_not_counted_twice() -> None:
    """RabbitMQ has returned its 3 messages to the queue, and its report is still there."""
    killed = a_worker("a", {FIRST: HeldMessages(3, 90.0)})
    flow = inbound(see(killed, a_worker("b"), depths={FIRST: Depth(3, 1)}, unsure={killed.name}))
    assert (flow.depth, flow.depth_at_least, flow.oldest_age) == (3, True, 9.0)


def test_the_age_of_what_a_dead_process_held_goes_on_rising() -> None:
    flow = inbound(see(a_worker("b"), depths={FIRST: Depth(3, 1)}, orphans={FIRST: 60.0}))
    assert (flow.oldest_age, flow.at_least) == (40.0, False)


def test_of_two_reports_on_the_same_messages_the_later_one_is_counted() -> None:
    held = {FIRST: HeldMessages(4, 1.0)}
    flow = inbound(see(a_worker("a", held, at=97.0), a_worker("b", held, at=98.0)))
    assert flow.unacked == 4


def test_a_silent_consumer_is_named_once_it_has_had_time_to_report() -> None:
    hanging = a_worker("a", at=60.0)
    seen = see(a_worker("b"), hanging=[hanging], surplus={KEY: 1})
    assert [(s.number, s.reporting, s.names) for s in seen.silent] == [(1, 1, ["worker a:1:ff"])]
    started = see(a_worker("b"), surplus={KEY: 1}, surplus_since={KEY: 97.0})
    assert started.silent == []


def test_the_age_of_what_a_silent_process_may_hold_is_unknown_and_not_zero() -> None:
    flow = inbound(see(a_worker("b"), surplus={KEY: 1}))
    assert (flow.depth_at_least, flow.oldest_age) == (True, None)


def test_the_rates_of_a_flow_whose_consumers_all_hang_are_unknown_and_not_zero() -> None:
    flow = inbound(see(a_webhook("w"), hanging=[a_worker("a", at=60.0)], surplus={KEY: 1}))
    assert (flow.settled, flow.retries, flow.redeliveries) == (None, None, None)
    assert flow.published == 0.0
    assert inbound(see(a_webhook("w"), a_worker("b"), surplus={KEY: 1})).settled == 0.0


def test_a_known_age_beside_unknown_ones_is_a_lower_bound() -> None:
    held = {FIRST: HeldMessages(3, 90.0)}
    flow = inbound(see(a_worker("a", held), surplus={KEY: 1}))
    assert (flow.oldest_age, flow.at_least) == (9.0, True)


def test_messages_in_overflow_queues_wait_in_their_partition() -> None:
    consuming = Consuming("inbound", "", 1, 16, 1, False, {}, overflowed={FIRST: 30})
    reports = a_worker("a", consuming=[consuming]), a_worker("b")
    flow = inbound(see(*reports, depths={FIRST: Depth(5, 1)}))
    assert (flow.ready, flow.partitions[0].ready, flow.partitions[1].ready) == (35, 35, 0)


def test_without_a_report_of_a_webhook_its_rates_are_unknown() -> None:
    snapshot = see(a_worker("a"))
    assert (snapshot.acknowledged, snapshot.rejected) == (None, None)
    snapshot = see(a_worker("a"), a_webhook("b"))
    assert (snapshot.acknowledged, snapshot.rejected) == (0.0, 0.0)


def test_lanes_that_wait_for_a_quiet_conversation_are_counted() -> None:
    consuming = [Consuming("inbound", "", 3, 16, 1, False, {}, quiet=2)]
    (worker,) = see(a_worker("a", consuming=consuming)).processes
    assert (worker.lanes, worker.quiet) == (3, 2)
