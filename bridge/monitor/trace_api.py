"""The page's search for a message: `rasa-bridge trace` as JSON over HTTP."""

from __future__ import annotations

import asyncio
import json

import msgspec
from sanic import Blueprint, Request
from sanic.response import HTTPResponse, json as json_response

from bridge.broker.connection import connect
from bridge.errors import RequestRejected
from bridge.messages import UNREADABLE
from bridge.monitor.tracing import find_stories
from bridge.settings.files import BrokerSettings

MOST = 20
"""Messages of one answer: the latest."""


class TraceRequest(msgspec.Struct, forbid_unknown_fields=True):
    id: str


def blueprint(broker: BrokerSettings) -> Blueprint:
    """Return the route POST /api/trace, which answers with the latest `Story` structs."""
    routes = Blueprint("trace")
    topology = broker.topology()
    # A search may keep half of the memory that the container has.
    one_at_a_time = asyncio.Semaphore()

    @routes.post("/api/trace")
    async def search(request: Request) -> HTTPResponse:
        try:
            wanted = msgspec.json.decode(request.body, type=TraceRequest).id.strip()
        except UNREADABLE:
            raise RequestRejected(400, 'send {"id": "…"}') from None
        if not wanted:
            raise RequestRejected(400, "the id is empty")
        async with one_at_a_time, connect(broker.url, "trace") as connection:
            stories, since = await find_stories(connection, topology, wanted)
        shown = [msgspec.to_builtins(story) for story in stories[-MOST:]]
        # Not Sanic's dumps, as in `dead_api`.
        found = {"stories": shown, "found": len(stories), "since": since}
        return json_response(found, dumps=json.dumps)

    return routes
