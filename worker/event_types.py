"""Looks up each type of Rasa's events once. Needs no rasa."""

from __future__ import annotations

from typing import Any


def remember(event: Any) -> None:
    """Have `resolve_by_type` of Rasa's `Event` remember the classes that it has found.

    Rasa calls it for each event of a tracker that it loads, and each call walks through all
    subclasses of `Event`. That took a quarter of the time of loading a tracker. What is not found
    is not remembered: its class may be defined later.
    """
    search = event.resolve_by_type
    if hasattr(search, "known"):
        return
    known: dict[str, Any] = {}

    def resolve_by_type(type_name: str, default: Any = None) -> Any:
        found = known.get(type_name)
        if found is None:
            found = search(type_name, default)
            if found is not None and getattr(found, "type_name", None) == type_name:
                known[type_name] = found
        return found

    resolve_by_type.known = known  # type: ignore[attr-defined]
    event.resolve_by_type = staticmethod(resolve_by_type)
