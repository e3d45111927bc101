"""Finds a repeated turn in the tracker that Rasa loads for it anyway. Needs no rasa.

A tracker is never kept and never handed over: the check looks at the one that Rasa has just loaded,
inside Rasa's lock, so it costs no query and cannot see an old state.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import chain
from typing import Any

from bridge.messages import InboundMessage
from bridge.messages.grouped import ids_in, without
from bridge.runtime.work import note_known, seal

log = logging.getLogger(__name__)


class AlreadyRun(Exception):
    """The tracker contains the message: its turn was completed before. Leave it as it is."""


class PartlyRun(Exception):
    """The tracker contains some of the messages of a turn: only the others must run."""

    def __init__(self, ids: Collection[str], left: InboundMessage) -> None:
        super().__init__(left.id)
        self.ids = ids
        self.left = left
        """The turn without them."""


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
        if not self.message.parts:
            if any(self.message.id in ids for ids in _ids_of(tracker)):
                raise AlreadyRun
            return
        ids = {part.id for part in self.message.parts}
        known = ids.intersection(chain.from_iterable(_ids_of(tracker)))
        left = without(self.message, known) if known else self.message
        if left is None:
            raise AlreadyRun
        if known:
            raise PartlyRun(known, left)


def _ids_of(tracker: Any) -> Iterator[Sequence[str]]:
    """Yield the ids of the messages of each turn, the newest turn first."""
    for event in reversed(tracker.events):
        id = getattr(event, "message_id", None)
        if id is not None:
            yield id, *ids_in(getattr(event, "metadata", None), id)


_turn: ContextVar[_Turn | None] = ContextVar("turn", default=None)


@contextmanager
def refused(message: InboundMessage) -> Iterator[None]:
    """Make a watched processor refuse the turn of a message that its tracker contains.

    Raises:
        AlreadyRun: it does.
        PartlyRun: it contains some of the messages of the turn.
    """
    turn = _Turn(message)
    token = _turn.set(turn)
    try:
        yield
    finally:
        _turn.reset(token)
        # A reminder that the turn has scheduled inherits its context.
        turn.is_checked = True


async def run_new(message: InboundMessage, run: Callable[[InboundMessage], Awaitable[Any]]) -> None:
    """Run a turn with those of its messages that the tracker does not contain.

    Raises:
        AlreadyRun: it contains all.
    """
    try:
        with refused(message):
            await run(message)
    except PartlyRun as known:
        log.info("the tracker already contains a part of the turn: not run again")
        note_known(known.ids)
        with refused(known.left):
            await run(known.left)


def watch(processor: Any) -> None:
    """Check each tracker that a `MessageProcessor` loads for a turn. Once per processor.

    A turn whose tracker is being saved must not be interrupted any more.
    """
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
    save = getattr(processor, "save_tracker", None)
    if save is None:
        return

    async def save_tracker(*args: Any, **kwargs: Any) -> Any:
        seal()
        return await save(*args, **kwargs)

    processor.save_tracker = save_tracker
