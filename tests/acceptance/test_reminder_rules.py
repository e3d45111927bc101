"""When a reminder must not fire, as the tracker tells it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from rasa.shared.core.events import (
    ActionExecuted,
    BotUttered,
    Event,
    ReminderCancelled,
    ReminderScheduled,
    Restarted,
    SessionStarted,
    UserUttered,
)
from rasa.shared.core.trackers import DialogueStateTracker

from worker.reminders import _id, _seconds, install, why_not

install()

DUE = datetime(2030, 1, 1, tzinfo=timezone.utc)
REMINDER = ReminderScheduled("bye", DUE, [{"entity": "x", "value": 1}], "name", False, 1000.5)
STRICT = ReminderScheduled("bye", DUE, None, "name", True, 1000.5)
FIRED = UserUttered.create_external("bye")
FIRED.message_id = "r1"


def verdict(*after: Any, reminder: Any = REMINDER) -> str:
    events = [UserUttered("remind me", {"name": "ask"}), ActionExecuted("act"), reminder, *after]
    # As a tracker store returns them.
    stored = [Event.from_parameters(event.as_dict()) for event in events]
    tracker = DialogueStateTracker.from_events("ada", stored)
    asked = Event.from_parameters(reminder.as_dict())
    return why_not(tracker, asked, "r1")


@pytest.mark.parametrize(
    "after",
    [
        (),
        (BotUttered("hello"),),
        (UserUttered("hi", {"name": "greet"}),),
        (ReminderCancelled(name="other"),),
        (ReminderCancelled(intent="greet"),),
        (ReminderCancelled(name="name", intent="greet"),),
        (ReminderCancelled(entities=[{"entity": "x", "value": 2}]),),
        (ReminderScheduled("bye", DUE, None, "other", False, 1001.0),),
        (UserUttered.create_external("bye"),),
    ],
)
def test_it_fires(after: tuple[Any, ...]) -> None:
    assert verdict(*after) == ""


@pytest.mark.parametrize(
    ("after", "why"),
    [
        ((ReminderCancelled(),), "cancelled"),
        ((ReminderCancelled(name="name"),), "cancelled"),
        ((ReminderCancelled(intent="bye"),), "cancelled"),
        ((ReminderCancelled(entities=[{"entity": "x", "value": 1}]),), "cancelled"),
        ((ReminderScheduled("bye", DUE, None, "name", False, 1001.0),), "replaced"),
        ((FIRED,), "fired before"),
        ((Restarted(),), "restarted"),
        ((SessionStarted(),), "restarted"),
    ],
)
def test_it_does_not_fire(after: tuple[Any, ...], why: str) -> None:
    assert why in verdict(*after)


def test_the_user_ends_a_reminder_that_asks_for_it() -> None:
    assert verdict(reminder=STRICT) == ""
    assert verdict(BotUttered("hi"), reminder=STRICT) == ""
    assert "user" in verdict(UserUttered("hi", {"name": "greet"}), reminder=STRICT)
    # As in Rasa, an intent from outside counts as a message.
    assert "user" in verdict(UserUttered.create_external("x"), reminder=STRICT)


def test_a_cancellation_before_it_in_the_same_turn_does_not_count() -> None:
    events = [UserUttered("x", {"name": "ask"}), ReminderCancelled(), REMINDER]
    tracker = DialogueStateTracker.from_events("ada", events)
    assert why_not(tracker, REMINDER, "r1") == ""


def test_a_turn_that_was_not_saved_leaves_no_reminder() -> None:
    assert "not saved" in why_not(None, REMINDER, "r1")
    events = [UserUttered("x", {"name": "ask"})]
    tracker = DialogueStateTracker.from_events("ada", events)
    assert "not saved" in why_not(tracker, REMINDER, "r1")
    # The turn ran again, so its reminder has the same name and another time.
    again = ReminderScheduled("bye", DUE, None, "name", False, 1002.0)
    tracker = DialogueStateTracker.from_events("ada", [*events, again])
    assert "not saved" in why_not(tracker, REMINDER, "r1")
    assert why_not(tracker, again, "r2") == ""


def test_an_id_is_that_of_one_event_in_one_conversation() -> None:
    same = Event.from_parameters(REMINDER.as_dict())
    later = ReminderScheduled("bye", DUE, None, "name", False, 1001.0)
    assert _id("ada", REMINDER) == _id("ada", same)
    assert len({_id("ada", REMINDER), _id("bob", REMINDER), _id("ada", later)}) == 3


def test_any_date_is_a_moment() -> None:
    assert _seconds(DUE) == 1893456000.0
    assert _seconds(DUE.astimezone(timezone(timedelta(hours=5)))) == 1893456000.0
    now = datetime.now()
    assert abs(_seconds(now) - datetime.now().timestamp()) < 5
    assert _seconds(datetime.min) < _seconds(now) < _seconds(datetime.max)
