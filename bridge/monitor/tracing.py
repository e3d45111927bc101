"""Finds the story of a message in the stream of hops: the newest part first."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from bridge.broker.connection import Connection
from bridge.broker.stream_reading import Place, read_stream
from bridge.broker.topology import Topology
from bridge.errors import BrokerUnavailable, NotDeclared
from bridge.monitor.written_again import SLACK, WrittenAgain
from bridge.telemetry.trace.recorder import LATEST
from bridge.telemetry.trace.search import Search
from bridge.telemetry.trace.story import Story, is_told, story_of

RECENT = 600.0
"""Seconds to look back first, at every batch: twice the time after which all are written again
together."""
SPANS = (7200.0, 28800.0, None)
"""Seconds to look back then, one step after the other; None: the whole stream."""
IN_MEMORY = 128 * 1024**2
"""Bytes of batches that a search keeps."""


Told = Callable[[int, int, int], object]
"""Receives how many batches of a part were read, how many it has, and how many hops are found."""


def untold(done: int, total: int, found: int) -> None:
    """Show no progress."""


class Found(NamedTuple):
    """What a search has found."""

    stories: list[Story]
    since: float
    """Unix time in seconds from which the trace was read; 0 if it is empty."""


async def find_stories(
    connection: Connection,
    topology: Topology,
    wanted: str,
    *,
    since: float | None = None,
    progress: Told = untold,
) -> Found:
    """Return what happened to the messages that `wanted` names, the earliest message first.

    `wanted` is an id of a message or of a reply, the id that a service gave to a reply, or a
    conversation. Of a conversation, these are the messages of the newest part of the stream that
    has some, or all since `since` (Unix time). `progress` begins anew with each part of the stream.

    Raises:
        BrokerUnavailable: there is no stream, or the connection was lost.
    """
    search = Search(wanted)
    read = _Batches(search)
    try:
        await _read(connection, topology, read, since, progress)
        if search.further_ids():  # of a stream that does not fit into the memory
            await _read(connection, topology, read, since, progress)
    except NotDeclared as error:
        raise BrokerUnavailable(
            f"no trace is kept: {error.problem}",
            fix="start a role, with 'trace' not set to false in the section 'bridge'",
        ) from error
    return Found([story_of(hops) for hops in search.messages()], read.again.since)


class _Batches:
    """What was read, kept in memory as long as it fits: some searches need it twice."""

    def __init__(self, search: Search) -> None:
        self.search = search
        self.again = WrittenAgain()
        self._bodies: list[bytes] | None = []
        self._size = 0

    def take(self, body: bytes) -> None:
        self.search.take(body)
        if self._bodies is not None:
            self._bodies.append(body)
            self._size += len(body)
            if self._size > IN_MEMORY:
                self._bodies = None

    def look_again(self) -> None:
        """Look at the batches again for ids that the search has learnt, if they are in memory."""
        if self._bodies is not None and self.search.further_ids():
            for body in self._bodies:
                self.search.take(body)


async def _read(
    connection: Connection,
    topology: Topology,
    batches: _Batches,
    since: float | None,
    progress: Told,
) -> None:
    """Read the stream, the newest part first, until the search is complete."""
    now, search = time.time(), batches.search

    def tell(done: int, total: int) -> None:
        progress(done, total, search.found)

    async def read(start: float | None, before: Place | None, *, only_whole: bool) -> Place | None:
        start = since if start is None else max(start, since or 0.0)
        place = await read_stream(
            connection,
            topology,
            batches.take,
            since=start,
            before=before,
            only_whole=only_whole,
            look=batches.again.look,
            progress=tell,
        )
        batches.look_again()
        return place

    recent = before = await read(now - RECENT, None, only_whole=False)
    if recent is None or (since is not None and since >= now - RECENT):
        return
    for span in SPANS:
        if search.is_complete() or search.has_learnt():
            break
        before = await read(now - span if span else None, before, only_whole=True)
    # A process that was killed did not write its last small batches again.
    stories = [story_of(hops) for hops in search.messages()]
    unclear = [story.began for story in stories if not is_told(story)]
    if search.has_learnt() or (stories and not unclear):
        return
    begin = min(unclear) if search.is_complete() else 0.0
    if begin:
        # The first of the small batches may have been written earlier.
        await read(begin - LATEST - SLACK, before, only_whole=True)
    for part in batches.again.lacking(begin, recent):
        await read(part.start, part.before, only_whole=False)
        if search.has_learnt() or (not begin and search.is_complete()):
            return
