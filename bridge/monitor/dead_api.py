"""The page's dead letters: what `rasa-bridge dead` does, as JSON over HTTP.

A look takes messages and gives them back, so nothing here happens unasked, and one thing at a time:
what one reader holds, another one would not see.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from typing import Any, Literal, TypeVar

import msgspec
from sanic import Blueprint, Request
from sanic.response import HTTPResponse, json as json_response

from bridge.dead_letters import queue as dead_letter_queue
from bridge.dead_letters.facts import as_plain, facts
from bridge.dead_letters.filter import Filter
from bridge.dead_letters.queue import Purge
from bridge.dead_letters.replay import Replay
from bridge.errors import RequestRejected
from bridge.settings.files import BrokerSettings

log = logging.getLogger(__name__)

MOST_SHOWN = 500

S = TypeVar("S", bound=msgspec.Struct)


class Wanted(msgspec.Struct, forbid_unknown_fields=True):
    """Which dead letters are meant, see `bridge.dead_letters.Filter`. A misspelt key is an error:
    without it more would match."""

    flow: Literal["inbound", "replies"] | None = None
    channel: str | None = None
    conversation: str | None = None
    error: str | None = None
    id: str | None = None

    @property
    def filter(self) -> Filter:
        return Filter(self.flow, self.channel, self.conversation, self.error, self.id)


class List(msgspec.Struct, forbid_unknown_fields=True):
    filter: Wanted
    limit: int = 50


class Show(msgspec.Struct, forbid_unknown_fields=True):
    filter: Wanted
    text: bool = False


class Bring(msgspec.Struct, forbid_unknown_fields=True):
    filter: Wanted


class Delete(msgspec.Struct, forbid_unknown_fields=True):
    filter: Wanted
    most: int
    """As many as somebody has confirmed."""


def blueprint(broker: BrokerSettings) -> Blueprint:
    """Return /api/dead/list, show, replay and purge; all are POSTs."""
    routes = Blueprint("dead", url_prefix="/api/dead")
    topology = broker.topology()
    alone = asyncio.Lock()

    @routes.post("/list")
    async def first(request: Request) -> HTTPResponse:
        asked = _body(request, List)
        limit = min(max(asked.limit, 1), MOST_SHOWN)
        async with alone:
            letters, total = await dead_letter_queue.first(
                broker.url, topology, asked.filter.filter, limit
            )
        return _answer({"letters": [as_plain(letter) for letter in letters], "total": total})

    @routes.post("/show")
    async def show(request: Request) -> HTTPResponse:
        asked = _body(request, Show)
        wanted = asked.filter.filter
        async with alone:
            among = await dead_letter_queue.depths(broker.url, topology, wanted)
            found = [
                facts(letter, delivery, time.time(), text=asked.text)
                async for letter, delivery in dead_letter_queue.scan(
                    broker.url, topology, wanted, among
                )
            ]
        return _answer({"letters": found})

    @routes.post("/replay")
    async def replay(request: Request) -> HTTPResponse:
        wanted = _body(request, Bring).filter.filter
        async with alone:
            among = await dead_letter_queue.depths(broker.url, topology, wanted)
            work = Replay(broker.url, topology, wanted)
            try:
                await work.run(among, _no_tick)
            finally:
                kept = work.kept.total()
                log.info("replayed %d dead letters, kept %d", work.replayed, kept)
        return _answer(
            {
                "replayed": work.replayed,
                "kept": dict(work.kept),
                "unanswered": work.unanswered,
                "unseen": work.unseen,
            }
        )

    @routes.post("/purge")
    async def purge(request: Request) -> HTTPResponse:
        asked = _body(request, Delete)
        wanted = asked.filter.filter
        async with alone:
            among = await dead_letter_queue.depths(broker.url, topology, wanted)
            work = Purge(broker.url, topology, wanted)
            try:
                await work.run(among, asked.most, _no_tick)
            finally:
                log.info("deleted %d dead letters", work.deleted)
        return _answer({"deleted": work.deleted, "unseen": work.unseen})

    return routes


def _body(request: Request, kind: type[S]) -> S:
    try:
        return msgspec.json.decode(request.body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError):
        # Its own words may quote the request.
        raise RequestRejected(400, "the body is not what this URL takes") from None


def _answer(value: Any) -> HTTPResponse:
    # Not Sanic's dumps (ujson or the like): what a stranger sent may hold half surrogate pairs.
    return json_response(value, dumps=json.dumps)


def _no_tick() -> None:
    return None
