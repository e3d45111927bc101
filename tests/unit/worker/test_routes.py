"""A call of the HTTP API replies where the user wrote last."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from msgspec.structs import replace

from tests.support.fakes import an_inbound
from worker.routes import ROUTE, last_route, metadata_with_route

THREAD = {"channel": "C1", "thread_ts": "1.2"}


def user(route: Any = None, channel: str = "slack", **metadata: Any) -> SimpleNamespace:
    if route is not None:
        metadata[ROUTE] = route
    return SimpleNamespace(type_name="user", input_channel=channel, metadata=metadata)


def route(*events: Any, channel: str = "slack") -> dict[str, Any]:
    return last_route(SimpleNamespace(events=list(events)), channel)


def test_the_event_of_a_message_keeps_its_route() -> None:
    message = replace(an_inbound(), route=THREAD, metadata={"a": 1})
    metadata = metadata_with_route(message)
    assert metadata == {"a": 1, ROUTE: THREAD}
    assert message.metadata == {"a": 1}
    assert route(user(**metadata)) == THREAD


def test_metadata_stays_as_it_is_without_a_route() -> None:
    for metadata in (None, {}, {"a": 1}):
        assert metadata_with_route(replace(an_inbound(), route={}, metadata=metadata)) == metadata


def test_a_client_cannot_choose_the_route() -> None:
    forged = {ROUTE: {"service_url": "https://evil.example"}, "a": 1}
    assert metadata_with_route(replace(an_inbound(), route={}, metadata=forged)) == {"a": 1}
    message = replace(an_inbound(), route=THREAD, metadata=forged)
    assert metadata_with_route(message) == {"a": 1, ROUTE: THREAD}


def test_the_last_message_of_the_channel_decides() -> None:
    other = SimpleNamespace(type_name="bot", metadata={ROUTE: {"channel": "C9"}})
    assert route(user({"channel": "C1"}), user(THREAD), other) == THREAD
    assert route(user(THREAD), user({"room": "R"}, "rocketchat")) == THREAD
    assert route(user(THREAD), user()) == {}, "it was not in a thread"
    assert route(user(THREAD), channel="telegram") == {}
    assert route() == {}


def test_what_no_user_said_is_passed_over() -> None:
    assert route(user(THREAD), user(is_external=True)) == THREAD


def test_an_odd_value_in_a_tracker_is_no_route() -> None:
    assert route(SimpleNamespace(type_name="user", input_channel="slack", metadata=None)) == {}
    assert route(user("C1")) == {}
