"""The page's dead letters: `rasa-bridge dead` as JSON over HTTP."""

from __future__ import annotations

import asyncio
import json
from typing import Any, TypeVar

import msgspec
from sanic import Blueprint, Request
from sanic.response import HTTPResponse, json as json_response

from bridge.dead_letters.filter import Filter
from bridge.errors import RequestRejected
from bridge.messages import UNREADABLE, Flow
from bridge.monitor.dead_passes import DeadLetters, Passes

MAX_LISTED = 500

S = TypeVar("S", bound=msgspec.Struct)


class FilterFields(msgspec.Struct, forbid_unknown_fields=True):
    """The fields of a `Filter`. An unknown field is an error: ignoring it would match more."""

    flow: Flow | None = None
    channel: str | None = None
    conversation: str | None = None
    error: str | None = None
    id: str | None = None
    reason: str | None = None
    cause: str | None = None

    def as_filter(self) -> Filter:
        return Filter(**msgspec.structs.asdict(self))


class ListRequest(msgspec.Struct, forbid_unknown_fields=True):
    filter: FilterFields
    limit: int = 50


class ShowRequest(msgspec.Struct, forbid_unknown_fields=True):
    filter: FilterFields
    text: bool = False


class FilterRequest(msgspec.Struct, forbid_unknown_fields=True):
    filter: FilterFields


class PurgeRequest(msgspec.Struct, forbid_unknown_fields=True):
    filter: FilterFields
    most: int
    """The number that the user confirmed; no more are deleted."""


def blueprint(letters: DeadLetters, passes: Passes) -> Blueprint:
    """Return the routes /api/dead/list, count, causes, show, replay, purge and stop; all are POST.

    GET /api/dead/progress tells how far the latest of them has come.
    """
    routes = Blueprint("dead", url_prefix="/api/dead")

    @routes.post("/list")
    async def first(request: Request) -> HTTPResponse:
        asked = _body(request, ListRequest)
        limit = min(max(asked.limit, 1), MAX_LISTED)
        wanted = asked.filter.as_filter()
        return _answer(
            await passes.answered(lambda known: letters.listed(wanted, limit, known), wanted)
        )

    @routes.post("/count")
    async def count(request: Request) -> HTTPResponse:
        wanted = _body(request, FilterRequest).filter.as_filter()
        counting = passes.counting(wanted)
        total = await (asyncio.shield(counting) if counting else passes.run(letters.count(wanted)))
        return _answer({"total": total})

    @routes.post("/causes")
    async def causes(request: Request) -> HTTPResponse:
        wanted = _body(request, FilterRequest).filter.as_filter()
        return _answer(await passes.run(letters.causes(wanted)))

    @routes.post("/show")
    async def show(request: Request) -> HTTPResponse:
        asked = _body(request, ShowRequest)
        wanted = asked.filter.as_filter()
        return _answer(await passes.answered(lambda k: letters.shown(wanted, asked.text, k)))

    @routes.post("/replay")
    async def replay(request: Request) -> HTTPResponse:
        wanted = _body(request, FilterRequest).filter.as_filter()
        return _answer(await passes.run(letters.replay(wanted)))

    @routes.post("/purge")
    async def purge(request: Request) -> HTTPResponse:
        asked = _body(request, PurgeRequest)
        return _answer(await passes.run(letters.purge(asked.filter.as_filter(), asked.most)))

    @routes.post("/stop")
    async def stop(request: Request) -> HTTPResponse:
        letters.stop()
        return _answer({})

    @routes.get("/progress")
    async def progress(request: Request) -> HTTPResponse:
        return _answer(vars(letters.progress))

    return routes


def _body(request: Request, kind: type[S]) -> S:
    try:
        return msgspec.json.decode(request.body, type=kind)
    except UNREADABLE:
        # Without the decoder's text, which may quote the request.
        raise RequestRejected(400, "the request body has the wrong shape") from None


def _answer(value: Any) -> HTTPResponse:
    # Not Sanic's dumps (ujson and the like), which fails on lone surrogates in received texts.
    return json_response(value, dumps=json.dumps)
