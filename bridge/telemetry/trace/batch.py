"""What a process writes at a time: the hops of many messages, in JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal

import msgspec

from bridge.errors import MessageError
from bridge.messages import UNREADABLE
from bridge.telemetry.trace.hop import Hop
from bridge.telemetry.trace.records import Called, Enqueued, Record, Turned
from bridge.telemetry.trace.rows import CALL_SETTLED, CALLED, REPLIED, TURN_SETTLED, TURNED, Row


class Batch(msgspec.Struct, frozen=True):
    """The hops that one process has written at a time."""

    process: str
    hops: list[Hop]
    """What is in no record. Processes of version 1 wrote all hops here."""
    dropped: int = 0
    """Hops that the process has lost since its last batch."""
    enqueued: list[Enqueued] = []
    turned: list[Turned] = []
    called: list[Called] = []

    def all_hops(self) -> Iterator[Hop]:
        """Yield all hops, also those of the records."""
        yield from self.hops
        records: list[Record] = [*self.enqueued, *self.turned, *self.called]
        for record in records:
            yield from record.hops()


Mark = Literal["whole", "first", "later"]
"""Which part of a process's hops a batch is. A small batch is written again, together with others:
what is in a *whole* one is not. *First* is the first small one of those together, so a reader knows
of a process that was killed before it wrote them again."""
WHOLE: Mark = "whole"
FIRST: Mark = "first"
LATER: Mark = "later"
SMALL = 8 * 1024
"""Bytes below which a batch is small."""

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Batch)


class Entries(msgspec.Struct):
    """Hops and records that have no batch yet."""

    hops: list[Hop] = []
    """What is in no record."""
    enqueued: list[Enqueued] = []
    turned: list[Row] = []
    called: list[Row] = []

    def __len__(self) -> int:
        return sum(map(len, self._lists()))

    def _lists(self) -> tuple[list[Any], ...]:
        return self.hops, self.enqueued, self.turned, self.called

    def add(self, entries: Entries) -> None:
        """Add others behind these."""
        for own, more in zip(self._lists(), entries._lists(), strict=True):
            own += more

    def first(self, most: int) -> Entries:
        """Return so many entries, or all."""
        found: list[list[Any]] = []
        for entries in self._lists():
            found.append(entries[:most])
            most -= len(found[-1])
        return Entries(*found)

    def remove(self, first: Entries) -> None:
        """Remove what `first` has returned."""
        for own, written in zip(self._lists(), first._lists(), strict=True):
            del own[: len(written)]

    def number(self) -> int:
        """Return the number of hops of all entries."""
        possible = len(self.hops) + 2 * len(self.enqueued)
        possible += 4 * len(self.turned) + 3 * len(self.called)
        missing = [entry.confirmed for entry in self.enqueued].count(0.0)
        for rows, times in (
            (self.turned, (TURN_SETTLED, TURNED, REPLIED)),
            (self.called, (CALL_SETTLED, CALLED)),
        ):
            missing += sum([row[at] for row in rows].count(0.0) for at in times)
        return possible - missing

    def _writable(self) -> Entries:
        """Return those that can be written."""
        return Entries(*(list(filter(_can_be_written, entries)) for entries in self._lists()))


def encode(process: str, entries: Entries, dropped: int = 0) -> bytes:
    """Return the JSON body of a batch. What cannot be written is left out, and counted."""
    try:
        return _encode(process, entries, dropped)
    except (TypeError, ValueError):  # half a surrogate pair in an id
        written = entries._writable()
        return _encode(process, written, dropped + entries.number() - written.number())


def _encode(process: str, entries: Entries, dropped: int) -> bytes:
    # The fields of a `Batch`. One call encodes all entries: to make their structs first would take
    # as long again.
    return _encoder.encode(
        {
            "process": process,
            "hops": entries.hops,
            "dropped": dropped,
            "enqueued": entries.enqueued,
            "turned": entries.turned,
            "called": entries.called,
        }
    )


def _can_be_written(entry: Hop | Enqueued | Row) -> bool:
    try:
        _encoder.encode(entry)
    except (TypeError, ValueError):
        return False
    return True


def together(bodies: Iterable[bytes]) -> bytes:
    """Return several batches as one body, one on each line."""
    return b"\n".join(bodies)


def first_of(body: bytes) -> bytes | None:
    """Return the first of several batches, or the only one; None if that is not small."""
    end = body.find(b"\n", 0, SMALL)
    return body[:end] if end >= 0 else body if len(body) < SMALL else None


def decode(body: bytes) -> Batch:
    """Return the batch in a body that has one.

    Raises:
        MessageError: the body is no batch, or one of a later version.
    """
    try:
        return _decoder.decode(body)
    except UNREADABLE as error:
        raise MessageError(f"not a valid batch of hops: {error}") from error
