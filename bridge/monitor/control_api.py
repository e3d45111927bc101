"""The page's buttons for a flow: pause it, resume it, probe its service now."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import msgspec
from sanic import Blueprint, Request
from sanic.response import HTTPResponse, json as json_response

from bridge.broker.connection import connect
from bridge.broker.pauses import PauseNote, pause, probe, resume
from bridge.broker.topology import Topology
from bridge.errors import RequestRejected
from bridge.messages import REPLIES, UNREADABLE, Flow
from bridge.monitor.problem import Action
from bridge.runtime.role import process_name
from bridge.settings.files import BrokerSettings

log = logging.getLogger(__name__)

LONGEST_REASON = 200


class Command(msgspec.Struct, forbid_unknown_fields=True):
    flow: Flow
    action: Action
    channel: str = ""
    reason: str = ""


def blueprint(broker: BrokerSettings, topology: Topology, changed: Callable[[], None]) -> Blueprint:
    """Return the route /api/flow (POST); `changed` is called once a request is stored."""
    routes = Blueprint("flow", url_prefix="/api/flow")

    @routes.post("/")
    async def command(request: Request) -> HTTPResponse:
        try:
            asked = msgspec.json.decode(request.body, type=Command)
        except UNREADABLE:
            raise RequestRejected(400, "the request body has the wrong shape") from None
        known = asked.channel in topology.channels if asked.flow == REPLIES else not asked.channel
        if not known:
            raise RequestRejected(404, "there is no such flow")
        flow = asked.flow, asked.channel
        async with connect(broker.url, process_name("monitor")) as connection:
            if asked.action == "pause":
                note = PauseNote(time.time(), "the monitor page", asked.reason[:LONGEST_REASON])
                await pause(connection, topology, *flow, note)
            elif asked.action == "resume":
                await resume(connection, topology, *flow)
            else:
                await probe(connection, topology, *flow)
        log.warning("%s: %s %s", asked.action, *flow)
        changed()
        return json_response({})

    return routes
