from __future__ import annotations

import msgspec
import pytest

from bridge.broker.pauses import PauseNote
from bridge.broker.topology import Depth
from bridge.monitor.events import MERGED, MOST, RECENT, Events
from bridge.monitor.roster import Change
from bridge.monitor.snapshot import OperatorPause
from bridge.telemetry.reports import EVERY, Consuming, HeldMessages
from tests.unit.monitor.test_compose import FIRST, a_webhook, a_worker, see
from tests.unit.monitor.test_problems import ERRED, erred, the_channels


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def events(clock: Clock) -> Events:
    return Events(clock)


def said(events: Events) -> list[tuple[str, str]]:
    return [(event.kind, event.subject) for event in events.all]


def test_a_death_is_an_event_with_its_cause_and_what_to_do(events: Events) -> None:
    events.changed(Change("died", a_worker("a", {FIRST: HeldMessages(3, 1.0)})))
    (event,) = events.recent_deaths()
    assert (event.kind, event.subject) == ("died", "worker a:1:ff")
    assert "RabbitMQ redelivers the 3 messages that it held" in event.what
    assert event.fix
    assert event.alarming


def test_what_died_without_messages_is_not_said_to_have_had_some(events: Events) -> None:
    events.changed(Change("died", a_worker("a")))
    events.changed(Change("died", a_webhook("b")))
    worker, webhook = (event.what for event in events.all)
    assert worker.endswith("it held no messages at its latest report")
    assert webhook.endswith("senders without an answer send again")


def test_processes_that_ran_before_the_monitor_did_not_start(events: Events) -> None:
    events.changed(Change("started", a_worker("a", started_at=40.0)))
    assert said(events) == []
    events.changed(Change("started", a_worker("b", started_at=101.0)))
    assert said(events) == [("started", "worker b:1:ff")]


def test_a_process_that_reports_again_did_not_die(events: Events) -> None:
    lost = a_worker("a", started_at=40.0)
    events.changed(Change("died", lost))
    events.changed(Change("died", a_worker("b")))
    events.changed(Change("started", lost))
    assert [event.kind for event in events.all] == ["died", "died", "reports again"]
    assert [event.subject for event in events.recent_deaths()] == [events.all[1].subject]


def test_growing_dead_letters_are_one_event_a_minute(events: Events, clock: Clock) -> None:
    for number in (3, 3, 4, 9):
        events.seen(see(depths={"bridge.dead.replies": Depth(number, 0)}))
        clock.now += 1
    assert [(e.kind, e.what) for e in events.all] == [("dead letters", "6 more dead letters")]
    clock.now += MERGED
    events.seen(see(depths={"bridge.dead.replies": Depth(10, 0)}))
    events.seen(see(depths={"bridge.dead.replies": Depth(0, 0)}))
    assert [e.what for e in events.all][1:] == ["1 more dead letter", "10 replayed or purged"]


def test_a_service_that_goes_and_comes_back_is_two_events(events: Events) -> None:
    for paused in (False, True, True, False):
        consuming = Consuming("replies", "slack", 0, 256, 0, paused, {})
        events.seen(see(a_worker("d", name="deliver d:1:ff", consuming=[consuming])))
    assert said(events) == [("service down", "replies slack"), ("service back", "replies slack")]


def test_a_flow_of_which_most_fails_is_an_event_until_nothing_waits(events: Events) -> None:
    """In the middle of an attempt, a conversation does not wait for the next one."""
    (flow,) = the_channels("slack")
    failing = "OperationalError: database or disk is full"
    for retrying in (0, 3, 1, 3, 0, 0, 4):
        changes = {"consumers": 1, "retrying": retrying, "failing": failing}
        flows = [msgspec.structs.replace(flow, **changes)]
        events.seen(msgspec.structs.replace(see(), flows=flows))
    kinds = [("failing", "replies slack"), ("failing over", "replies slack")]
    assert said(events) == [*kinds, kinds[0]]
    assert failing in events.all[0].what
    assert events.all[0].alarming


def test_partitions_that_lose_and_get_a_consumer_are_events(events: Events, clock: Clock) -> None:
    for consumers in (1, 0, 0, 0, 0, 0, 1):
        events.seen(see(depths={FIRST: Depth(0, consumers)}))
        clock.now += EVERY
    assert said(events) == [("no consumer", "inbound"), ("consumers", "inbound")]


def test_processes_that_connect_again_are_no_event(events: Events, clock: Clock) -> None:
    events.seen(see(depths={FIRST: Depth(0, 1)}))
    events.lost("connection refused")
    for consumers in (0, 0, 1, 1):
        events.seen(see(depths={FIRST: Depth(0, consumers)}))
        clock.now += EVERY
    assert [kind for kind, _ in said(events)] == ["broker lost", "broker back"]


def test_channels_that_lose_their_consumers_at_once_are_one_event(
    events: Events, clock: Clock
) -> None:
    for consumers in (1, 0, 0, 0, 0, 1):
        snapshot = msgspec.structs.replace(see(), flows=the_channels("a", "b"))
        flows = [msgspec.structs.replace(f, consumers=consumers) for f in snapshot.flows]
        events.seen(msgspec.structs.replace(snapshot, flows=flows))
        clock.now += EVERY
    subject = "replies of 2 channels (a, b)"
    assert said(events) == [("no consumer", subject), ("consumers", subject)]


def test_an_outage_of_the_broker_is_an_event_with_its_reason(events: Events) -> None:
    for _ in range(3):
        events.lost("connection refused")
    events.seen(see())
    events.seen(see())
    assert [(e.kind, e.what) for e in events.all] == [
        ("broker lost", "connection refused"),
        ("broker back", "connected again after: connection refused"),
    ]


def test_the_list_is_bounded_and_a_death_is_no_news_for_ever(events: Events, clock: Clock) -> None:
    for _ in range(MOST + 50):
        events.changed(Change("died", a_worker("a")))
    assert len(events.all) == MOST
    clock.now += 3600
    assert events.recent_deaths() == []


def test_a_pause_and_its_end_are_events(events: Events) -> None:
    key, note = ("inbound", ""), PauseNote(60.0, "ada@ops", "migration")
    for stopped in ({}, {key: note}, {key: note}, {}):
        events.seen(see(stopped=stopped))
    assert said(events) == [("paused", "inbound"), ("resumed", "inbound")]
    paused = events.all[0]
    assert paused.what == "paused by ada@ops (migration); messages wait in RabbitMQ"
    assert paused.fix == "to go on: rasa-bridge resume inbound"


def test_a_resize_is_one_event_and_no_outage(events: Events) -> None:
    for _ in range(3):
        events.resized("another process has more partitions")
        events.lost("another process has more partitions")
    assert said(events) == [("resize", "partitions")]


def test_what_happens_to_many_channels_at_once_is_one_event(events: Events) -> None:
    flows = the_channels(*"abcdef")
    stopped = [msgspec.structs.replace(f, stopped=OperatorPause("ada", 9.0, "", [])) for f in flows]
    for now in (flows, stopped, flows):
        events.seen(msgspec.structs.replace(see(), flows=now))
    assert [(event.kind, event.subject, event.fix) for event in events.all] == [
        (
            "paused",
            "replies of 6 channels (a, b, c, d, e and 1 more)",
            "to go on: rasa-bridge resume replies",
        ),
        ("resumed", "replies of 6 channels (a, b, c, d, e and 1 more)", ""),
    ]


def test_a_resize_is_an_event_from_its_start_to_its_end(events: Events) -> None:
    for closed_since in (None, 100.0, 100.0, None):
        events.seen(see(closed_since=closed_since))
    assert [event.kind for event in events.all] == ["resize", "resize over"]


def test_turns_with_errors_are_one_event_until_there_were_none_for_long(
    events: Events, clock: Clock
) -> None:
    events.seen(erred(40, 0, "", 0.0))
    for later in (0.0, RECENT, RECENT, RECENT + 1):
        clock.now += later
        events.seen(erred(40, 1))
        events.seen(erred(40, 0))
    first, second = events.all
    assert (first.kind, first.subject, first.alarming) == ("turn errors", "inbound", True)
    assert first.what == f"Rasa logs errors in turns, and goes on ({ERRED})"
    assert first.fix == "is the action server up?"
    assert second.what == first.what
