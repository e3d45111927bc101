"""A tracker store finds the same events with the query that it builds once."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from worker import compat, queries

pytestmark = pytest.mark.skipif(compat.IS_PRO, reason="only rasa 3.6 counts what is stored")


def a_store(database: Path) -> Any:
    module = importlib.import_module("rasa.core.tracker_store")
    domain = importlib.import_module("rasa.shared.core.domain").Domain.empty()
    return module.SQLTrackerStore(domain, db=str(database))


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[tuple[Any, Any]]:
    """One as Rasa has it, and one that reuses its query, on the same database."""
    plain, reusing = a_store(tmp_path / "trackers.db"), a_store(tmp_path / "trackers.db")
    queries.reuse(reusing)
    yield plain, reusing
    plain.engine.dispose()
    reusing.engine.dispose()


def session_of(*texts: str) -> list[Any]:
    events = importlib.import_module("rasa.shared.core.events")
    return [events.SessionStarted(), *map(events.UserUttered, texts)]


async def test_it_loads_and_counts_what_rasa_does(stores: tuple[Any, Any]) -> None:
    plain, reusing = stores
    for sender in "ada", "eve":
        tracker = plain.init_tracker(sender)
        for number, event in enumerate([*session_of("old"), *session_of(sender, "new")]):
            event.timestamp = float(number)
            tracker.update(event)
        await plain.save(tracker)
    for sender in "ada", "eve", "none", "' or 1=1 --":
        for all_sessions in False, True:
            found = []
            for store in stores:
                with store.session_scope() as session:
                    rows = store._event_query(session, sender, all_sessions)
                    found.append((rows.count(), [row.id for row in rows.all()]))
            assert found[0] == found[1], (sender, all_sessions)
            assert found[0][0] == (0 if len(sender) != 3 else 5 if all_sessions else 3)
    again = await reusing.retrieve("ada")
    assert [getattr(event, "text", None) for event in again.events] == [None, "ada", "new"]


async def test_only_new_events_are_stored(stores: tuple[Any, Any]) -> None:
    plain, reusing = stores
    for n in range(3):
        tracker = await reusing.get_or_create_tracker("ada", append_action_listen=False)
        for event in session_of("first") if n == 0 else session_of(f"turn {n}")[1:]:
            tracker.update(event)
        await reusing.save(tracker)
    stored = (await plain.retrieve_full_tracker("ada")).events
    texts = [getattr(event, "text", None) for event in stored]
    assert texts == [None, "first", "turn 1", "turn 2"]


def test_rasa_uses_nothing_else_of_the_query() -> None:
    source = importlib.import_module("inspect").getsource(
        importlib.import_module("rasa.core.tracker_store").SQLTrackerStore
    )
    calls = source.split("self._event_query(")[1:]
    uses = [call.partition(")")[2].strip().partition("(")[0] for call in calls]
    assert uses == [".all", ".count"]
