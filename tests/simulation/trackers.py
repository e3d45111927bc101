"""A tracker store that all simulated workers share, with as much of Rasa as the worker relies on.

It is there in schedules whose channels have a policy for turns. The check for turns that were
saved before is the real one (`worker.duplicates`).
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from bridge.messages import InboundMessage


@dataclass(frozen=True)
class Event:
    """What Rasa stores of a user's message."""

    message_id: str
    metadata: dict[str, Any] | None


@dataclass
class Tracker:
    sender_id: str
    events: list[Event] = field(default_factory=list)


class Trackers:
    """The trackers that were saved."""

    def __init__(self) -> None:
        self._events: defaultdict[str, list[Event]] = defaultdict(list)

    def load(self, conversation: str) -> Tracker:
        return Tracker(conversation, list(self._events[conversation]))

    def add(self, conversation: str, event: Event) -> None:
        self._events[conversation].append(event)


class Processor:
    """Stands in for Rasa's `MessageProcessor`."""

    def __init__(self, trackers: Trackers) -> None:
        self._trackers = trackers

    async def get_tracker(self, conversation: str) -> Tracker:
        """Load a tracker, at once: so the ledger sees a turn begin when its attempt does."""
        return self._trackers.load(conversation)

    async def save_tracker(self, message: InboundMessage) -> None:
        """Save the turn of a message: at one moment, some time before the store has answered."""
        await asyncio.sleep(0.002)
        self._trackers.add(message.sender_id, Event(message.id, message.metadata))
