"""What an inbound message asks for if it is no user's message: a call of the API, or a reminder."""

from __future__ import annotations

from typing import Any

import msgspec

REMINDER = "reminder"
"""The command of a reminder that is due. The others are the routes of Rasa's HTTP API."""


class Command(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that a worker does with the assistant. `worker.commands` implements all of them."""

    name: str
    arguments: dict[str, Any] = {}
    reads: bool = False
    """It changes nothing, so it need not wait for the turns of its conversation."""
