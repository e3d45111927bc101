"""What the users of all of Meta's services can say."""

from __future__ import annotations

import json
from typing import Any


def said_by_order(order: dict[str, Any]) -> str:
    """Return the note of an order, else its JSON."""
    note = order.get("text") or order.get("note")
    return note if isinstance(note, str) and note.strip() else json.dumps(order)
