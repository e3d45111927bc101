"""What a process writes at a time: the hops of many messages, in JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, Literal

import msgspec

from bridge.errors import MessageError
from bridge.messages import UNREADABLE
from bridge.telemetry.trace.hop import Hop
from bridge.telemetry.trace.records import Called, Enqueued, Record, Turned


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


def encode(process: str, entries: Sequence[Hop | Record], dropped: int = 0) -> bytes:
    """Return the JSON body of a batch. What cannot be written is left out, and counted."""
    try:
        return _encoder.encode(_batch(process, entries, dropped))
    except (TypeError, ValueError):  # half a surrogate pair in an id
        written = [entry for entry in entries if _can_be_written(entry)]
        dropped += hops_of(entries) - hops_of(written)
        return _encoder.encode(_batch(process, written, dropped))


def _batch(process: str, entries: Sequence[Hop | Record], dropped: int) -> Batch:
    found: dict[type, list[Any]] = {kind: [] for kind in (Hop, Enqueued, Turned, Called)}
    # Most entries follow one of their type, so little is done for each of them.
    for kind, run in groupby(entries, type):
        next(found[base] for base in found if issubclass(kind, base)).extend(run)
    return Batch(process, found[Hop], dropped, found[Enqueued], found[Turned], found[Called])


def _can_be_written(entry: Hop | Record) -> bool:
    try:
        _encoder.encode(entry)
    except (TypeError, ValueError):
        return False
    return True


def hops_of(entries: Sequence[Hop | Record]) -> int:
    """Return the number of hops of all entries."""
    return sum(map(len, entries))


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
