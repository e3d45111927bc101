"""Finds the story of a message in the stream of hops: the newest part first."""

from __future__ import annotations

import time

from bridge.broker.connection import Connection
from bridge.broker.stream import read_stream
from bridge.broker.topology import Topology
from bridge.errors import BrokerUnavailable, NotDeclared
from bridge.telemetry.trace.search import Search
from bridge.telemetry.trace.story import Story, story_of

SPANS = (600.0, 7200.0, None)
"""Seconds to look back, one step after the other; None: the whole stream."""


async def find_stories(
    connection: Connection,
    topology: Topology,
    wanted: str,
    *,
    since: float | None = None,
) -> list[Story]:
    """Return what happened to the messages that `wanted` names, the earliest message first.

    `wanted` is an id of a message or of a reply, the id that a service gave to a reply, or a
    conversation. Of a conversation, these are the messages of the newest part of the stream that
    has some, or all since `since` (Unix time).

    Raises:
        BrokerUnavailable: there is no stream, or the connection was lost.
    """
    search = Search(wanted)
    try:
        await _read(connection, topology, search, since)
        if search.further_ids():
            await _read(connection, topology, search, since)
    except NotDeclared as error:
        raise BrokerUnavailable(
            f"no trace is kept: {error.problem}",
            fix="start a role, with 'trace' not set to false in the section 'bridge'",
        ) from error
    return [story_of(hops) for hops in search.messages()]


async def _read(
    connection: Connection, topology: Topology, search: Search, since: float | None
) -> None:
    """Read the stream, the newest part first, until the search is complete."""
    now, before = time.time(), None
    for span in SPANS if since is None else (now - since,):
        start = None if span is None else now - span
        before = await read_stream(connection, topology, search.take, since=start, before=before)
        if not before or search.is_complete():
            return
