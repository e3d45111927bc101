"""Finds a repeated turn in the tracker that Rasa loads for it anyway. Needs no rasa.

A tracker is never kept and never handed over: the check looks at the one that Rasa has just loaded,
inside Rasa's lock, so it costs no query and cannot see an old state.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from bridge.messages import InboundMessage


class AlreadyRun(Exception):
    """The tracker contains the message: its turn was completed before. Leave it as it is."""


@dataclass
class _Turn:
    """The turn whose tracker is about to be loaded."""

    message: InboundMessage
    is_checked: bool = False

    def check(self, tracker: Any) -> None:
        """Look at the first tracker of the turn, and only at that: later ones hold the message."""
        if self.is_checked or tracker.sender_id != self.message.sender_id:
            return
        self.is_checked = True
        if any(
            getattr(event, "message_id", None) == self.message.id
            for event in reversed(tracker.events)
        ):
            raise AlreadyRun


_turn: ContextVar[_Turn | None] = ContextVar("turn", default=None)


@contextmanager
def refused(message: InboundMessage) -> Iterator[None]:
    """Make a watched processor refuse the turn of a message that its tracker contains.

    Raises:
        AlreadyRun: it does.
    """
    turn = _Turn(message)
    token = _turn.set(turn)
    try:
        yield
    finally:
        _turn.reset(token)
        # A reminder that the turn has scheduled inherits its context.
        turn.is_checked = True


def watch(processor: Any) -> None:
    """Check each tracker that a `MessageProcessor` loads for a turn. Once per processor."""
    if "get_tracker" in vars(processor):
        return
    load = processor.get_tracker

    async def get_tracker(*args: Any, **kwargs: Any) -> Any:
        tracker = await load(*args, **kwargs)
        turn = _turn.get()
        if turn is not None:
            turn.check(tracker)
        return tracker

    processor.get_tracker = get_tracker
