"""Rasa's lookup of an event's class walks through all classes once per type, not once per event."""

from __future__ import annotations

from typing import Any

import pytest

from worker import event_types


class Event:
    """As Rasa's: `resolve_by_type` searches, and counts its searches."""

    searches = 0
    type_name = "event"

    @staticmethod
    def resolve_by_type(type_name: str, default: Any = None) -> Any:
        Event.searches += 1
        for cls in Event.__subclasses__():
            if cls.type_name == type_name:
                return cls
        if default is not None or type_name == "topic":
            return default
        raise ValueError(type_name)


class User(Event):
    type_name = "user"


@pytest.fixture(autouse=True)
def remembering(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Event, "resolve_by_type", staticmethod(Event.resolve_by_type))
    monkeypatch.setattr(Event, "searches", 0)
    event_types.remember(Event)


def test_a_type_is_searched_once() -> None:
    assert [Event.resolve_by_type("user") for _ in range(3)] == [User] * 3
    assert Event().resolve_by_type("user", default=Event) is User
    assert Event.searches == 1


def test_an_unknown_type_is_searched_each_time() -> None:
    assert Event.resolve_by_type("later", Event) is Event
    later = type("Later", (Event,), {"type_name": "later"})
    assert Event.resolve_by_type("later") is later
    assert Event.resolve_by_type("topic") is None
    for _ in range(2):
        with pytest.raises(ValueError, match="never"):
            Event.resolve_by_type("never")


def test_remembering_twice_is_remembering_once() -> None:
    before = Event.resolve_by_type
    event_types.remember(Event)
    assert Event.resolve_by_type is before
