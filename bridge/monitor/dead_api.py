"""The page's dead letters: `rasa-bridge dead` as JSON over HTTP.

Reading a dead-letter queue consumes its messages and returns them. So the page reads only on
request, and one request runs at a time: messages held by one reader are invisible to another.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from typing import Any, TypeVar

import msgspec
from sanic import Blueprint, Request
from sanic.response import HTTPResponse, json as json_response

from bridge.dead_letters import queue as dead_letter_queue
from bridge.dead_letters.facts import as_plain, facts
from bridge.dead_letters.filter import Filter
from bridge.dead_letters.queue import Purge
from bridge.dead_letters.replay import Replay
from bridge.errors import RequestRejected
from bridge.messages import Flow
from bridge.settings.files import BrokerSettings

log = logging.getLogger(__name__)

MAX_LISTED = 500

S = TypeVar("S", bound=msgspec.Struct)


class FilterFields(msgspec.Struct, forbid_unknown_fields=True):
    """The fields of a `Filter`. An unknown field is an error: ignoring it would match more."""

    flow: Flow | None = None
    channel: str | None = None
    conversation: str | None = None
    error: str | None = None
    id: str | None = None

    def as_filter(self) -> Filter:
        return Filter(self.flow, self.channel, self.conversation, self.error, self.id)


class ListRequest(msgspec.Struct, forbid_unknown_fields=True):
    filter: FilterFields
    limit: int = 50


class ShowRequest(msgspec.Struct, forbid_unknown_fields=True):
    filter: FilterFields
    text: bool = False


class ReplayRequest(msgspec.Struct, forbid_unknown_fields=True):
    filter: FilterFields


class PurgeRequest(msgspec.Struct, forbid_unknown_fields=True):
    filter: FilterFields
    most: int
    """The number that the user confirmed; no more are deleted."""


def blueprint(broker: BrokerSettings) -> Blueprint:
    """Return the routes /api/dead/list, show, replay and purge; all are POST."""
    routes = Blueprint("dead", url_prefix="/api/dead")
    topology = broker.topology()
    one_at_a_time = asyncio.Lock()

    @routes.post("/list")
    async def first(request: Request) -> HTTPResponse:
        asked = _body(request, ListRequest)
        limit = min(max(asked.limit, 1), MAX_LISTED)
        async with one_at_a_time:
            letters, total = await dead_letter_queue.first(
                broker.url, topology, asked.filter.as_filter(), limit
            )
        return _answer({"letters": [as_plain(letter) for letter in letters], "total": total})

    @routes.post("/show")
    async def show(request: Request) -> HTTPResponse:
        asked = _body(request, ShowRequest)
        wanted = asked.filter.as_filter()
        async with one_at_a_time:
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
        wanted = _body(request, ReplayRequest).filter.as_filter()
        async with one_at_a_time:
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
        asked = _body(request, PurgeRequest)
        wanted = asked.filter.as_filter()
        async with one_at_a_time:
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
        # Without the decoder's text, which may quote the request.
        raise RequestRejected(400, "the request body has the wrong shape") from None


def _answer(value: Any) -> HTTPResponse:
    # Not Sanic's dumps (ujson and the like), which fails on lone surrogates in received texts.
    return json_response(value, dumps=json.dumps)


def _no_tick() -> None:
    return None
