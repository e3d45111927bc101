"""What the events of a client do: connect, ask for a session, say something."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bridge.connectors.base import Connector
from bridge.connectors.interfaces import Inbox
from bridge.connectors.socketio.incoming import parse
from bridge.connectors.socketio.server import TextServer
from bridge.connectors.toolkit.error_responses import error_response
from bridge.connectors.toolkit.ids import as_id, check_ids
from bridge.errors import BridgeError, BrokerUnavailable, RequestRejected
from bridge.telemetry import logs, metrics

A_YEAR = 365 * 24 * 3600.0


@dataclass(frozen=True)
class Options:
    """The channel's keys that concern its events."""

    user_event: str
    namespace: str
    persistent: bool
    metadata_key: str
    claims: Callable[[Any], dict[str, Any] | None]
    """Returns the claims of a client's `auth`, or None if it may not connect."""


class Events:
    """Handles the events of one server. Each handler returns the acknowledgement: None or an
    error."""

    def __init__(
        self, connector: Connector, server: TextServer, inbox: Inbox, options: Options
    ) -> None:
        self._connector = connector
        self._server = server
        self._inbox = inbox
        self._options = options
        self._expiries: dict[str, Any] = {}
        """Socket → what closes it when its token expires."""
        for event, handler in (
            ("connect", self._connect),
            ("disconnect", self._disconnect),
            ("session_request", self._session_request),
            (options.user_event, self._say),
        ):
            server.on(event, handler, namespace=options.namespace)

    async def _connect(self, sid: str, environ: Any, auth: Any = None) -> bool:
        claims = self._options.claims(auth)
        if claims is None:
            metrics.requests_rejected.labels(self._connector.channel, 403).inc()
            return False
        if "exp" in claims:
            until = min(int(claims["exp"]), 2**53)  # a whole number may be too large for a float
            left = min(max(0.0, until - self._connector.now()), A_YEAR)
            loop = asyncio.get_running_loop()
            self._expiries[sid] = loop.call_later(left, self._expired, sid)
        return True

    def _expired(self, sid: str) -> None:
        # With a disconnect packet: the client may connect again with a new token, not with this.
        disconnecting = self._server.disconnect(sid, self._options.namespace, ignore_queue=True)
        self._expiries[sid] = asyncio.get_running_loop().create_task(disconnecting)

    async def _disconnect(self, sid: str, *_: Any) -> None:
        expiry = self._expiries.pop(sid, None)
        if isinstance(expiry, asyncio.TimerHandle):
            expiry.cancel()

    async def _session_request(self, sid: str, data: Any = None, *_: Any) -> dict[str, Any] | None:
        given = data.get("session_id") if isinstance(data, dict) else None
        session = as_id(given) or uuid.uuid4().hex
        try:
            check_ids(session_id=session)
        except RequestRejected as error:
            return await self._refuse(sid, error)
        if self._options.persistent:
            await self._move(sid, session)
        await self._tell(sid, "session_confirm", session)
        return None

    async def _say(self, sid: str, data: Any = None, *_: Any) -> dict[str, Any] | None:
        connector, options = self._connector, self._options
        try:
            if not connector.receiver.receives:
                raise BrokerUnavailable("replies cannot reach this process yet")
            message = parse(connector, sid, data, options.metadata_key, options.persistent)
            with logs.bound(channel=connector.channel):
                await self._inbox.enqueue(message)
        except BridgeError as error:
            return await self._refuse(sid, error)
        return None

    async def _move(self, sid: str, session: str) -> None:
        """Leave all other sessions, and hear the replies of this one."""
        namespace = self._options.namespace
        for room in list(self._server.rooms(sid, namespace)):
            if room not in (sid, session):
                await self._server.leave_room(sid, room, namespace)
        await self._server.enter_room(sid, session, namespace)

    async def _refuse(self, sid: str, error: BridgeError) -> dict[str, Any]:
        response = error_response(error)
        metrics.requests_rejected.labels(self._connector.channel, response.status).inc()
        answer = {"status": response.status, **json.loads(response.body or b"{}")}
        await self._tell(sid, f"{self._options.user_event}_error", answer)
        return answer

    async def _tell(self, sid: str, event: str, data: Any) -> None:
        # This process holds the socket, so no other process needs the event.
        await self._server.emit(
            event, data, room=sid, namespace=self._options.namespace, ignore_queue=True
        )
