"""Each Rasa reads the trackers that the other has stored, so workers can change from 3.6 to pro."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from worker import compat, duplicates

if compat.IS_PRO:
    from rasa.core.tracker_stores.sql_tracker_store import SQLTrackerStore
else:
    from rasa.core.tracker_store import SQLTrackerStore

CREATED = """
create table events (
    id integer not null primary key, sender_id varchar(255) not null,
    type_name varchar(255) not null, timestamp float, intent_name varchar(255),
    action_name varchar(255), data text
)
"""
"""As rasa 3.6 creates it. rasa-pro has one more table, and creates that itself."""
EVENTS = [
    ("action", '{"event": "action", "timestamp": 1.0, "name": "action_session_start"}'),
    ("session_started", '{"event": "session_started", "timestamp": 2.0}'),
    ("action", '{"event": "action", "timestamp": 3.0, "name": "action_listen"}'),
    (
        "user",
        '{"event": "user", "timestamp": 4.0, "metadata": {"model_id": "m"}, "text": "hi",'
        ' "parse_data": {"intent": {"name": "greet", "confidence": 0.9}, "entities": [],'
        ' "text": "hi"}, "input_channel": "callback", "message_id": "event-1"}',
    ),
    ("slot", '{"event": "slot", "timestamp": 5.0, "name": "size", "value": "large"}'),
    ("active_loop", '{"event": "active_loop", "timestamp": 6.0, "name": "order_form"}'),
    ("action", '{"event": "action", "timestamp": 7.0, "name": "utter_greet", "confidence": 1.0}'),
    (
        "bot",
        '{"event": "bot", "timestamp": 8.0, "text": "Hello!", "data": {"buttons": null},'
        ' "metadata": {"utter_action": "utter_greet", "model_id": "m"}}',
    ),
]
"""A conversation as rasa 3.6 has stored it."""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "trackers.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(CREATED)
        for name, data in EVENTS:
            connection.execute(
                "insert into events (sender_id, type_name, timestamp, data) values (?, ?, 1, ?)",
                ("ada", name, data),
            )
        connection.commit()
    return path


def test_a_tracker_store_knows_its_event_broker(database: Path) -> None:
    from rasa.shared.core.domain import Domain

    store = SQLTrackerStore(Domain.empty(), dialect="sqlite", db=str(database), event_broker=None)
    assert store.event_broker is None
    store.engine.dispose()


async def test_a_conversation_that_rasa_3_6_stored_goes_on(database: Path) -> None:
    from rasa.shared.core.domain import Domain
    from rasa.shared.core.events import UserUttered

    store = SQLTrackerStore(Domain.empty(), dialect="sqlite", db=str(database))
    tracker: Any = await store.retrieve("ada")
    assert [event.type_name for event in tracker.events] == [name for name, _ in EVENTS]
    assert _finds(tracker, "event-1")
    tracker.update(UserUttered("bye", message_id="event-2"))
    await store.save(tracker)
    tracker = await store.retrieve("ada")
    assert _finds(tracker, "event-1")
    assert _finds(tracker, "event-2")
    assert not _finds(tracker, "event-3")
    store.engine.dispose()


def _finds(tracker: Any, message_id: str) -> bool:
    """Whether the duplicate check finds the turn of a message."""
    from tests.support.fakes import an_inbound

    turn = duplicates._Turn(an_inbound(message_id, sender_id=tracker.sender_id))
    try:
        turn.check(tracker)
    except duplicates.AlreadyRun:
        return True
    return False
