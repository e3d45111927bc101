"""Builds the query for the events of a conversation once. Needs no rasa."""

from __future__ import annotations

from typing import Any

CONVERSATION = "conversation"
"""Name of the query's parameter."""


def reuse(store: Any) -> None:
    """Have a `SQLTrackerStore` of Rasa build its query for events once, with a parameter.

    Rasa builds it twice a turn, to load the tracker and to count what is stored, and SQLAlchemy
    derives a key from each, only to find the same compiled statement. That took a fifth of a turn.
    """
    import sqlalchemy as sa
    from sqlalchemy.orm import Session

    build = store._event_query
    statements: dict[bool, tuple[Any, Any]] = {}

    class Events:
        """What Rasa uses of a `Query`."""

        def __init__(self, session: Any, sender_id: str, all_sessions: bool) -> None:
            self._execute = session.execute
            self._given = {CONVERSATION: sender_id}
            if all_sessions not in statements:
                query = build(Session(), sa.bindparam(CONVERSATION), all_sessions).statement
                count = sa.select(sa.func.count()).select_from(query.subquery())
                statements[all_sessions] = query, count
            self._query, self._count = statements[all_sessions]

        def all(self) -> list[Any]:
            found: list[Any] = self._execute(self._query, self._given).scalars().all()
            return found

        def count(self) -> int:
            return int(self._execute(self._count, self._given).scalar())

    def event_query(session: Any, sender_id: str, fetch_events_from_all_sessions: bool) -> Events:
        return Events(session, sender_id, fetch_events_from_all_sessions)

    store._event_query = event_query
