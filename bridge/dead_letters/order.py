"""The order in which dead letters are replayed, from what the letters say. No AMQP.

The order of their queue proves nothing: dead letters that were replayed and failed again, or that
an interrupted reader returned, stand behind later ones.
"""

from __future__ import annotations

import tempfile
from collections.abc import Awaitable, Callable, Hashable, Iterator
from typing import NamedTuple

from bridge.messages import DeadLetter, Delivery, InboundMessage, Reply

IN_MEMORY = 16 * 1024 * 1024
"""Bytes of bodies in memory; what exceeds them is in an anonymous file, which ends with us."""


class Moment(NamedTuple):
    """When a message was made. Messages of a conversation are replayed in this order."""

    at: float
    """When it was received, due (a reminder) or created (a reply)."""
    number: int
    """Of a reply within its turn."""
    first_at: float
    last_at: float
    position: int
    """On the dead-letter queue."""


def moment(message: InboundMessage | Reply, letter: DeadLetter, position: int) -> Moment:
    """Return the place of a message among those of its conversation."""
    number = message.id.rpartition(":")[2] if isinstance(message, Reply) else ""
    # No int() of what is not a plain number: "²" is a digit, too.
    known = int(number) if number.isascii() and number.isdigit() and len(number) < 10 else 0
    return Moment(message.at, known, letter.first_at, letter.last_at, position)


def lane_of(message: InboundMessage | Reply) -> Hashable:
    """Return the key within which a replay keeps the order."""
    return message.flow, message.lane()


class Letter(NamedTuple):
    """One dead letter that waits for its replay, without its body."""

    moment: Moment
    lane: int
    """Equal for the letters of one conversation, see `lane_of`."""
    ack: Callable[[], Awaitable[None]]
    """Takes it off the dead-letter queue."""
    start: int
    """Where the body is in the file,"""
    length: int
    """and its length in bytes."""


class Letters:
    """The dead letters of one flow that wait for their replay; their bodies are in a file."""

    def __init__(self) -> None:
        self._bodies = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - see `close`
        self._letters: list[Letter] = []
        self._lanes: dict[Hashable, int] = {}

    def __len__(self) -> int:
        return len(self._letters)

    def add(self, message: InboundMessage | Reply, letter: DeadLetter, delivery: Delivery) -> None:
        """Add a dead letter; the first one added was the first on its queue."""
        when = moment(message, letter, len(self._letters))
        start = self._bodies.seek(0, 2)
        self._bodies.write(delivery.body)
        lane = self._lanes.setdefault(lane_of(message), len(self._lanes))
        self._letters.append(Letter(when, lane, delivery.ack, start, len(delivery.body)))

    def in_order(self) -> Iterator[Letter]:
        """Yield them in the order in which they were received."""
        yield from sorted(self._letters, key=lambda letter: letter.moment)

    def body(self, letter: Letter) -> bytes:
        """Return the body of one."""
        self._bodies.seek(letter.start)
        return self._bodies.read(letter.length)

    def close(self) -> None:
        """Delete the bodies."""
        self._bodies.close()
