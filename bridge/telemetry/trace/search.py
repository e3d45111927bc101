"""Finds the hops of a message among all batches, by any of its ids. No AMQP."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from bridge.errors import MessageError
from bridge.telemetry.trace.batch import decode
from bridge.telemetry.trace.hop import Hop

BEGINNINGS = ("accepted", "scheduled")
"""The kinds of hop before which a message has none."""
MOST = 100_000
"""Hops kept of one search."""


class Seen(NamedTuple):
    """A hop, and the process that wrote it."""

    hop: Hop
    process: str


class Search:
    """Collects the hops of the messages that an id names; `take` each body of the stream.

    The id is that of an inbound message (by default the provider's), of a reply, that which a
    service gave to a reply, or a conversation.
    """

    def __init__(self, wanted: str) -> None:
        self._wanted = wanted
        self._ids = {wanted, _inbound_of(wanted)}
        self._needles = [_needle(id) for id in self._ids]
        self._found: list[Seen] = []
        self.read = 0
        """Bodies taken."""

    @property
    def found(self) -> int:
        """The number of hops that are found so far."""
        return len(self._found)

    def take(self, body: bytes) -> None:
        """Look at a body with one batch or several. What is no batch is ignored."""
        self.read += 1
        # Decoding everything would take ten times as long.
        if not any(needle in body for needle in self._needles):
            return
        for line in body.split(b"\n"):
            if any(needle in line for needle in self._needles):
                self._take(line)

    def _take(self, line: bytes) -> None:
        try:
            batch = decode(line)
        except MessageError:
            return
        for hop in batch.all_hops():
            if self._matches(hop) and len(self._found) < MOST:
                self._found.append(Seen(hop, batch.process))

    def _matches(self, hop: Hop) -> bool:
        return hop.id in self._ids or self._wanted in (hop.conversation, hop.provider_id)

    def further_ids(self) -> bool:
        """Return whether the ids of messages were learnt that batches must be searched for again.

        Only the process that called the service knows the service's id.
        """
        learnt = self._learnt()
        if not learnt:
            return False
        self._ids |= learnt
        self._needles = [_needle(id) for id in self._ids]
        self._found.clear()
        return True

    def has_learnt(self) -> bool:
        """Return whether `further_ids` would."""
        return bool(self._learnt())

    def _learnt(self) -> set[str]:
        named = {seen.hop.id for seen in self._found if seen.hop.provider_id == self._wanted}
        return named - self._ids

    def is_complete(self) -> bool:
        """Return whether something was found, and everything found has its beginning."""
        messages = self.messages()
        return bool(messages) and all(
            any(seen.hop.kind in BEGINNINGS for seen in hops) for hops in messages
        )

    def messages(self) -> list[list[Seen]]:
        """Return the hops of each message in order of time, the earliest message first."""
        exact = any(seen.hop.id == self._wanted for seen in self._found)
        groups: dict[tuple[str, str], list[Seen]] = {}
        # A batch that was written late may be there twice.
        for seen in sorted(dict.fromkeys(self._found), key=lambda seen: seen.hop.at):
            if not exact or self._wanted in (seen.hop.id, seen.hop.conversation):
                groups.setdefault((seen.hop.channel, seen.hop.id), []).append(seen)
        return [part for hops in groups.values() for part in _by_conversation(hops)]


def _by_conversation(hops: list[Seen]) -> Iterable[list[Seen]]:
    """Separate messages with the same id: an id is unique within its conversation only.

    A reply may have another recipient. It belongs to the only message, or to that before it.
    """
    groups: dict[str, list[Seen]] = {}
    latest = ""
    for seen in hops:
        conversation = seen.hop.conversation
        if not seen.hop.reply or conversation in groups or not groups:
            latest = conversation
        groups.setdefault(latest, []).append(seen)
    return groups.values()


def _needle(id: str) -> bytes:
    """Return an id as it stands in a batch."""
    try:
        return msgspec.json.encode(id)
    except UnicodeEncodeError:
        return b'"\0"'  # half a surrogate pair: in no batch


def _inbound_of(id: str) -> str:
    """Return the id of the message to which a reply with this id belongs, else the id itself."""
    inbound, _, number = id.rpartition(":")
    return inbound if inbound and number.isdigit() else id
