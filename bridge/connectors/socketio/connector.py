"""`socketio`: Rasa's Socket.IO channel. Any webhook process may hold a client's socket.

Rasa's own channel: rasa/core/channels/socketio.py (3.6).
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Iterable
from typing import Any

import jwt
from jwt.algorithms import get_default_algorithms
from sanic import Blueprint, Request as SanicRequest
from sanic.response import HTTPResponse, json as json_response
from sanic_routing.exceptions import RouteExists
from socketio import AsyncServer

from bridge.connectors.base import Connector, Request, Verification
from bridge.connectors.interfaces import Inbox
from bridge.connectors.socketio.incoming import parse
from bridge.connectors.socketio.outgoing import ReceivingManager, deliver, split
from bridge.connectors.toolkit.error_responses import error_response
from bridge.errors import BridgeError, BrokerUnavailable, RequestRejected, SettingsError
from bridge.http.client import HttpClient
from bridge.messages import InboundMessage, Reply
from bridge.telemetry import metrics

# Both log users' texts at INFO; the second logs a traceback for each malformed packet.
server_log = logging.getLogger("bridge.connectors.socketio.server")
server_log.setLevel(logging.ERROR)
engine_log = logging.getLogger("bridge.connectors.socketio.engine")
engine_log.setLevel(logging.CRITICAL)


class SocketIOConnector(Connector):
    name = "socketio"
    has_sockets = True
    verification = Verification("token", "jwt_key", "anyone who knows the URL can connect")

    def __init__(
        self,
        user_message_evt: str = "user_uttered",
        bot_message_evt: str = "bot_uttered",
        namespace: str | None = None,
        session_persistence: bool = False,
        socketio_path: str = "/socket.io",
        jwt_key: str | None = None,
        jwt_method: str = "HS256",
        metadata_key: str = "metadata",
    ) -> None:
        """The keys of Rasa's SocketIOInput."""
        if jwt_method not in {*get_default_algorithms()} - {"none"}:
            raise SettingsError(
                "key 'jwt_method' must be a JWT algorithm", fix="use HS256 or RS256, for example"
            )
        self._user_event = user_message_evt
        self._bot_event = bot_message_evt
        self._namespace = namespace or "/"
        self._persistent = session_persistence
        self._path = socketio_path
        self._jwt_key = jwt_key
        self._jwt_method = jwt_method
        self._metadata_key = metadata_key

    def verifies(self) -> bool:
        return bool(self._jwt_key)

    def served_at(self) -> str:
        return self._path

    def parse(self, request: Request) -> list[InboundMessage]:
        raise RequestRejected(404, "this channel receives messages through its sockets")

    def blueprint(self, inbox: Inbox) -> Blueprint:
        """Return a blueprint that attaches the Socket.IO server to its app, as in Rasa."""
        manager = ReceivingManager(self.receiver)
        # [] means that a proxy sets the CORS headers, as in Rasa.
        server = AsyncServer(
            async_mode="sanic",
            cors_allowed_origins=[],
            client_manager=manager,
            logger=server_log,
            engineio_logger=engine_log,
        )
        blueprint = _Attached(f"webhook_{self.channel}".replace("-", "_"))
        blueprint.ctx.attach = lambda app: self._attach(server, app)

        @blueprint.get("/", name="health")
        async def health(_: SanicRequest) -> HTTPResponse:
            return json_response({"status": "ok"})

        async def start(*_: Any) -> None:
            # Not at the first connection: until then, events would pile up at the broker.
            server.manager_initialized = True
            manager.initialize()

        async def stop(*_: Any) -> None:
            manager.stop()
            # Close the transports only: after a disconnect packet, clients would not reconnect.
            for transport in list(server.eio.sockets.values()):
                # Not `eio.disconnect()`, which waits for clients that no longer read.
                await transport.close(wait=False)
            await server.shutdown()

        blueprint.listener("before_server_start")(start)
        blueprint.listener("before_server_stop")(stop)
        self._listen(server, inbox)
        return blueprint

    def _attach(self, server: Any, app: Any) -> None:
        try:
            server.attach(app, self._path)
        except RouteExists as error:
            raise SettingsError(
                f"channel {self.channel}: key 'socketio_path': another channel uses {self._path}"
            ) from error

    def _listen(self, server: Any, inbox: Inbox) -> None:
        async def tell(sid: str, event: str, data: Any) -> None:
            # This process holds the socket, so no other process needs the event.
            await server.emit(event, data, room=sid, namespace=self._namespace, ignore_queue=True)

        async def connect(sid: str, environ: Any, auth: Any = None) -> bool:
            if self._may_connect(auth):
                return True
            metrics.requests_rejected.labels(self.channel, 403).inc()
            return False

        async def session_request(sid: str, data: Any = None, *_: Any) -> None:
            given = data.get("session_id") if isinstance(data, dict) else None
            session = given if isinstance(given, str) and given else uuid.uuid4().hex
            if self._persistent:
                await server.enter_room(sid, session, namespace=self._namespace)
            await tell(sid, "session_confirm", session)

        async def heard(sid: str, data: Any = None, *_: Any) -> dict[str, Any] | None:
            """Return the acknowledgement of the event: None, as in Rasa, or the error."""
            try:
                if not self.receiver.receives:
                    raise BrokerUnavailable("replies cannot reach this process yet")
                message = parse(self, sid, data, self._metadata_key, self._persistent)
                await inbox.enqueue(message)
            except BridgeError as error:
                response = error_response(error)
                metrics.requests_rejected.labels(self.channel, response.status).inc()
                answer = {"status": response.status, **json.loads(response.body or b"{}")}
                await tell(sid, f"{self._user_event}_error", answer)
                return answer
            return None

        for event, handler in (
            ("connect", connect),
            ("session_request", session_request),
            (self._user_event, heard),
        ):
            server.on(event, handler, namespace=self._namespace)

    def _may_connect(self, auth: Any) -> bool:
        if not self._jwt_key:
            return True
        token = auth.get("token") if isinstance(auth, dict) else None
        try:
            claims = jwt.decode(
                str(token).removeprefix("Bearer "), self._jwt_key, algorithms=[self._jwt_method]
            )
        except (jwt.PyJWTError, ValueError):
            return False
        # As in Rasa, a token without claims is refused.
        return bool(claims)

    def split(self, reply: Reply) -> Iterable[Reply]:
        return split(reply)

    async def deliver(self, reply: Reply, http: HttpClient) -> None:
        await deliver(reply, self.sender, self._bot_event, self._namespace)


class _Attached(Blueprint):
    """A blueprint with a route outside its URL prefix."""

    def register(self, app: Any, options: Any) -> None:
        self.ctx.attach(app)
        super().register(app, options)  # type: ignore[no-untyped-call]
